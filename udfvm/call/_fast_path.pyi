from typing import Any

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
