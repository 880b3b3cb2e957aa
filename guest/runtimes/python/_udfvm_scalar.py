"""Scalar functions: made ready to be called with rows and record batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import _udfvm_agent
from _udfvm_signature import Signature
from _udfvm_slots import parameter_slots, returned_slot
from _udfvm_warmup import repeat, repeat_sample


def load(
    function: Callable[..., object],
    metadata: dict[str, Any],
    stream: _udfvm_agent.Stream,
    warm: bytes,
    sample: bytes,
) -> _udfvm_agent.ScalarFunction:
    """Returns a function of one row, for rows and for whole batches, ready to be called: everything
    that it sets up on first use is set up.

    It runs on the sample, if there is one. `warm` is a batch for a function of the runtime, which
    runs through the code that calls use.
    """
    signature = Signature.of(metadata)
    internal = of_rows(lambda *_: None, signature.with_nulls())
    if metadata["default_row"]:
        row = bytes.fromhex(metadata["default_row"])
        repeat(lambda: _udfvm_agent.run_row(internal, row))
    if signature.parameters.types:
        repeat(lambda: _udfvm_agent.run_batch(internal, stream, warm))
    loaded = of_rows(function, signature)
    if sample:
        repeat_sample(lambda: _udfvm_agent.run_batch(loaded, stream, sample))
    if metadata["sample_row"]:
        sample_row = bytes.fromhex(metadata["sample_row"])
        repeat_sample(lambda: _udfvm_agent.run_row(loaded, sample_row))
    return loaded


def of_rows(function: Callable[..., object], signature: Signature) -> _udfvm_agent.ScalarFunction:
    """Returns a function as the loop that answers calls takes it."""
    return _udfvm_agent.ScalarFunction(
        function, parameter_slots(signature.parameters), returned_slot(signature)
    )
