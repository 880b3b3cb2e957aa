"""The LOAD request that a UDF's image is built from."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from udfvm.errors import OptionError, TypeMappingError
from udfvm.load.pickling import PickledFunction, load_payload
from udfvm.static_typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from udfvm.codec.record_batches import BatchCodec
    from udfvm.codec.rows import RowCodec
    from udfvm.load.declaration import Declaration
    from udfvm.types.arrow_types import Type


def load_request(
    declaration: Declaration,
    sample: Sequence[Any] | None,
    pickled: PickledFunction,
    rows: RowCodec | None,
    batches: BatchCodec,
) -> bytes:
    """Returns the payload of LOAD. ``sample`` has the arguments of a call, for an aggregate those
    of each call of ``step``. ``rows`` is None for functions that take no single rows.

    Raises OptionError for a sample that does not have the parameters' types.
    """
    if declaration.form in ("table", "aggregate"):
        return _load_rows_request(declaration, sample, pickled, batches)
    sample_batch = _sample_batch(declaration, sample, batches)
    metadata = {
        **_common_metadata(declaration, pickled),
        "in_columns": all(each.row is not None for each in declaration.types),
        "default_row": rows.default().hex() if rows else "",
        "sample_row": _sample_row(rows, sample_batch).hex() if rows and sample is not None else "",
    }
    return load_payload(
        metadata,
        batches.schema_message,
        batches.result_schema_message,
        batches.result_template(),
        pickled.data,
        batches.stream(batches.null_and_zero()),
        b"" if sample_batch is None else batches.stream(sample_batch),
    )


def _load_rows_request(
    declaration: Declaration,
    sample: Sequence[Any] | None,
    pickled: PickledFunction,
    batches: BatchCodec,
) -> bytes:
    """For table functions and aggregates. Their sample is pickled, and unpickled in the guest."""
    import cloudpickle
    import pyarrow as pa

    from udfvm.codec.arguments import columns_of

    with _naming_sample(declaration.name):
        for arguments in _calls_of(declaration, sample):
            columns_of(
                declaration.name,
                declaration.parameters,
                arguments,
                vectorized=declaration.vectorized,
            )
    pickled_sample: bytes = b"" if sample is None else cloudpickle.dumps(sample)
    metadata = _common_metadata(declaration, pickled)
    fields = [pa.field(each.name, each.type.arrow) for each in declaration.made]
    return load_payload(
        metadata,
        batches.schema_message,
        pa.schema(fields).serialize().to_pybytes(),
        b"",
        pickled.data,
        b"",
        pickled_sample,
    )


def _calls_of(declaration: Declaration, sample: Sequence[Any] | None) -> Sequence[Sequence[Any]]:
    """Returns the arguments of each call that a sample makes."""
    if sample is None:
        return []
    return sample if declaration.form == "aggregate" else [sample]


def _slot(name: str, type_: Type, nullable: bool) -> dict[str, object]:
    return {
        "name": name,
        "type": type_.name,
        "nullable": nullable,
        "stream": type_.is_stream,
        "in_rows": type_.row is not None,
    }


def _common_metadata(declaration: Declaration, pickled: PickledFunction) -> dict[str, object]:
    return {
        "form": declaration.form,
        "name": declaration.name,
        "vectorized": declaration.vectorized,
        "parameters": [
            {
                **_slot(each.name, each.type, each.nullable),
                "container": each.container.value,
            }
            for each in declaration.parameters
        ],
        "result": declaration.result.type.name,
        "result_nullable": declaration.result.nullable,
        "code": pickled.code,
        "imports": sorted(pickled.imports),
        "sources": pickled.sources,
        "user_modules": sorted(pickled.user_modules.values()),
        "user_data": base64.b64encode(pickled.data_files).decode(),
        "user_files": base64.b64encode(pickled.files).decode(),
        "deterministic": declaration.limits.deterministic,
        "columns": [_slot(*each) for each in declaration.made],
        "host_functions": (
            declaration.host_functions.descriptions() if declaration.host_functions else []
        ),
    }


def _sample_batch(
    declaration: Declaration, sample: Sequence[Any] | None, batches: BatchCodec
) -> pa.RecordBatch | None:
    """Returns the sample as a batch; None without a sample, and for functions without
    parameters.
    """
    if sample is None or not declaration.parameters:
        return None
    import pyarrow as pa

    from udfvm.codec.arguments import columns_of
    from udfvm.codec.numpy_columns import column_of_values
    from udfvm.codec.record_batches import one_batch

    columns = []
    for parameter, value in zip(declaration.parameters, sample, strict=True):
        try:
            is_column = isinstance(value, list) and (
                declaration.vectorized or not parameter.type.is_nested
            )
            columns.append(
                column_of_values(declaration.name, parameter, value) if is_column else value
            )
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise OptionError(
                f"UDF {declaration.name!r}: sample= for {parameter.name!r}: {error}"
            ) from error
    with _naming_sample(declaration.name):
        encoded = columns_of(declaration.name, declaration.parameters, columns)[0]
    return one_batch(pa.table(encoded, schema=batches.schema))


@contextmanager
def _naming_sample(name: str) -> Iterator[None]:
    """Says of arguments that are not of their types that they are those of the sample."""
    try:
        yield
    except TypeMappingError as error:
        text = str(error).removeprefix(f"UDF {name!r}: ")
        raise OptionError(f"UDF {name!r}: sample=: {text}") from error


def _sample_row(rows: RowCodec, sample: pa.RecordBatch | None) -> bytes:
    """Returns the first row of the sample that calls the function, encoded; empty if none does."""
    if sample is None:
        return rows.encode([])
    for index in range(sample.num_rows):
        row = [column[index].as_py() for column in sample.columns]
        if not rows.is_null(row):
            return rows.encode(row)
    return b""
