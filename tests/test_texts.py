"""Sizes are written alike by Python and by C, on the host and in guests."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from udfvm.vmm._core import ffi, lib

from udfvm.texts import format_size


def of_the_core(size: int) -> str:
    text: bytes = ffi.string(lib.udfvm_format_size(size).text)
    return text.decode()


@given(
    st.integers(0, 2**63)
    | st.builds(
        lambda shift, tenths, more: max(0, (tenths << shift) // 20 + more),
        st.integers(10, 50),
        st.integers(0, 1 << 12),
        st.integers(-1, 1),
    )
)
@example(1)
@example(1023)
@example(1024)
@example(1280)  # between two tenths
@example(1 << 20)
@example((1 << 20) - 1)
@example((1 << 64) - 1)
def test_the_core_writes_sizes_as_python_does(size: int) -> None:
    assert of_the_core(size) == format_size(size)


def test_units() -> None:
    assert [of_the_core(each) for each in (0, 1, 100, 1536, 512 << 20, 8 << 30, 3 << 50)] == [
        "0 bytes",
        "1 byte",
        "100 bytes",
        "1.5 KiB",
        "512 MiB",
        "8 GiB",
        "3072 TiB",
    ]
