"""Reports of errors, and any text of a guest."""

from udfvm.errors import CallError
from udfvm.guest_text import visible
from udfvm.vmm.guest_error import excerpt, parse

ALLOWED = "\n\t"


def one_input(data: bytes) -> None:
    failure = parse(data, "f", first_row=5, rows=3)
    assert isinstance(failure, CallError)
    assert failure.row is None or 5 <= failure.row < 8
    assert not [each for each in str(failure) if each < " " and each not in ALLOWED]
    assert str(parse(excerpt(memoryview(data)), "f", first_row=5, rows=3)) == str(failure)
    text = visible(data, maximum=200, keep="")
    assert len(text.encode()) <= 200 and not [each for each in text if each < " "]
