"""Modules for arrow-udf: C programs that follow its ABI. One computes, with the guest's own reader
of Arrow files; one checks, byte for byte, that the files it is given are those that pyarrow writes,
and answers with files that pyarrow wrote.
"""

from __future__ import annotations

import base64
import pickle
from pathlib import Path

import apsw
import pyarrow as pa
import pytest
import wasi_programs

import udfvm
from udfvm import errors

GUEST = Path(__file__).resolve().parents[2] / "guest"

SOURCES = Path(__file__).parent / "arrow_udf"

EXPORTS = {
    "gcd": "gcd(int32,int32)->int32",
    "gcd_wide": "gcd(int64,int64)->int64",
    "repeat": "repeat(string,int32)->string",
    "refuse": "refuse(boolean)->binary",
    "outside": "outside(boolean)->int8",
    "junk": "junk(boolean)->int8",
    "count_to": "count_to(int32)->>string",
    "count_freed": "count_freed()->int32",
    "count_dropped": "count_dropped()->int32",
    "panic": "panic(boolean)->int8",
}


def export_name(signature: str) -> str:
    return "arrowudf_" + base64.b64encode(signature.encode(), b"$_").rstrip(b"=").decode()


def arrow_file(columns: dict[str, pa.Array]) -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_batch(table)
    return bytes(sink.getvalue().to_pybytes())


def c_array(name: str, data: bytes) -> str:
    return f"static const uint8_t {name}[] = {{ {','.join(map(str, data))} }};\n"


def compiled(folder: Path, source: str, *more: str | Path) -> Path:
    options = ("-O1", "-mexec-model=reactor", "-I.", f"-I{SOURCES}")  # of -O the last one holds
    return wasi_programs.compiled(folder, "module", source, *options, *map(str, more))


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("computing")
    templates = c_array("int32_result", arrow_file({"gcd": pa.array([1], pa.int32())}))
    table = {
        "row": pa.array([1], pa.int32()),
        "count_to": pa.array(["x"]),
        "error": pa.array(["x"]),
    }
    templates += c_array("table_result", arrow_file(table))
    templates += c_array(
        "text_and_error", arrow_file({"repeat": pa.array(["x"]), "error": pa.array(["x"])})
    )
    (folder / "templates.h").write_text("#include <stdint.h>\n" + templates)
    functions = "".join(
        f'__attribute__((export_name("{export_name(signature)}"))) int {function}_export(const'
        f" uint8_t *file, uint32_t length, struct slice *out) {{ return {function}(file, length,"
        " out); }\n"
        for function, signature in EXPORTS.items()
    )
    runtimes = GUEST / "runtimes"
    names = ["arrow/body", "arrow/flatbuffer", "arrow/storage", "arrow/stream_format"]
    return compiled(
        folder,
        (SOURCES / "computing.c").read_text() + functions,
        f"-I{GUEST / 'include'}",
        f"-I{runtimes}",
        *(runtimes / f"{name}.c" for name in (*names, "wasm/arrow_file")),
    )


def test_scalar_functions(module: Path) -> None:
    gcd = udfvm.from_wasm(module, "gcd(int32,int32)->int32", name="gcd")
    assert repr(gcd) == "<UDF gcd(a0: int32 | null, a1: int32 | null) -> int32>"
    assert gcd(12, 18) == 6
    assert gcd(None, 18) is None
    numbers = pa.array([12, None, 7, 100], pa.int32())
    assert gcd(numbers, 10).to_pylist() == [2, None, 1, 10]
    many = pa.array(range(100_000), pa.int32())
    assert gcd(many, many).equals(many)


def test_texts_and_errors_of_rows(module: Path) -> None:
    repeat = udfvm.from_wasm(module, "repeat")
    assert repeat("añ", 3) == "añañañ"
    assert repeat(pa.array(["ab", "", "c"]), pa.array([2, 5, 0], pa.int32())).to_pylist() == [
        "abab",
        "",
        "",
    ]
    with pytest.raises(udfvm.UDFError, match=r"row 2: RuntimeError: -7 times\?"):
        repeat(pa.array(["a", "b", "c"]), pa.array([1, 1, -7], pa.int32()))
    assert repeat("a", 1) == "a"


def test_a_function_without_parameters_and_what_is_given_back(module: Path) -> None:
    assert udfvm.from_wasm(module, "count_freed")() == 0
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, udfvm.from_wasm(module, "count_freed"))
    query = (
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 20) SELECT"
        " count_freed() FROM n"
    )
    assert sorted({x for (x,) in connection.execute(query)})[:3] == [0, 2, 4]


def test_declared_types(module: Path) -> None:
    strict = udfvm.from_wasm(module, "gcd", signature="(a: i32, b: i32) -> i32")
    assert strict(12, 18) == 6
    assert strict(pa.array([12, None], pa.int32()), 18).to_pylist() == [6, None]
    with pytest.raises(udfvm.UDFError, match="the wide one"):
        udfvm.from_wasm(module, "gcd", signature="(i64, i64) -> i64")(1, 1)
    with pytest.raises(
        udfvm.UDFError, match="the function returned a null, and the declared result has no"
    ):
        udfvm.from_wasm(module, "gcd", signature="(a: i32?, b: i32) -> i32")(None, 1)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("gcd", r"more than one function gcd in the module, which has: gcd\(int"),
        ("nothing", "there is no function nothing in the module, which has: .*refuse"),
    ],
)
def test_functions_that_cannot_be_found(module: Path, function: str, message: str) -> None:
    with pytest.raises(errors.SignatureError, match=message):
        udfvm.from_wasm(module, function)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("refuse", "RuntimeError: I refuse"),
        (
            "panic",
            (
                r"Trap: wasm `unreachable`(.|\n)*\nIts standard error:\nthread 'main' panicked:"
                r" unlucky 13\Z"
            ),
        ),
        ("outside", "100 bytes at 0x7fff0000, which lie outside of its memory"),
        ("junk", "24 bytes, which are not an Arrow IPC file of 1 row "),
    ],
)
def test_bad_answers_end_the_call(module: Path, function: str, message: str) -> None:
    with pytest.raises(udfvm.UDFError, match=message):
        udfvm.from_wasm(module, function)(True)


def test_sql(module: Path) -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(
        connection,
        udfvm.from_wasm(module, "gcd(int32,int32)->int32", name="gcd"),
        udfvm.from_wasm(module, "repeat"),
    )
    numbers = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 20)"
    query = f"{numbers} SELECT gcd(x, 6), repeat('a' || x, 2), gcd(NULL, x) FROM n"
    expected = [
        (6 if x % 6 == 0 else 3 if x % 3 == 0 else 2 if x % 2 == 0 else 1, f"a{x}a{x}", None)
        for x in range(1, 21)
    ]
    assert connection.execute(query).fetchall() == expected


def test_modules_for_arrow_udf_are_not_stored(module: Path) -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, policy=udfvm.sqlite.Policy(allow_create=True))
    with pytest.raises(apsw.SQLError, match="cannot be stored in a database: register it"):
        connection.execute(
            "SELECT vm_create('repeat', 'wasm', ?, '(text, int) -> text')", (module.read_bytes(),)
        )


def counted(limit: int) -> list[tuple[str | None]]:
    return [(None if number == 3 else str(number),) for number in range(1, limit + 1)]


@pytest.mark.parametrize("limit", [0, 1, 7, 8, 70, 999])
def test_table_functions(module: Path, limit: int) -> None:
    count_to = udfvm.from_wasm(module, "count_to")
    assert isinstance(count_to, udfvm.TableFunction)
    assert repr(count_to) == "<table UDF count_to(a0: int32 | null) -> (value: string)>"
    assert list(count_to(limit)) == counted(limit)


def test_table_functions_stop_and_fail(module: Path) -> None:
    count_to = udfvm.from_wasm(module, "count_to")
    some = count_to(900)
    assert [next(some) for _ in range(3)] == counted(3)
    some.close()
    assert list(count_to(None)) == counted(2)
    with pytest.raises(udfvm.UDFError, match="RuntimeError: no negative numbers"):
        list(count_to(-1))
    rows: list[tuple[str | None]] = []
    with pytest.raises(udfvm.UDFError, match="RuntimeError: too far"):
        rows.extend(count_to(1000))
    assert rows == counted(999)
    assert list(pickle.loads(pickle.dumps(count_to))(2)) == counted(2)


def test_table_functions_in_sql(module: Path) -> None:
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, udfvm.from_wasm(module, "count_to"))
    assert connection.execute("SELECT c1 FROM vm_table('count_to', 9)").fetchall() == counted(9)
    assert connection.execute(
        "SELECT c1 FROM vm_table('count_to', 500) LIMIT 4"
    ).fetchall() == counted(4)
    joined = connection.execute(
        "WITH n(x) AS (VALUES (2), (0), (4)) SELECT x, c1 FROM n, vm_table('count_to', x)"
    ).fetchall()
    assert joined == [(limit, *row) for limit in (2, 4) for row in counted(limit)]
    with pytest.raises(apsw.SQLError, match="too far"):
        connection.execute("SELECT count(*) FROM vm_table('count_to', 2000)").fetchall()
    rows: list[object] = []
    with pytest.raises(apsw.SQLError, match="too far"):
        rows.extend(connection.execute("SELECT c1 FROM vm_table('count_to', 2000)"))
    assert rows == counted(999)


def test_table_functions_with_declared_types(module: Path) -> None:
    for signature in ("(limit: i32) -> text?", "(limit: i32) ->> text?"):
        count_to = udfvm.from_wasm(module, "count_to", signature=signature)
        assert isinstance(count_to, udfvm.TableFunction)
        assert repr(count_to) == "<table UDF count_to(limit: int32) -> (value: string)>"
        assert list(count_to(limit=9)) == counted(9)
        assert list(count_to(None)) == []
    strict = udfvm.from_wasm(module, "count_to", signature="(i32) -> text")
    rows: list[tuple[str | None]] = []
    with pytest.raises(
        udfvm.UDFError,
        match="TypeError: the function returned a null, and the declared result has no",
    ):
        rows.extend(strict(9))
    assert rows == counted(2)
    assert list(pickle.loads(pickle.dumps(count_to))(2)) == counted(2)
    connection = apsw.Connection(":memory:")
    udfvm.sqlite.register(connection, count_to)
    query = "WITH n(x) AS (VALUES (2), (NULL), (4)) SELECT x, c1 FROM n, vm_table('count_to', x)"
    assert connection.execute(query).fetchall() == [
        (limit, *row) for limit in (2, 4) for row in counted(limit)
    ]


def test_signatures_that_are_no_table_functions(module: Path) -> None:
    plain = '(module (func (export "f") (param i32 i32) (result i32) unreachable))'
    for code, name, expected in (
        (module, "gcd", "->> i32' is that of a table function, but 'gcd' is none in the code"),
        (plain, "f", "passes its rows to an import, udfvm.emit_f, which the module does not have"),
    ):
        with pytest.raises(errors.SignatureError, match=expected):
            udfvm.from_wasm(code, name, signature="(i32, i32) ->> i32")
    with pytest.raises(
        errors.SignatureError, match="there is no function count_to of the declared types"
    ):
        udfvm.from_wasm(module, "count_to", signature="(i64) -> text")


BATCHES = [
    ({"c0": pa.array([1, 2, 3], pa.int64())}, pa.array([True, None, False])),
    (
        {"c0": pa.array([1.5, None, -2]), "c1": pa.array(["a", "bcd", ""])},
        pa.array([b"x", b"", None]),
    ),
    (
        {
            "c0": pa.array([None, True, False]),
            "c1": pa.array([b"", b"abc", None]),
            "c2": pa.array([1, None, 3], pa.uint8()),
        },
        pa.array([1.5, 2.5, None]),
    ),
]


@pytest.mark.parametrize("number", range(len(BATCHES)))
def test_files_are_those_that_pyarrow_writes(number: int, tmp_path: Path) -> None:
    given, answer = BATCHES[number]
    names = {
        "int64": "int64",
        "double": "float64",
        "string": "string",
        "bool": "boolean",
        "binary": "binary",
        "uint8": "uint8",
    }
    types = ",".join(names[str(column.type)] for column in given.values())
    signature = f"f({types})->{names[str(answer.type)]}"
    source = (
        '#include "module.h"\n'
        + c_array("given", arrow_file(given))
        + c_array("made", arrow_file({"f": answer}))
        + f"""
        __attribute__((export_name("{export_name(signature)}")))
        int f(const uint8_t *file, uint32_t length, struct slice *out)
        {{
            if (length != sizeof given || memcmp(file, given, length) != 0)
                return fail(out, "another file was expected");
            return answer(out, made, sizeof made, 0);
        }}
    """
    )
    assert udfvm.from_wasm(compiled(tmp_path, source), "f")(*given.values()).equals(answer)


def test_other_versions_of_the_abi() -> None:
    for version in ("4_0", "0_1", "30_0", "x"):
        text = f"""(module (global (export "ARROWUDF_VERSION_{version}") i32 (i32.const 0))
                     (func (export "{export_name("f(int32)->int32")}")
                       (param i32 i32 i32) (result i32) i32.const 0))"""
        with pytest.raises(
            errors.SignatureError,
            match=rf"version {version} of the ABI of arrow-udf, not 1\.0 to 3\.0",
        ):
            udfvm.from_wasm(text, "f")


@pytest.mark.parametrize(
    ("signature", "declared", "message"),
    [
        (
            "f(int32)->struct<a:int32>",
            None,
            "takes or returns struct<a:int32>, which UDFs do not support",
        ),
        (
            "f(struct Absent)->int32",
            None,
            "takes or returns struct Absent, which the module does not describe",
        ),
        ("f(interval[])->int32", None, r"takes or returns interval, which UDFs do not support"),
        ("f(int32)->time64", None, r"takes or returns time64, which UDFs do not support"),
        (
            "f(int32)->null",
            None,
            r"takes or returns null, which has no values: a UDF must return a value",
        ),
        ("f(int32)->int32", None, "does not export memory, alloc and dealloc"),
    ],
)
def test_types_that_do_not_cross(signature: str, declared: str | None, message: str) -> None:
    exports = (
        ""
        if "memory" in message
        else """(memory (export "memory") 1)
        (func (export "alloc") (param i32 i32) (result i32) i32.const 0)
        (func (export "dealloc") (param i32 i32 i32))"""
    )
    text = f"""(module {exports} (global (export "ARROWUDF_VERSION_3_0") i32 (i32.const 0))
                 (func (export "{export_name(signature)}")
                   (param i32 i32 i32) (result i32) i32.const 0))"""
    with pytest.raises(errors.SignatureError, match=message):
        udfvm.from_wasm(text, "f", signature=declared)
