from collections.abc import Callable
from typing import Any, NoReturn

ABI_VERSION: int
REQUEST_LOAD: int
REQUEST_BATCH: int
REQUEST_COLUMNS: int
REQUEST_DESCRIBE: int
REQUEST_TABLE: int
REQUEST_FETCH: int
REQUEST_AGGREGATE: int
STATUS_OK: int
STATUS_ERROR: int
COLUMNS_MORE: int
REPLY_ARROW: int
MAX_ERROR_TYPE: int
ROW_OF_SAMPLE: int
MAX_ERROR_MESSAGE: int
MAX_ERROR_TRACEBACK: int
ANSWER_NONE: int
ANSWER_FINISH: int
ANSWER_STATE: int
ANSWER_MERGE: int
TYPE_NULL: int
TYPE_INT64: int
TYPE_FLOAT64: int
TYPE_TEXT: int
TYPE_BLOB: int
TYPE_BOOL: int
TYPE_ARROW: int
STORAGE_BOOL: int
STORAGE_INT8: int
STORAGE_INT16: int
STORAGE_INT32: int
STORAGE_INT64: int
STORAGE_UINT8: int
STORAGE_UINT16: int
STORAGE_UINT32: int
STORAGE_UINT64: int
STORAGE_FLOAT32: int
STORAGE_FLOAT64: int
STORAGE_TEXT32: int
STORAGE_TEXT64: int
STORAGE_BYTES32: int
STORAGE_BYTES64: int
STORAGE_NULL: int

_Refuse = Callable[..., BaseException] | None
_Slot = (
    tuple[int, bool, bool, Callable[..., object] | None, _Refuse]
    | tuple[int, bool, bool, Callable[..., object] | None, _Refuse, bool]
)
_Bytes = bytes | bytearray | memoryview

class ScalarFunction:
    def __new__(
        cls, callable: Callable[..., object], parameters: tuple[_Slot, ...], result: _Slot
    ) -> ScalarFunction: ...

class NumbersFunction:
    def __new__(
        cls,
        callable: Callable[..., object],
        columns: tuple[tuple[int, object, bool], ...],
        result_format: str,
        result_storage: int,
        numpy: tuple[object, object],
        arrow: tuple[object, object, object],
        finish: Callable[[object, int], tuple[int, int]],
    ) -> NumbersFunction: ...

class Stream:
    def __new__(cls, request_schema: bytes, reply_schema: bytes, template: bytes) -> Stream: ...
    def write(
        self, storage: int, rows: int, nulls: int, validity: object, offsets: object, data: object
    ) -> int: ...

class ColumnBatch:
    def __new__(cls, arguments: tuple[_Slot, ...], results: tuple[_Slot, ...]) -> ColumnBatch: ...
    @property
    def row(self) -> int: ...
    @property
    def column(self) -> int: ...
    def read(self, offset: int) -> tuple[int, list[Any]]: ...
    def buffers(self, offset: int) -> tuple[int, list[Any]]: ...
    def write(self, rows: int, columns: list[Any], flags: int) -> int: ...
    def map(self, function: ScalarFunction, offset: int) -> int: ...

class Aggregate:
    def __new__(
        cls, aggregate: type, groups: dict[int, Any], batch: ColumnBatch, has_streams: bool
    ) -> Aggregate: ...

class HostCaller:  # not where the runtime is in the program's own process
    def take_numbers(self, name: bytes, types: tuple[int, ...]) -> None: ...
    def __call__(self, *arguments: Any, **keywords: Any) -> Any: ...

def serve(
    function: ScalarFunction | NumbersFunction | Aggregate | None,
    stream: Stream | None,
    handler: Callable[[int, int], tuple[int, int]],
    failure: Callable[[BaseException, int], tuple[int, int]],
    begin: Callable[[], object] | None,
) -> NoReturn: ...
def input() -> memoryview: ...
def output() -> memoryview: ...
def begin_row() -> bool: ...
def become_child() -> None: ...
def run_row(function: ScalarFunction, payload: _Bytes) -> None: ...
def run_batch(function: ScalarFunction, stream: Stream, payload: object) -> None: ...
def host_call(name: bytes, arguments: bytes) -> bytes: ...
