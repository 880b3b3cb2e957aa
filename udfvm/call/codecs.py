"""The codecs of one function, each made when it is first needed: they import pyarrow, or numpy."""

from __future__ import annotations

from udfvm.codec.rows import RowCodec
from udfvm.static_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from udfvm.codec.fixed_width import NumberBatches
    from udfvm.codec.record_batches import BatchCodec
    from udfvm.load.declaration import Declaration


class Codecs:
    """What writes a function's requests and reads its replies.

    Attributes:
        rows: of single rows; None for functions that take none: vectorised ones, and those with
            lists, structs or other types that rows have not.
    """

    def __init__(self, declaration: Declaration) -> None:
        self._declaration = declaration
        in_rows = not declaration.vectorized and all(
            type_.row is not None and not type_.is_nested for type_ in declaration.types
        )
        self.rows = (
            RowCodec(declaration.name, declaration.parameters, declaration.result)
            if in_rows
            else None
        )
        self._batches: BatchCodec | None = None
        self._numbers: NumberBatches | None = None

    @property
    def batches(self) -> BatchCodec:
        """Of record batches."""
        codec = self._batches
        if codec is None:
            from udfvm.codec.record_batches import BatchCodec

            declaration = self._declaration
            codec = self._batches = BatchCodec(
                declaration.name, declaration.parameters, declaration.result
            )
        return codec

    def reply_frame(self) -> int:
        """Returns how many bytes replies to batches have beside the result's buffers."""
        if self._declaration.form in ("scalar", "vectorized"):
            return self.batches.reply_frame
        from udfvm.codec.column_batches import reply_frame

        made = [column.type for column in self._declaration.made]
        return reply_frame(made, sources=self._declaration.form == "table")

    @property
    def numbers(self) -> NumberBatches:
        """Of columns of numbers without nulls."""
        numbers = self._numbers
        if numbers is None:
            from udfvm.codec.fixed_width import NumberBatches

            numbers = self._numbers = NumberBatches(
                self.batches, times=self._declaration.vectorized
            )
        return numbers
