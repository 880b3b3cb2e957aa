from collections.abc import Callable
from typing import NoReturn

ABI_VERSION: int

_Slot = tuple[int, bool, bool, Callable[..., object] | None]
_Bytes = bytes | bytearray | memoryview

class Function:
    def __new__(cls, callable: Callable[..., object], parameters: tuple[_Slot, ...], result: _Slot) -> Function: ...

class NumpyFunction:
    def __new__(
        cls,
        callable: Callable[..., object],
        columns: tuple[tuple[int, object], ...],
        result_format: str,
        result_storage: int,
        frombuffer: Callable[..., object],
        array_type: type,
        finish: Callable[[object, int], tuple[int, int]],
    ) -> NumpyFunction: ...

class Stream:
    def __new__(cls, request_schema: bytes, reply_schema: bytes, template: bytes) -> Stream: ...
    def write(self, storage: int, rows: int, nulls: int, validity: object, offsets: object, data: object) -> int: ...

def serve(
    function: Function | NumpyFunction | None,
    stream: Stream | None,
    handler: Callable[[int, int], tuple[int, int]],
    failure: Callable[[BaseException, int], tuple[int, int]],
    begin: Callable[[], object] | None,
) -> NoReturn: ...
def input() -> memoryview: ...
def output() -> memoryview: ...
def run_row(function: Function, payload: _Bytes) -> None: ...
def run_batch(function: Function, stream: Stream, payload: object) -> None: ...
