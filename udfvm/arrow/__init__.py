"""UDFs as functions of ``pyarrow.compute``: for ``call_function``, and for projections and filters
of datasets.

pyarrow matches argument types exactly: a UDF declared ``float`` takes ``double`` columns, others
must be cast in the expression (``ds.field("distance").cast("double")``).
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from udfvm.call.forks import ForkLock
from udfvm.codec.columns import Form
from udfvm.errors import CallError, SignatureError
from udfvm.functions.integration import calls_of, check_function

if TYPE_CHECKING:
    from udfvm.functions.function import Function

__all__ = ["register"]

_Types = tuple[tuple[str, ...], str]


class _Registration:
    """A name in pyarrow's registry, which is the process's and never forgets. The UDF behind the
    name can change, its types cannot.
    """

    def __init__(self, udf: Function, types: _Types) -> None:
        self.udf = udf
        self.types = types
        # pyarrow reads the number of arguments from here; without it the function would be
        # variadic.
        names = ("context", *(f"argument_{index}" for index in range(len(types[0]))))
        self.__signature__ = inspect.Signature(
            [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
        )

    def __call__(self, context: Any, *arguments: Any) -> pa.Array | pa.Scalar:
        calls = calls_of(self.udf)
        calls.follow()
        if any(isinstance(argument, (pa.Array, pa.ChunkedArray)) for argument in arguments):
            try:
                return calls.call_columns(arguments, Form.ARRAY)
            except CallError as error:  # pyarrow does not say which rows of its input the batch has
                error.locate(error.row, of_batch=True)
                raise
        result = calls.call_columns(arguments, Form.ARRAY)[0]
        return pa.repeat(result, context.batch_length)


_guard: Final = ForkLock()
_registered: Final[dict[str, _Registration]] = {}  # mirrors what is ours in pyarrow's registry


def register(udf: Function) -> None:
    """Makes a UDF the ``pyarrow.compute`` function of its name. Its image is built, or taken from
    the cache, here.

    Registering again under the same name with the same types replaces the UDF. Raises
    SignatureError where the name belongs to a function of pyarrow or to a UDF of other types, or
    where the UDF has no parameters.

    >>> import pyarrow as pa, pyarrow.compute as pc, pyarrow.dataset as ds
    >>> @udfvm.udf
    ... def speed(distance: float, hours: float) -> float | None:
    ...     return distance / hours if hours else None
    >>> udfvm.arrow.register(speed)
    >>> pc.call_function("speed", [pa.array([300.0]), pa.array([1.5])]).to_pylist()
    [200.0]
    >>> flights = ds.dataset(pa.table({"distance": [300.0, 100.0], "hours": [2.0, 0.0]}))
    >>> call = pc.Expression._call("speed", [ds.field("distance"), ds.field("hours")])
    >>> flights.to_table(columns={"s": call}).to_pydict()
    {'s': [150.0, None]}
    """
    check_function("udfvm.arrow.register", udf)
    if udf.form in ("table", "aggregate"):
        raise SignatureError(
            f"UDF {udf.name!r}: pyarrow.compute takes scalar and vectorised UDFs, not those of form"
            f" {udf.form!r}"
        )
    if not udf.parameters:
        raise SignatureError(
            f"UDF {udf.name!r}: a function of pyarrow.compute needs at least one parameter"
        )
    types = (
        tuple(str(parameter.type.as_declared) for parameter in udf.parameters),
        str(udf.result.type.as_declared),
    )
    udf.prepare()
    with _guard.lock:
        mine = _registered.get(udf.name)
        if mine is None:
            _registered[udf.name] = _register_new(udf, types)
        elif mine.types == types:
            mine.udf = udf
        else:
            raise SignatureError(
                f"UDF {udf.name!r}: a UDF of that name with other types"
                f" ({', '.join(mine.types[0])}) -> {mine.types[1]} is registered, and pyarrow"
                " cannot forget it: pass another name="
            )


def _register_new(udf: Function, types: _Types) -> _Registration:
    if udf.name in pc.list_functions():
        raise SignatureError(
            f"UDF {udf.name!r}: pyarrow.compute has a function of that name already: pass another"
            " name="
        )
    registration = _Registration(udf, types)
    summary, _, description = (udf.__doc__ or f"The UDF {udf.name}").strip().partition("\n")
    pc.register_scalar_function(
        registration,
        udf.name,
        {"summary": summary, "description": description.strip() or summary},
        {parameter.name: parameter.type.as_declared for parameter in udf.parameters},
        udf.result.type.as_declared,
    )
    return registration
