"""UDFs as the extension takes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from udfvm.errors import TypeMappingError
from udfvm.functions.integration import calls_of, declaration_of, encoded_defaults
from udfvm.sqlite._extension import Flag, Form, Isolation, Language, ParameterKind
from udfvm.sqlite._offer import OfferedColumn, OfferedFunction, OfferedParameter, Renewal
from udfvm.sqlite._times import Times, offered_times
from udfvm.types.arrow_types import JSON, Kind, RowType, Type
from udfvm.vmm import address_of

if TYPE_CHECKING:
    from udfvm.functions.function import Function


_KINDS: Final = {
    Kind.DATE: ParameterKind.DATE,
    Kind.DATETIME: ParameterKind.MOMENT,
    Kind.TIME: ParameterKind.TIME,
    Kind.DURATION: ParameterKind.DURATION,
    Kind.DECIMAL: ParameterKind.DECIMAL,
}


def _row_type(udf: Function, what: str, declared: Type) -> RowType:
    if declared.row is None:
        raise TypeMappingError(
            f"UDF {udf.name!r}: {what} is {declared}, for which SQLite has no type; use int, float,"
            " bool, str or bytes"
        )
    return declared.row


def kind_of(declared: Type) -> ParameterKind:
    """Returns what a parameter's values stand for, which error texts and signatures say."""
    if declared == JSON or declared.is_nested:
        return ParameterKind.JSON
    if declared.name == "date64[ms]":
        return ParameterKind.MOMENT
    return _KINDS.get(declared.kind, ParameterKind.OF_TYPE)


def offered_function(
    udf: Function,
    *,
    name: str,
    isolation: str,
    in_schema: bool,
    times: Times | None,
    log_sink: int,
) -> OfferedFunction:
    """Returns a UDF as an SQL function of that name. Builds its image.

    ``log_sink`` (0: none) takes the output of UDFs without a ``log=`` of their own. Raises
    TypeMappingError for a type that SQL does not have.
    """
    parameters = tuple(
        OfferedParameter(
            name=parameter.name,
            type=_row_type(udf, f"parameter {parameter.name!r}", parameter.type),
            nullable=parameter.nullable,
            fallback=fallback,
            single=parameter.type.name == "float",
            kind=kind_of(parameter.type),
            times=offered_times(parameter.type, times),
        )
        for parameter, fallback in zip(udf.parameters, encoded_defaults(udf), strict=True)
    )
    columns = tuple(
        OfferedColumn(
            each.name,
            _row_type(udf, f"column {each.name!r}", each.type),
            offered_times(each.type, times),
        )
        for each in declaration_of(udf).columns
    )
    result_type = _row_type(udf, "the result", udf.result.type)
    calls = calls_of(udf, len(udf.parameters))
    runtime = calls.current()
    image, pool, bound, own_log = runtime.image, runtime.pool, runtime.host_functions, runtime.log
    return OfferedFunction(
        name=name,
        pool=pool.address,
        image=image.address,
        parameters=parameters,
        result_type=result_type,
        isolation=Isolation[isolation.upper()],
        flags=_flags(udf, in_schema),
        limits=udf.limits,
        host_functions=bound.address if bound else 0,
        wait_ns=min(pool.wait_ns, udf.limits.timeout_ns or pool.wait_ns),
        pool_limit=pool.limit,
        form=Form[udf.form.upper()],
        columns=columns,
        language=Language[udf.language.upper()],
        owner=(udf, image, pool, bound, own_log, runtime.first_call, calls.account),
        first_call=address_of(runtime.first_call) if runtime.first_call is not None else 0,
        account=address_of(calls.account),
        log_sink=log_sink if log_sink and udf.limits.log == "forward" else own_log.address,
        result_times=offered_times(udf.result.type, times),
        tenant=udf.pool._tenant_number,
        renew=_renewal(udf) if udf.language == "python" else None,
    )


def _flags(udf: Function, in_schema: bool) -> Flag:
    chosen = {
        Flag.INVERSE: declaration_of(udf).has_inverse,
        Flag.WHOLE: not udf.elementwise and udf.form in ("scalar", "vectorized"),
        Flag.JSON_RESULT: udf.result.type == JSON or udf.result.type.is_nested,
        Flag.DETERMINISTIC: udf.limits.deterministic,
        Flag.IN_SCHEMA: in_schema,
        Flag.VARIADIC: udf.is_variadic,
    }
    flags = Flag(0)
    for flag, is_set in chosen.items():
        if is_set:
            flags |= flag
    return flags


def _renewal(udf: Function) -> Callable[[int], Renewal]:
    """Returns the callback that finds out, at the start of statements, how a function runs: names
    in it may be bound to other objects, and it may take another number of arguments.
    """

    def renew(arguments: int) -> Renewal:
        current = calls_of(udf, arguments).current()
        return Renewal(current.pool.address, current.image.address, current.pool.limit)

    return renew
