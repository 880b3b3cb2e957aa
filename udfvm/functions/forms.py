"""Functions in compiled code, by what the code says that they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from udfvm.call.pool import pool_of
from udfvm.functions.aggregate import AggregateFunction
from udfvm.functions.given import data_files_of
from udfvm.functions.scalar import ScalarFunction
from udfvm.functions.table import TableFunction

if TYPE_CHECKING:
    from udfvm.functions.compiled import CompiledProgram


def function_of(
    program: CompiledProgram, name: str, options: dict[str, Any]
) -> ScalarFunction | TableFunction | AggregateFunction:
    """Makes a function of a program: scalar, a table function or an aggregate.

    ``options`` are parsed. Raises SignatureError if the code has no such function.
    """
    pool = pool_of(name, options.get("pool"))
    options["data"] = data_files_of(name, options.get("data"))
    program = program.giving(options["data"])
    form = program.interface(name, options["limits"], pool).form
    if form == "table":
        return TableFunction(program, **options)
    if form == "aggregate":
        return AggregateFunction(program, **options)
    return ScalarFunction(program, **options)
