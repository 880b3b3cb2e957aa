"""Types, signatures, and the codecs of rows and batches, replies of hostile guests included. No VM
is needed.
"""

from __future__ import annotations

import datetime
import struct
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Optional

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import udfvm
from udfvm.codec.arrow_ipc import BatchCodec
from udfvm.codec.rows import RowCodec
from udfvm.errors import ProtocolError, SignatureError, TypeMappingError
from udfvm.types.arrow_types import Container, Kind, Parameter, ResultType, RowType, declared, named

if TYPE_CHECKING:
    from nowhere import Missing  # type: ignore[import-not-found]

ALL_TYPES = [
    pa.null(),
    pa.bool_(),
    pa.int8(),
    pa.int16(),
    pa.int32(),
    pa.int64(),
    pa.uint8(),
    pa.uint16(),
    pa.uint32(),
    pa.uint64(),
    pa.float32(),
    pa.float64(),
    pa.string(),
    pa.large_string(),
    pa.binary(),
    pa.large_binary(),
    pa.date32(),
    pa.date64(),
    pa.timestamp("s"),
    pa.timestamp("ms"),
    pa.timestamp("us"),
    pa.timestamp("ns"),
    pa.timestamp("us", tz="UTC"),
    pa.timestamp("ms", tz="Europe/Paris"),
    pa.timestamp("ns", tz="+05:30"),
]

NESTED_TYPES = [
    pa.list_(pa.float64()),
    pa.large_list(pa.string()),
    pa.list_(pa.float32(), 3),
    pa.list_(pa.list_(pa.bool_())),
    pa.struct(
        [
            ("x", pa.float64()),
            ("the y", pa.date32()),
            ("é", pa.list_(pa.timestamp("us", tz="+05:30"))),
        ]
    ),
    pa.list_(pa.struct([("a", pa.struct([("b", pa.binary()), ("c", pa.list_(pa.int8(), 2))]))])),
]


# ---- Names ----


@pytest.mark.parametrize("type_", ALL_TYPES, ids=str)
def test_every_arrow_type_is_known_by_its_name(type_: pa.DataType) -> None:
    assert declared(type_).arrow == type_
    assert named(str(type_)) == declared(type_)


@pytest.mark.parametrize(
    ("alias", "expected"),
    [
        ("float64", "double"),
        ("float32", "float"),
        ("str", "string"),
        ("utf8", "string"),
        ("date", "date32[day]"),
        (" int64 ", "int64"),
    ],
)
def test_aliases(alias: str, expected: str) -> None:
    assert named(alias).name == expected


@pytest.mark.parametrize(
    "wrong",
    [
        "decimal",
        "list<decimal>",
        "timestamp[h]",
        "",
        "timestamp[us",
        Decimal,
        3,
        pa.map_("string", "int8"),
    ],
)
def test_unsupported_types_are_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="is not a supported type"):
        declared(wrong)


@pytest.mark.parametrize("type_", NESTED_TYPES, ids=str)
def test_every_nested_type_is_known_by_its_name(type_: pa.DataType) -> None:
    assert declared(type_).arrow == type_
    assert named(str(type_)) == declared(type_)
    assert declared(type_).is_nested and declared(type_).row is RowType.TEXT


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("list<float64>", "list<item: double>"),
        ("list<element: int8 not null>", "list<item: int8>"),
        ("struct<a: str, b: struct<c: bytes>>", "struct<a: string, b: struct<c: binary>>"),
        ("list<timestamp[us, tz=+05:30]>", "list<item: timestamp[us, tz=+05:30]>"),
        (" fixed_size_list<float32>[3]", "fixed_size_list<item: float>[3]"),
    ],
)
def test_names_of_nested_types_are_made_one(name: str, expected: str) -> None:
    assert named(name).name == expected


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("list<>", "holds values of one type"),
        ("list<a: int8, b: int8>", "holds values of one type"),
        ("struct<>", "has fields"),
        ("struct<int8>", "has no name"),
        ("struct<a: int8, a: int8>", "of different names"),
        ("list<int8>>", "a bracket too many"),
        ("list<int8>[3]", "a list of a fixed size is"),
        ("fixed_size_list<int8>", "a list of a fixed size is"),
        (pa.list_(pa.int8(), 0), "hold one value at least"),
        ("list<null>", "hold no values of type null"),
        (pa.struct([("a", pa.null())]), "hold no values of type null"),
        (pa.struct([("a: int8, b", pa.int8())]), "no name for a field"),
        (pa.struct([(" a", pa.int8())]), "no name for a field"),
        ("list<" * 40 + "int8" + ">" * 40, "more than 32 deep"),
    ],
)
def test_nested_types_that_are_none(wrong: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        declared(wrong)


def test_dictionary_types_are_refused_with_advice() -> None:
    with pytest.raises(ValueError, match="declare the type of its values"):
        declared(pa.dictionary(pa.int8(), pa.string()))


def test_integer_ranges() -> None:
    assert named("int8").integer_range == (-128, 127)
    assert named("uint64").integer_range == (0, 2**64 - 1)


# ---- Signatures ----


def test_scalar_annotations() -> None:
    @udfvm.udf
    def function(
        a: bool, b: int, c: float, d: str, e: bytes, f: datetime.date, g: datetime.datetime
    ) -> float | None:
        return None

    assert [parameter.type.name for parameter in function.parameters] == [
        "bool", "int64", "double", "string", "binary", "date32[day]", "timestamp[us]",
    ]  # fmt: skip
    assert [parameter.type.row for parameter in function.parameters] == [
        RowType.BOOL,
        RowType.INT64,
        RowType.FLOAT64,
        RowType.TEXT,
        RowType.BLOB,
        RowType.INT64,
        RowType.INT64,
    ]
    assert not any(parameter.nullable for parameter in function.parameters)
    assert function.result == ResultType(named("double"), True)
    assert function.name == function.__name__ == "function"


def test_nullable_annotations() -> None:
    @udfvm.udf
    def function(
        a: int | None,
        b: Optional[str],  # noqa: UP045
        c: "float | None",  # noqa: UP037
        d: Annotated[int, "metres"],
    ) -> int:
        return 0

    assert [parameter.nullable for parameter in function.parameters] == [True, True, True, False]
    assert function.parameters[2].type.kind is Kind.FLOAT
    assert not function.result.nullable


def test_types_of_vectorised_functions() -> None:
    @udfvm.udf(vectorized=True)
    def function(
        a: npt.NDArray[np.float32],
        b: pa.DoubleArray,
        c: float,
        d: pa.Int8Array | None,
        e: npt.NDArray[np.bool_],
    ) -> npt.NDArray[np.int64]:
        return np.zeros(len(a), dtype=np.int64)

    assert [parameter.type.name for parameter in function.parameters] == [
        "float",
        "double",
        "double",
        "int8",
        "bool",
    ]
    assert [parameter.container for parameter in function.parameters] == [
        Container.NUMPY, Container.ARROW, Container.ARROW, Container.ARROW, Container.NUMPY,
    ]  # fmt: skip
    assert [parameter.nullable for parameter in function.parameters] == [
        False,
        False,
        False,
        True,
        False,
    ]
    assert function.result.type.name == "int64"


def test_input_types_by_position_and_by_name() -> None:
    def function(a: np.ndarray, b: pa.Array) -> pa.Array:  # type: ignore[type-arg]
        return b

    first = udfvm.udf(
        function,
        vectorized=True,
        input_types=[pa.int32(), "string"],
        output_type="timestamp[us, tz=UTC]",
    )
    second = udfvm.udf(
        function,
        vectorized=True,
        input_types={"b": str, "a": "int32"},
        output_type=pa.timestamp("us", tz="UTC"),
    )
    assert first.parameters == second.parameters
    assert first.result == second.result
    assert first.parameters[0].container is Container.NUMPY


def test_closure_names_in_annotations() -> None:
    Number = float

    @udfvm.udf
    def function(x: Number) -> Number:
        return Number(x)

    assert function.parameters[0].type.kind is Kind.FLOAT


def _missing(x: Missing) -> int:
    return 0


def _plain(x: int) -> int:
    return x


def _untyped(x, y):  # type: ignore[no-untyped-def]
    return x


def _variadic(*values: int) -> int:
    return 0


def _keyword_only(*, x: int) -> int:
    return 0


def _two_types(x: int | str) -> int:
    return 0


def _returns_none(x: int) -> None:
    return None


def _returns_nothing(x: int):  # type: ignore[no-untyped-def]
    return x


def _array(x: np.ndarray) -> int:  # type: ignore[type-arg]
    return 0


def _decimal(x: Decimal) -> int:
    return 0


def _chunked(x: pa.ChunkedArray) -> int:
    return 0


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (_missing, {}, "annotation cannot be evaluated.*Missing"),
        (_untyped, {}, "parameter 'x' has no type: annotate it, or pass input_types="),
        (_untyped, {"input_types": ["int64"], "output_type": "int64"}, "1 types for 2 parameters"),
        (
            _untyped,
            {"input_types": {"z": "int64"}, "output_type": "int64"},
            "'z', which is not a parameter",
        ),
        (_untyped, {"input_types": "int64", "output_type": "int64"}, "must be a list"),
        (
            _untyped,
            {"input_types": ["int64", "int65"], "output_type": "int64"},
            "parameter 'y'.*'int65' is not a supported type",
        ),
        (_untyped, {"input_types": ["int64", "int64"]}, "the result has no type.*output_type="),
        (_variadic, {}, "cannot be passed by position"),
        (_keyword_only, {}, "cannot be passed by position"),
        (_two_types, {}, "allows more than one type"),
        (_returns_none, {}, "the result is annotated None"),
        (_returns_nothing, {}, "the result has no type"),
        (_array, {"input_types": ["int64"]}, "needs @udfvm.udf\\(vectorized=True\\)"),
        (_chunked, {"input_types": ["int64"]}, "annotate pyarrow.Array"),
        (_decimal, {}, "Decimal.*is not a supported type"),
        (_plain, {"input_types": ["string"]}, "annotated int but input_types= says string"),
        (_plain, {"isolation": "batch"}, "must be 'statement' or 'row'"),
        (_plain, {"timeout": -1}, "timeout=-1"),
        (_plain, {"memory": "lots"}, "is not a size"),
        (_plain, {"memory": "1MiB"}, "not between"),
        (_plain, {"max_output": 0}, "max_output=0 must be from 1"),
        (_plain, {"name": "no name"}, "pass name="),
        (_plain, {"name": "x" * 300}, "longer than 255 bytes"),
        (_plain, {"packages": "pandas"}, "must be a list"),
        (_plain, {"packages": ["not a module"]}, "not the name of a module"),
        (lambda x: x, {"input_types": ["int64"], "output_type": "int64"}, "pass name="),
        (3, {}, "decorates functions"),
        (
            lambda: 0,
            {"vectorized": True, "name": "f", "output_type": "int64"},
            "at least one parameter",
        ),
    ],
)
def test_mistakes_are_found_at_decoration(
    function: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(SignatureError, match=message):
        udfvm.udf(**options)(function)


def test_limits_of_the_decorator() -> None:
    function = udfvm.udf(
        timeout=0.25,
        memory="100MiB",
        max_output="1MiB",
        deterministic=True,
        isolation="row",
        name="other",
    )(_plain)
    assert function.limits.timeout_ns == 250_000_000
    assert function.limits.memory == 100 << 20
    assert function.limits.max_output == 1 << 20
    assert function.limits.deterministic
    assert (function.isolation, function.name) == ("row", "other")
    assert udfvm.udf(_plain).limits.timeout_ns == 10_000_000_000
    assert "int64" in repr(function)


def test_import_is_light() -> None:
    code = (
        "import sys, udfvm\n@udfvm.udf\ndef f(x: float) -> float | None: return x\nheavy ="
        " {'pyarrow', 'numpy', 'pandas', 'cloudpickle', 'cffi', 'udfvm.vmm'} &"
        " set(sys.modules)\nassert not heavy, heavy\nassert udfvm.arrow.register and"
        " udfvm.errors.Error is udfvm.Error\ntry: udfvm.nothing\nexcept AttributeError: pass\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ---- Rows ----


def _codec(*types: str, result: str = "int64", nullable: bool = False) -> RowCodec:
    parameters = [
        Parameter(f"p{index}", named(type_), nullable) for index, type_ in enumerate(types)
    ]
    return RowCodec("f", parameters, ResultType(named(result), True))


def test_layout_of_a_row() -> None:
    row = _codec("int64", "string", "double", "binary", "bool", nullable=True).encode(
        [-5, "é", 2.5, None, True]
    )
    end = 8 + 5 * 16
    assert row[:8] == struct.pack("<II", 5, 0)
    assert row[8:end] == b"".join(
        [
            struct.pack("<IIq", 1, 0, -5),
            struct.pack("<IIQ", 3, 2, end),
            struct.pack("<IId", 2, 0, 2.5),
            struct.pack("<IIQ", 0, 0, 0),
            struct.pack("<IIq", 5, 0, 1),
        ]
    )
    assert row[end:] == "é".encode()


@pytest.mark.parametrize("count", range(6))
def test_rows_of_numbers(count: int) -> None:
    row = _codec(*["double"] * count).encode([float(index) for index in range(count)])
    assert row == struct.pack("<II", count, 0) + b"".join(
        struct.pack("<IId", 2, 0, index) for index in range(count)
    )


def test_null_arguments() -> None:
    parameters = [Parameter("a", named("int64"), False), Parameter("b", named("int64"), True)]
    codec = RowCodec("f", parameters, ResultType(named("int64"), False))
    assert codec.is_null([None, 1])
    assert not codec.is_null([1, None])
    assert not codec.is_null([1, 1])


@pytest.mark.parametrize(
    ("type_", "value", "found"),
    [
        ("int64", 1.5, "got float"),
        ("int64", "1", "got str"),
        ("int64", 2**63, "out of the range"),
        ("int8", 128, "out of the range"),
        ("double", "1", "got str"),
        ("double", 10**400, "too large"),
        ("string", b"x", "got bytes"),
        ("string", "\ud800", "not valid Unicode"),
        ("binary", "x", "got str"),
        ("bool", 1, "got int"),
        ("date32[day]", datetime.datetime(2020, 1, 1), "got datetime"),
        ("timestamp[us]", datetime.date(2020, 1, 1), "got date"),
        ("timestamp[us]", datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC), "an aware datetime"),
        ("timestamp[us, tz=UTC]", datetime.datetime(2020, 1, 1), "a naive datetime"),
        ("timestamp[s]", datetime.datetime(2020, 1, 1, 0, 0, 0, 1), "no whole number of s"),
        ("timestamp[ns]", datetime.datetime(2500, 1, 1), "out of the range"),
    ],
)
def test_wrong_arguments_are_named(type_: str, value: object, found: str) -> None:
    with pytest.raises(TypeMappingError, match=f"argument 'p0'.*{found}"):
        _codec(type_).encode([value])


def test_numpy_scalars_are_values() -> None:
    assert _codec("int64", "double", "bool").encode(
        [np.int8(3), np.float32(0.5), np.bool_(True)]
    ) == _codec("int64", "double", "bool").encode([3, 0.5, True])


def _reply(type_: int, length: int, value: int | float, rest: bytes = b"") -> bytes:
    return (
        struct.pack("<II", type_, length)
        + struct.pack("<d" if isinstance(value, float) else "<q", value)
        + rest
    )


@pytest.mark.parametrize(
    ("result", "reply", "expected"),
    [
        ("int64", _reply(1, 0, -(2**63)), -(2**63)),
        ("double", _reply(2, 0, 1.5), 1.5),
        ("string", _reply(3, 3, 16, b"a\0b"), "a\0b"),
        ("binary", _reply(4, 2, 17, b"abc"), b"bc"),
        ("bool", _reply(5, 0, 1), True),
        ("date32[day]", _reply(1, 0, 1), datetime.date(1970, 1, 2)),
        ("date64[ms]", _reply(1, 0, 86_400_000), datetime.date(1970, 1, 2)),
        ("timestamp[ms]", _reply(1, 0, -1), datetime.datetime(1969, 12, 31, 23, 59, 59, 999000)),
        (
            "timestamp[ns, tz=UTC]",
            _reply(1, 0, 1000),
            datetime.datetime(1970, 1, 1, microsecond=1, tzinfo=datetime.UTC),
        ),
        ("int64", _reply(0, 0, 0), None),
    ],
)
def test_replies_are_decoded(result: str, reply: bytes, expected: object) -> None:
    assert _codec(result=result).decode(reply) == expected


@pytest.mark.parametrize(
    ("result", "reply"),
    [
        ("int64", b""),
        ("int64", b"\1" * 15),
        ("int64", _reply(2, 0, 1.5)),
        ("int64", _reply(99, 0, 1)),
        ("int8", _reply(1, 0, 128)),
        ("bool", _reply(5, 0, 2)),
        ("string", _reply(3, 2, 16, b"\xff\xfe")),
        ("string", _reply(3, 5, 16, b"abcd")),
        ("string", _reply(3, 1, -1, b"abcd")),
        ("binary", _reply(4, 0xFFFFFFFF, 16, b"abcd")),
        ("binary", _reply(4, 1, 2**62, b"abcd")),
        ("date32[day]", _reply(1, 0, 2**31)),
        ("date64[ms]", _reply(1, 0, 5)),
    ],
)
def test_invalid_replies_are_refused(result: str, reply: bytes) -> None:
    with pytest.raises(ProtocolError, match="reply is not valid"):
        _codec(result=result).decode(reply)


@pytest.mark.parametrize(
    ("result", "count"),
    [
        ("date32[day]", 2**31 - 1),
        ("date64[ms]", 2**36 * 86_400_000),
        ("timestamp[us]", 2**63 - 1),
        ("timestamp[ns]", 1),
        ("timestamp[us, tz=+05:00]", 253402300799999999),
    ],
)
def test_replies_that_python_has_no_value_for(result: str, count: int) -> None:
    with pytest.raises(TypeMappingError, match=r"the result is a .* that Python cannot hold"):
        _codec(result=result).decode(_reply(1, 0, count))


@given(
    st.binary(max_size=64),
    st.sampled_from(
        ["int64", "int8", "double", "string", "binary", "bool", "date32[day]", "timestamp[us]"]
    ),
)
def test_any_reply_is_decoded_or_refused(reply: bytes, result: str) -> None:
    try:
        _codec(result=result).decode(reply)
    except (ProtocolError, TypeMappingError):
        pass


# ---- Batches ----


def _stream(array: pa.Array, name: str = "result", **options: Any) -> bytes:
    batch = pa.RecordBatch.from_arrays([array], names=[name])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def _batch_codec(result: pa.DataType) -> BatchCodec:
    return BatchCodec(
        "f", [Parameter("x", declared(result), False)], ResultType(declared(result), True)
    )


SAMPLES = [
    pa.array([1, None, 3], pa.int64()),
    pa.array([1.5, 2.5]),
    pa.array(["a", None, "ccc"]),
    pa.array([b"", b"xy"], pa.large_binary()),
    pa.array([True, None, False]),
    pa.nulls(3),
    pa.array([0, None], pa.timestamp("ns", tz="UTC")),
    pa.array(["x"] * 9, pa.large_string()),
]


@pytest.mark.parametrize("array", SAMPLES, ids=lambda array: str(array.type))
def test_streams_are_written_and_read(array: pa.Array) -> None:
    codec = _batch_codec(array.type)
    batch = codec.batch([array])
    window = bytearray(1 << 16)
    length = codec.write(memoryview(window), batch)
    assert length == codec.size(batch)
    assert pa.ipc.open_stream(bytes(window[:length])).read_all().to_batches()[0].equals(batch)
    assert codec.read(_stream(array), len(array)).equals(array)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (b"", "schema"),
        (_stream(pa.array([1, 2], pa.int32())), "schema"),
        (_stream(pa.array([1, 2]), name="other"), "schema"),
        (_stream(pa.array([1, 2, 3])), "3 rows where the request had 2"),
        (_stream(pa.array([1, 2]))[:-200], "no valid stream"),
        (_stream(pa.array([1, 2]), compression="zstd"), "compressed"),
    ],
)
def test_other_streams_are_refused(reply: bytes, message: str) -> None:
    with pytest.raises(ProtocolError, match=message):
        _batch_codec(pa.int64()).read(reply, 2)


def test_invalid_utf8_is_refused() -> None:
    bad = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(struct.pack("<ii", 0, 2)), pa.py_buffer(b"\xff\xff")]
    )
    with pytest.raises(ProtocolError, match="UTF8"):
        _batch_codec(pa.string()).read(_stream(bad), 1)


def test_offsets_outside_of_the_data_are_refused() -> None:
    good = _stream(pa.array(["ab", "cd"]))
    offsets = struct.pack("<iii", 0, 2, 4)
    place = good.rindex(offsets)
    for bad in ((0, 2, 1 << 30), (0, 3, 2), (-4, 0, 4)):
        reply = good[:place] + struct.pack("<iii", *bad) + good[place + 12 :]
        with pytest.raises(ProtocolError):
            _batch_codec(pa.string()).read(reply, 2)


def _mutations(original: bytes) -> st.SearchStrategy[bytes]:
    def mutate(changes: list[tuple[int, int]], cut: int) -> bytes:
        changed = bytearray(original)
        for place, value in changes:
            changed[place % len(changed)] = value
        return bytes(changed[: len(changed) - cut])

    return st.builds(
        mutate,
        st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=6),
        st.integers(0, 64),
    )


@pytest.mark.parametrize("array", SAMPLES, ids=lambda array: str(array.type))
def test_damaged_streams_are_read_validly_or_refused(array: pa.Array) -> None:
    codec = _batch_codec(array.type)

    @given(_mutations(_stream(array)))
    def check(reply: bytes) -> None:
        try:
            result = codec.read(reply, len(array))
        except ProtocolError:
            return
        assert result.type == array.type
        assert len(result) == len(array)
        result.validate(full=True)
        (
            result.cast(pa.string())
            if not pa.types.is_large_binary(array.type) and not pa.types.is_timestamp(array.type)
            else repr(result)
        )

    check()


def test_decorator_keeps_the_function() -> None:
    def documented(x: int) -> int:
        """Says what it does."""
        return x

    function: Callable[..., object] = documented
    wrapped = udfvm.udf(documented)
    assert wrapped.function is function
    assert wrapped.__doc__ == "Says what it does."
    with pytest.raises(SignatureError, match="a UDF already"):
        udfvm.udf(wrapped)
