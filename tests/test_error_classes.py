"""Errors that users cause have the classes that docs/reference.md says."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pyarrow as pa
import pytest

import udfvm
from udfvm.sqlite import Policy


def one(x: int) -> int:
    return x


def rows(n: int) -> Any:
    yield from range(n)


def _options(make: Callable[..., Any], **options: Any) -> Callable[[], Any]:
    return lambda: make(**options)


@pytest.mark.parametrize(
    ("declare", "text"),
    [
        (_options(udfvm.udf(one).with_options, isolation="x"), "isolation='x' must be"),
        (_options(udfvm.udf(one).with_options, log="x"), "log='x' must be"),
        (_options(udfvm.udf(one).with_options, pool=4), "pool= takes a udfvm.Pool; got 4"),
        (_options(udfvm.udf(one).with_options, timeout=-1), "timeout=-1 must be"),
        (_options(udfvm.udf(one).with_options, packages="numpy"), "packages= must be a list"),
        (_options(udfvm.udf(one).with_options, host_functions=one), "host_functions= must be"),
        (_options(udfvm.udf(one).with_options, bogus=1), "unknown option bogus="),
        (lambda: udfvm.udf(one, sample=(1, 2)).prepare(), "sample= must be a tuple"),
        (lambda: udfvm.udf(one, sample=("a",)).prepare(), "sample="),
        (_options(Policy, bogus=1), "unknown option bogus="),
        (_options(Policy, log="x"), "Policy: log='x' must be"),
        (_options(Policy, languages="python"), "languages= must be a list of names of languages"),
        (_options(Policy, languages=3), "languages= must be a list of names of languages"),
        (_options(udfvm.Pool, size=0), "size=0 must be from 1 to 4096"),
        (
            lambda: udfvm.sqlite.register(apsw.Connection(":memory:"), policy="x"),  # type: ignore[arg-type]
            "udfvm.sqlite.register: policy= takes a udfvm.sqlite.Policy; got 'x'",
        ),
        (
            lambda: udfvm.table_function(columns=["a"])(rows),  # type: ignore[call-overload]
            "columns= must be a dictionary of names and types, such as {'a': int}, or a"
            " pyarrow.Schema; got ['a']",
        ),
        (
            lambda: udfvm.from_c("", "f", compiler="gcc"),
            "compiler= and flags= must be lists of texts; got 'gcc'",
        ),
        (
            lambda: udfvm.from_wasm("(module)", "f", args="a"),
            "args= must be a list of texts",
        ),
    ],
)
def test_a_wrong_option_is_an_option_error(declare: Callable[[], Any], text: str) -> None:
    with pytest.raises(udfvm.OptionError, match=re.escape(text)) as caught:
        declare()
    assert isinstance(caught.value, udfvm.SignatureError) and isinstance(caught.value, ValueError)


def test_columns_may_be_a_schema() -> None:
    schema = pa.schema([("a", pa.int64()), pa.field("b", pa.string(), nullable=False)])
    function = udfvm.table_function(columns=schema)(rows)
    assert [(each.name, str(each.type), each.nullable) for each in function.columns] == [
        ("a", "int64", True),
        ("b", "string", False),
    ]


def test_a_missing_file_of_code_is_named_with_its_udf(tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    for load in (udfvm.from_elf, udfvm.from_wasm):
        with pytest.raises(udfvm.CodeFileNotFoundError) as caught:
            load(absent, "half")
        assert isinstance(caught.value, FileNotFoundError)
        assert str(caught.value) == (
            f"UDF 'half': {absent} cannot be read: No such file or directory"
        )
        assert caught.value.filename == absent
        with pytest.raises(udfvm.CodeFileError, match=r"UDF 'half': .* cannot be read: Not a dir"):
            load(__file__ + "/x", "half")


def test_an_object_as_bytes(tmp_path: Path) -> None:
    with pytest.raises(udfvm.SignatureError, match="UDF 'half': the file is not an"):
        udfvm.from_elf(b"no ELF file", "half", signature="(x: f64) -> f64")


def test_a_reserved_name_in_sql() -> None:
    connection = apsw.Connection(":memory:")
    with pytest.raises(udfvm.SignatureError, match="the name 'vm_udf' begins with vm_"):
        udfvm.sqlite.register(connection, udfvm.udf(one), name="vm_udf")


def test_changes_while_a_statement_runs() -> None:
    connection = apsw.Connection(":memory:")
    function = udfvm.udf(one)
    udfvm.sqlite.register(connection, function)
    cursor = connection.execute("SELECT one(column1) FROM (VALUES (1), (2))")
    next(cursor)
    with pytest.raises(udfvm.SQLConnectionError, match=r"unregister: one: cannot be unreg"):
        udfvm.sqlite.unregister(connection, function)
    with pytest.raises(udfvm.SQLConnectionError, match=r"register: one: cannot be redefined"):
        udfvm.sqlite.register(connection, udfvm.udf(one, deterministic=True))
    assert list(cursor) == [(2,)]


def test_a_closed_connection() -> None:
    connection = apsw.Connection(":memory:")
    connection.close()
    with pytest.raises(udfvm.SQLConnectionError, match=r"^udfvm\.sqlite\.register: .*closed"):
        udfvm.sqlite.register(connection, udfvm.udf(one))


def test_a_path_is_no_source_in_c(tmp_path: Path) -> None:
    for source in (tmp_path / "half.c", "half.c"):
        with pytest.raises(udfvm.OptionError, match=r"source= must be .*: read the file, as by"):
            udfvm.from_c(source, "half")  # type: ignore[arg-type]
    with pytest.raises(udfvm.OptionError, match=r"source= must be the text of a source; got 3$"):
        udfvm.from_c(3, "half")  # type: ignore[arg-type]


def test_an_undefined_symbol_comes_with_advice() -> None:
    source = "double wave(double); double f(double x) { return wave(x); }"
    with pytest.raises(udfvm.SignatureError, match=r"undefined symbol: wave.*flags=\['-lm'\]"):
        udfvm.from_c(source, "f", signature="(x: f64) -> f64")


@pytest.mark.parametrize("option", ["args", "env", "root", "signature", "input_types"])
def test_what_a_copy_cannot_change(option: str) -> None:
    given: dict[str, Any] = {option: None}
    text = f"UDF 'one': {option}= is fixed where the function is declared: declare it again"
    with pytest.raises(udfvm.OptionError, match=re.escape(text)):
        udfvm.udf(one).with_options(**given)


def test_the_bounds_of_memory() -> None:
    with pytest.raises(udfvm.OptionError, match="memory=1 must be from 16 MiB to 64 GiB"):
        udfvm.udf(one, memory=1)


def test_no_failure_has_the_base_class_alone() -> None:
    package = Path(udfvm.__file__).parent
    raised = [
        f"{path.relative_to(package)}:{number}"
        for path in package.rglob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"raise (errors\.|udfvm\.)?Error\(", line)
    ]
    assert raised == []


def test_the_security_model_lists_how_calls_end() -> None:
    """Each exception that a call can end with is in its table."""
    page = (Path(__file__).parents[1] / "docs" / "security.md").read_text()
    table = page.split("\n## How a call ends\n", 1)[1].split("| exit | then |", 1)[0]
    ends = {udfvm.DataFileChangedError, udfvm.ForkedError, udfvm.HostError}
    ends |= set(udfvm.CallError.__subclasses__())
    assert {end.__name__ for end in ends if f"`{end.__name__}`" not in table} == set()
