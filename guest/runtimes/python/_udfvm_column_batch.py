"""Column batches (struct udfvm_columns): of scalar functions, and what reads and writes those of
table functions and aggregates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import _udfvm_agent
from _udfvm_agent import REPLY_ARROW, STATUS_OK
from _udfvm_report import report
from _udfvm_signature import Parameters, Signature
from _udfvm_slots import Slot, column_slot, column_slots, result_slot

if TYPE_CHECKING:
    from _udfvm_column_streams import StreamColumns

_ANY_TYPE = "binary"  # what is said of a type that never travels but as a stream


def scalar_columns(
    function: Callable[..., object], signature: Signature
) -> Callable[[], tuple[int, int]]:
    """Returns what answers COLUMNS for a scalar function."""
    slots = column_slots(signature.parameters)
    batch = _udfvm_agent.ColumnBatch(slots, ())
    callee = _udfvm_agent.ScalarFunction(
        function, slots, result_slot(signature.result, signature.result_nullable)
    )

    def answer() -> tuple[int, int]:
        try:
            return STATUS_OK, batch.map(callee, 0)
        except BaseException as exception:  # noqa: BLE001 - the caller gets whatever the function raises
            return report(exception, batch.row)

    return answer


class Batches:
    """What reads requests and writes replies of a table function or aggregate.

    Attributes:
        without_streams: for hosts that take no Arrow streams: lists and structs are JSON.
        streams: for hosts that do; the same as ``without_streams`` where no column is one.
    """

    without_streams: _udfvm_agent.ColumnBatch
    streams: _udfvm_agent.ColumnBatch | StreamColumns

    def __init__(
        self,
        metadata: Mapping[str, Any],
        schemas: tuple[bytes, bytes],
        *,
        arguments: Sequence[Slot] = (),
        results: Sequence[Slot] = (),
    ) -> None:
        """``arguments`` and ``results`` are slots of columns before those that the metadata have,
        ``schemas`` the messages of the latter.
        """
        parameters, made = metadata["parameters"], metadata["columns"]
        in_errors = Parameters.of(parameters).in_errors
        self.without_streams = self.streams = _udfvm_agent.ColumnBatch(
            (
                *arguments,
                *(
                    column_slot(_in_rows(each), each["nullable"], parameter)
                    for each, parameter in zip(parameters, in_errors, strict=True)
                ),
            ),
            (*results, *(result_slot(_in_rows(each), each["nullable"]) for each in made)),
        )
        if any(each["stream"] for each in (*parameters, *made)):
            from _udfvm_column_streams import StreamColumns

            self.streams = StreamColumns(
                self.without_streams, metadata, schemas, first=(len(arguments), len(results))
            )

    def of(self, flags: int) -> _udfvm_agent.ColumnBatch | StreamColumns:
        """Returns what answers a request with these flags (REPLY_x)."""
        return self.streams if flags & REPLY_ARROW else self.without_streams


def _in_rows(description: Mapping[str, Any]) -> str:
    name: str = description["type"]
    return name if description["in_rows"] else _ANY_TYPE
