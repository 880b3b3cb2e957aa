from typing import Any

column_calls: object  # a capsule: see column_calls.h

class SmallCalls:
    def __new__(
        cls,
        numpy: tuple[object, object, object],
        formats: str,
        arrow: tuple[tuple[type, ...], object, object, object],
        pool: object,
        owner: object,
        core: int,
        image: int,
        limits: int,
        wait_ns: int,
        /,
    ) -> SmallCalls: ...
    def call(self, arguments: tuple[Any, ...], /) -> Any: ...

class RowCalls:
    def __new__(
        cls,
        types: tuple[int, ...],
        result: int,
        pool: object,
        owner: object,
        core: int,
        image: int,
        limits: int,
        wait_ns: int,
        /,
    ) -> RowCalls: ...
    def call(self, arguments: tuple[Any, ...], /) -> Any: ...

def begin_column_calls() -> None: ...
def end_column_calls() -> None: ...
def column_calls_under_way() -> tuple[int, float]: ...
