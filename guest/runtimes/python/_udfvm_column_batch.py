"""Column batches (struct udfvm_columns) of scalar functions."""

from __future__ import annotations

from collections.abc import Callable

import _udfvm_agent
from _udfvm_agent import STATUS_OK
from _udfvm_report import report
from _udfvm_signature import Signature
from _udfvm_slots import column_slots, result_slot


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
