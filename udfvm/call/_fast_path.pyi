from typing import Any

class SmallCalls:
    def __new__(
        cls,
        ndarray: type,
        frombuffer: object,
        formats: str,
        result_type: object,
        pool: object,
        owner: object,
        core: int,
        image: int,
        limits: int,
        wait_ns: int,
        /,
    ) -> SmallCalls: ...
    def call(self, arguments: tuple[Any, ...], /) -> Any: ...
