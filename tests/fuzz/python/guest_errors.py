"""Reports of errors, and any text of a guest."""

from udfvm.errors import CallError, TypeMappingError
from udfvm.guest_text import visible
from udfvm.vmm.guest_error import excerpt, parse

ALLOWED = "\n\t"
NAMES = ["x", "y"]


def one_input(data: bytes) -> None:
    failure = parse(data, "f", first_row=5, rows=3, parameters=NAMES)
    if isinstance(failure, TypeMappingError):
        assert failure.position and failure.argument == NAMES[failure.position - 1]
    else:
        assert isinstance(failure, CallError)
    assert failure.row is None or 5 <= failure.row < 8
    assert not [each for each in str(failure) if each < " " and each not in ALLOWED]
    again = parse(excerpt(memoryview(data)), "f", first_row=5, rows=3, parameters=NAMES)
    assert str(again) == str(failure)
    text = visible(data, maximum=200, keep="")
    assert len(text.encode()) <= 200 and not [each for each in text if each < " "]
