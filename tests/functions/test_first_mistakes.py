"""What those meet who use udfvm for the first time: their mistakes are named in its words, with the
way out.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Any

import apsw
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pytest

import udfvm


def without_addresses(value: object) -> str:
    """Names of tests are the same in all processes of a session."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


@udfvm.udf
def text(x: str) -> str:
    return x


@udfvm.udf
def real(x: float) -> float:
    return x


@udfvm.udf
def several(x: list[float], y: float) -> float:
    return y * len(x)


@udfvm.udf(vectorized=True)
def column(x: float, y: float) -> float:
    return x


def objects(*values: object) -> np.ndarray[Any, Any]:
    array = np.empty(len(values), object)
    array[:] = values
    return array


# ---- Columns ----


@pytest.mark.parametrize(
    "missing",
    [float("nan"), np.float64("nan"), np.float32("nan")],
    ids=["python", "float64", "float32"],
)
@pytest.mark.parametrize(
    ("declared", "before"),
    [
        ("string", "a"),
        ("int64", 1),
        ("bool", True),
        ("binary", b"a"),
        ("date32", np.datetime64("2024-01-01")),
    ],
)
def test_nan_where_a_null_is_meant(declared: str, before: object, missing: object) -> None:
    same = udfvm.udf(lambda x: x, name="same", input_types=[declared], output_type=declared)
    with pytest.raises(udfvm.TypeMappingError) as caught:
        same(objects(before, missing))
    message = str(caught.value)
    assert (
        message.startswith("UDF 'same', row 1: argument 'x' (position 1) is declared ")
        and message.count("argument") == 1
    )
    assert message.endswith("got nan, which is a float: pass None where a value is missing")
    assert (
        caught.value.row == 1
        and caught.value.reason in message
        and "UDF" not in caught.value.reason
    )


def test_errors_in_columns_and_lists_say_once_where() -> None:
    for function, arguments in (
        (real, (objects(1.0, "x"),)),
        (several, ([1.0, "x"], 1.0)),
        (several, (["x"], np.array([1.0]))),
    ):
        with pytest.raises(udfvm.TypeMappingError) as caught:
            function(*arguments)
        assert str(caught.value).count("UDF") == 1 and "got str" in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        [1.0],
        (1.0, 2.0),
        {1.0},
        frozenset({1.0}),
        range(3),
        iter([1.0]),
        (x for x in (1.0,)),
        deque([1.0]),
        {1.0: 2}.keys(),
    ],
    ids=without_addresses,
)
def test_python_collections_are_no_columns(value: object) -> None:
    numbers = np.array([1.0])
    for call in (
        lambda: real(value),
        lambda: column(value, 1.0),
        lambda: column(numbers, value),
        lambda: column(pa.array(numbers), value),
    ):
        with pytest.raises(
            udfvm.TypeMappingError,
            match=r"as a column, pass numpy\.array\(\.\.\.\) or pyarrow\.array\(\.\.\.\) of it",
        ):
            call()


def test_lists_of_lists_are_no_columns_of_lists() -> None:
    with pytest.raises(
        udfvm.TypeMappingError, match=r"as a column of lists, pass pyarrow\.array\(\.\.\.\) of it"
    ):
        several([[1.0], [2.0]], 1.0)
    assert several(pa.array([[1.0], [2.0, 3.0]]), 1.0).to_pylist() == [1.0, 2.0]


def test_what_is_no_collection_gets_no_such_advice() -> None:
    for value in (
        "abc",
        b"abc",
        bytearray(b"x"),
        memoryview(b"x"),
        pa.scalar([1.0]),
        {"a": 1},
        object(),
    ):
        with pytest.raises(udfvm.TypeMappingError) as caught:
            real(value)
        assert "as a column" not in str(caught.value)


# ---- Declarations ----


@pytest.mark.parametrize(
    "annotation",
    [
        np.ndarray,
        npt.NDArray[np.complex128],
        npt.NDArray[np.datetime64],
        npt.NDArray,
        np.ndarray | None,
        np.ndarray[Any, Any],
    ],
    ids=without_addresses,
)
def test_numpy_annotations_without_an_element_type(annotation: object) -> None:
    def function(x: Any) -> Any:
        return x

    advice = re.escape(
        "annotate numpy.typing.NDArray[numpy.float64] (or numpy.int64, numpy.bool_, numpy.str_,"
        " ...), or pass "
    )
    function.__annotations__ = {"x": annotation, "return": npt.NDArray[np.float64]}
    with pytest.raises(
        udfvm.SignatureError,
        match=f"parameter 'x' is annotated as a numpy array without .*{advice}input_types=",
    ):
        udfvm.udf(vectorized=True)(function)
    assert udfvm.udf(vectorized=True, input_types=["double"])(function)(
        np.array([1.5])
    ).tolist() == [1.5]
    function.__annotations__ = {"x": npt.NDArray[np.float64], "return": annotation}
    with pytest.raises(
        udfvm.SignatureError,
        match=f"the result is annotated as a numpy array without .*{advice}output_type=",
    ):
        udfvm.udf(vectorized=True)(function)
    with pytest.raises(udfvm.SignatureError, match=r"needs @udfvm\.udf\(vectorized=True\)"):
        udfvm.udf(function)


def test_arrow_annotations_without_an_element_type() -> None:
    def function(x: pa.Array) -> pa.DoubleArray:
        return x

    with pytest.raises(
        udfvm.SignatureError,
        match=(
            r"as a pyarrow array without .*: annotate pyarrow\.DoubleArray .* or pass input_types="
        ),
    ):
        udfvm.udf(vectorized=True)(function)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["price"], "host_functions= has the text 'price': give the function itself, [price]"),
        (["not a name"], "give the function itself, [price]"),
        ("price", "host_functions= must be a list of functions, such as [price]; got 'price'"),
        (
            len,
            (
                "host_functions= must be a list of functions, such as [len]; got <built-in function"
                " len>"
            ),
        ),
        ({"length": len}, "host_functions= must be a list of functions"),
        (None, "host_functions= must be a list of functions, such as [price]; got None"),
        (
            [None],
            "host_functions= has None, which is not a function with a name: write it with def",
        ),
        ([lambda: 1], "which is not a function with a name: write it with def"),
    ],
    ids=without_addresses,
)
def test_host_functions_of_the_wrong_shape(given: Any, message: str) -> None:
    c = "#include <udfvm.h>\nUDFVM_SCALAR(one, f64, (f64, x)) { return 1; }"
    for declare in (
        lambda: udfvm.udf(host_functions=given, name="one", output_type="int64")(lambda: 1),
        lambda: udfvm.table_function(name="none", host_functions=given, columns={"x": int})(
            lambda: iter(())
        ),
        lambda: udfvm.from_c(c, "one", host_functions=given),
    ):
        with pytest.raises(udfvm.SignatureError, match=re.escape(message)):
            declare()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "pandas",
            "packages= must be a list of names of modules, such as ['pandas']; got 'pandas'",
        ),
        (np, "packages= must be a list of names of modules, such as ['numpy']; got <module"),
        (None, "packages= must be a list of names of modules, such as ['pandas']; got None"),
        ([np, "pandas"], "packages= has the module 'numpy': pass its name, 'numpy'"),
        (["nope-not", 5], "packages= has 'nope-not', which is not the name of a module"),
        ([5], "packages= has 5, which is not the name of a module"),
    ],
    ids=without_addresses,
)
def test_packages_of_the_wrong_shape(given: Any, message: str) -> None:
    with pytest.raises(udfvm.SignatureError, match=re.escape(message)):
        udfvm.udf(packages=given, name="one", output_type="int64")(lambda: 1)
    with pytest.raises(udfvm.OptionError, match=re.escape(f"udfvm.sqlite.Policy: {message}")):
        udfvm.sqlite.Policy(packages=given)


def test_an_empty_module() -> None:
    for empty in (b"", "", " \n"):
        with pytest.raises(udfvm.SignatureError, match="not a WebAssembly file: it is empty"):
            udfvm.from_wasm(empty, "f")
    with pytest.raises(udfvm.SignatureError, match="the module exports no function f: it has none"):
        udfvm.from_wasm(b"\0asm\1\0\0\0", "f")


def test_a_column_of_pandas_with_missing_texts() -> None:
    column_ = pd.Series(["a", None, "c"])
    assert text(pa.array(column_)).to_pylist() == ["a", None, "c"]
    assert text(column_).isna().tolist() == [False, True, False]
    with pytest.raises(
        udfvm.TypeMappingError,
        match=r"pass it as a numpy array or pyarrow array, such as pyarrow\.array\(\.\.\.\)",
    ):
        text(objects("a", column_))


# ---- Registering ----


def plain(x: float) -> float:
    return x


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (plain, "takes UDFs; got <function plain at 0x.*: decorate it with @udfvm.udf"),
        ([real], "takes UDFs one by one; got a list: write a \\* before it"),
        ((real, text), "takes UDFs one by one; got a tuple"),
        ("real", "takes UDFs; got 'real'"),
        (None, "takes UDFs; got None"),
    ],
    ids=["function", "list", "tuple", "text", "None"],
)
def test_what_is_no_udf_is_not_registered(given: Any, message: str) -> None:
    with pytest.raises(udfvm.SignatureError, match=f"udfvm.sqlite.register {message}"):
        udfvm.sqlite.register(apsw.Connection(":memory:"), given)
    with pytest.raises(udfvm.SignatureError, match=f"udfvm.arrow.register {message}"):
        udfvm.arrow.register(None, given)


@pytest.mark.parametrize("given", ["data.db", None, object()], ids=["path", "None", "object"])
def test_what_is_no_connection(given: Any) -> None:
    with pytest.raises(
        udfvm.Error,
        match=r"takes an apsw\.Connection or a sqlite3\.Connection; got (str|NoneType|object)$",
    ):
        udfvm.sqlite.register(given, real)


def test_one_argument_is_one() -> None:
    with pytest.raises(udfvm.TypeMappingError, match=r"it takes 1 argument \(\w+\)$"):
        real()


def test_a_module_for_from_elf() -> None:
    with pytest.raises(udfvm.SignatureError, match=r"WebAssembly module: pass it to .*from_wasm"):
        udfvm.from_elf(b"\0asm\1\0\0\0", "f", signature="(f64) -> f64")


@pytest.mark.parametrize(
    ("name", "similar"),
    [
        ("shop:prices/of#get-price", "get_price"),
        ("gcd(int32,int32)->int32", "gcd"),
        ("<lambda>", "score"),
        ("3", "score"),
    ],
)
def test_a_name_that_is_no_identifier(name: str, similar: str) -> None:
    with pytest.raises(udfvm.SignatureError, match=f"pass name=, such as name='{similar}'$"):
        udfvm.from_wasm('(module (func (export "f")))', "f", name=name)
