"""Functions of what a file of Python declares: see ``source_file``."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Final

from udfvm.checks import check_switch, options_of
from udfvm.errors import OptionError, SignatureError
from udfvm.functions.aggregate import AggregateFunction
from udfvm.functions.function import Function
from udfvm.functions.options import PythonOptions, ScalarPythonOptions, parsed_options
from udfvm.functions.program import Interface
from udfvm.functions.scalar import ScalarFunction
from udfvm.functions.source import Source, SourceProgram, python_signature
from udfvm.functions.source_file import Declaration, SourceFile, WrittenType
from udfvm.functions.table import TableFunction
from udfvm.keywords import check_options, option_names
from udfvm.load.declaration import Column
from udfvm.types.annotations import given_type
from udfvm.types.arrow_types import JSON, Container, Parameter, ResultType, Type
from udfvm.types.signature_text import parse_signature
from udfvm.types.signatures import Signature

_CLASSES: Final[dict[str, type[Function]]] = {
    "scalar": ScalarFunction,
    "table": TableFunction,
    "aggregate": AggregateFunction,
}
_OF_FORM: Final = {
    "scalar": ["vectorized", "elementwise", "sample"],
    "table": ["sample"],
    "aggregate": ["vectorized", "sample"],
}
_OF_HOST: Final = ("pool", "host_functions")


def declared_function(
    file: SourceFile, found: Declaration, options: Mapping[str, Any], signature: str | None = None
) -> Function:
    """Makes a function of a declaration in a file.

    Args:
        file: the file.
        found: the declaration.
        options: those of the function: what its decorator says, as far as the caller allows it.
        signature: the types, as for ``udfvm.from_source``. Default: what the text says.

    Raises SignatureError if it cannot be a function, or its types are not known.
    """
    name = str(options.get("name") or found.name)
    if found.refused:
        raise SignatureError(f"UDF {name!r} of {file.path}: {found.refused}")
    for option in _OF_HOST:
        if options.get(option) is not None:
            raise OptionError(
                f"UDF {name!r} of {file.path}: {option}= is an object of a program, which a file"
                " that does not run cannot have: leave it out"
            )
    _refuse_files(name, file, found, options)
    form = found.form
    kind = ScalarPythonOptions if form == "scalar" else PythonOptions
    known = [*option_names(kind), *_OF_FORM[form]]
    check_options(f"UDF {name!r} of {file.path}", options, known)
    others = {key: value for key, value in options.items() if key not in _OF_FORM[form]}
    with options_of(f"UDF {name!r}"):
        vectorized = check_switch("vectorized", options.get("vectorized", False))
        elementwise = options.get("elementwise")
        cut = not vectorized if elementwise is None else check_switch("elementwise", elementwise)
    if signature is None:
        declared = _signature(name, found, vectorized)
    else:
        labels = [each.name for each in found.parameters]
        declared = parse_signature(name, signature, compiled=False, names=labels)
        declared = declared._replace(result=declared.result._replace(nullable=True))
    interface = Interface(
        "vectorized" if vectorized and form == "scalar" else form,
        declared,
        vectorized,
        cut,
        _columns(name, found),
        found.has_inverse,
    )
    sample = options.get("sample")
    program = SourceProgram(
        Source("module", file.text, found.name),
        found.name,
        interface,
        tuple(sample) if isinstance(sample, list) and form != "aggregate" else _rows(sample),
        defaults={each.name: each.default[0] for each in found.parameters if each.default},
        imports=file.imports,
    )
    return _CLASSES[form](program, **parsed_options(name, others))


def _refuse_files(
    name: str, file: SourceFile, found: Declaration, options: Mapping[str, Any]
) -> None:
    """Raises OptionError if the text itself asks for files of this machine: whoever wrote it could
    read any of them.
    """
    asked = found.options.get("data")
    if asked is not None and options.get("data") is asked:
        raise OptionError(
            f"UDF {name!r} of {file.path}: data= gives files of this machine, which only who runs"
            " the file may do: udfvm run has --data NAME=PATH"
        )


def _rows(sample: Any) -> Any:
    """Returns the sample of an aggregate, whose rows are lists in JSON."""
    if not isinstance(sample, list):
        return sample
    return [tuple(row) if isinstance(row, list) else row for row in sample]


def _signature(name: str, found: Declaration, vectorized: bool) -> Signature:
    parameters = []
    for position, each in enumerate(found.parameters, 1):
        what = f"parameter {each.name!r}"
        container = each.written.container
        if container and not vectorized:
            raise SignatureError(
                f"UDF {name!r}: {what} is a column, which vectorised functions have: declare"
                " @udfvm.udf(vectorized=True)"
            )
        type_, made = _type(name, what, each.written), Container(container or "arrow")
        parameters.append(Parameter(each.name, type_, each.written.nullable, made, position))
    if vectorized and not parameters:
        raise SignatureError(f"UDF {name!r}: a vectorised function needs at least one parameter")
    return Signature(
        tuple(parameters),
        _result(name, found),
        functools.partial(python_signature, name, [each.name for each in parameters]),
    )


def _result(name: str, found: Declaration) -> ResultType:
    if found.form == "table":
        type_, nullable = _columns(name, found)[0][1:]
        return ResultType(type_, nullable)
    if found.result.type == "json":
        return ResultType(JSON, True)
    return ResultType(_type(name, "the result", found.result), found.result.nullable)


def _type(name: str, what: str, written: WrittenType) -> Type:
    if not written.type:
        raise SignatureError(
            f"UDF {name!r}: {what} has no type in the text that udfvm knows: annotate it with one"
            " (see Types in docs/reference.md), or pass a signature, such as '(double) -> double'"
        )
    try:
        found = given_type(written.type).type
    except (ValueError, RecursionError) as error:
        raise SignatureError(f"UDF {name!r}: {what}: {error}") from error
    assert found is not None
    return found


def _columns(name: str, found: Declaration) -> tuple[Column, ...]:
    if found.form != "table":
        return ()
    from udfvm.functions.table_columns import declared_columns

    return declared_columns(name, dict(found.columns), dict)
