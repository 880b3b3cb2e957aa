"""UDFs as functions of pyarrow.compute and in dataset expressions."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

import udfvm
import udfvm.arrow
from udfvm.functions import arrow_registry

_numbers = itertools.count()


@pytest.fixture
def name() -> Iterator[str]:
    """A name that no test has registered: pyarrow never forgets one."""
    yield f"udf_of_test_{next(_numbers)}"


def score(dep_delay: float, distance: float) -> float | None:
    """Delay by distance.

    In percent.
    """
    return None if distance == 0 else dep_delay / distance * 100


def _registered(name: str) -> udfvm.ScalarFunction:
    function = udfvm.udf(score, name=name)
    udfvm.arrow.register(None, function)
    return function


def test_call_function(name: str) -> None:
    _registered(name)
    delays, distances = pa.array([12.0, None, 1.0]), pa.array([300.0, 1.0, 0.0])
    assert pc.call_function(name, [delays, distances]).to_pylist() == [4.0, None, None]
    assert pc.call_function(name, [delays, pa.scalar(100.0)]).to_pylist() == [12.0, None, 1.0]
    chunked = pc.call_function(
        name, [pa.chunked_array([delays, delays]), pa.chunked_array([distances] * 2)]
    )
    assert chunked.to_pylist() == [4.0, None, None] * 2
    assert pc.get_function(name).arity == 2
    assert "Delay by distance." in pc.get_function(name)._doc.summary


def test_scalars_only(name: str) -> None:
    _registered(name)
    result = pc.call_function(name, [pa.scalar(12.0), pa.scalar(300.0)])
    assert (result.to_pylist() if isinstance(result, pa.Array) else [result.as_py()]) == [4.0]


def test_datasets(name: str, tmp_path: Path) -> None:
    registered = _registered(name)
    table = pa.table(
        {
            "dep_delay": [12.0, -3.0, None, 8.0] * 500,
            "distance": [300, 100, 100, 0] * 500,
            "carrier": ["AA", "UA"] * 1000,
        }
    )
    pq.write_table(table, tmp_path / "flights.parquet", row_group_size=300)
    dataset = ds.dataset(tmp_path / "flights.parquet")
    expression = registered.expr(ds.field("dep_delay"), ds.field("distance"))
    projected = dataset.to_table(columns={"s": expression, "carrier": ds.field("carrier")})
    assert projected["s"].to_pylist() == [4.0, -3.0, None, None] * 500
    assert dataset.to_table(filter=expression > 0).num_rows == 500
    grouped = projected.group_by("carrier").aggregate([("s", "mean")]).sort_by("carrier")
    assert grouped["s_mean"].to_pylist() == [4.0, -3.0]


def test_vectorised(name: str) -> None:
    def longer(text, count):  # type: ignore[no-untyped-def]
        return pc.binary_repeat(text, count)

    function = udfvm.udf(
        longer, name=name, vectorized=True, input_types=["string", "int64"], output_type="string"
    )
    udfvm.arrow.register(None, function)
    assert pc.call_function(name, [pa.array(["a", None]), pa.array([3, 3])]).to_pylist() == [
        "aaa",
        None,
    ]


def test_errors_are_the_callers(name: str) -> None:
    def fails(x: int) -> int:
        raise ValueError(f"not {x}")

    udfvm.arrow.register(None, udfvm.udf(fails, name=name))
    with pytest.raises(udfvm.UDFError, match="ValueError: not 1"):
        pc.call_function(name, [pa.array([1])])


def test_registering_again(name: str) -> None:
    _registered(name)

    def other(dep_delay: float, distance: float) -> float:
        return dep_delay + distance

    udfvm.arrow.register(None, udfvm.udf(other, name=name))
    assert pc.call_function(name, [pa.array([1.0]), pa.array([2.0])]).to_pylist() == [3.0]

    def of_other_types(text: str) -> str:
        return text * 2

    udfvm.arrow.register(None, udfvm.udf(of_other_types, name=name))
    assert pc.call_function(name, [pa.array(["a", None])]).to_pylist() == ["aa", None]
    assert pc.get_function(name).arity == 1
    _registered(name)
    assert pc.call_function(name, [pa.array([1]), pa.array([2])]).to_pylist() == [50.0]


def test_names_of_pyarrow_are_taken() -> None:
    with pytest.raises(udfvm.SignatureError, match=r"pyarrow\.compute has a function 'add' alr"):
        udfvm.arrow.register(None, udfvm.udf(score, name="add"))


def test_no_parameters(name: str) -> None:
    def constant() -> int:
        return 1

    udfvm.arrow.register(None, udfvm.udf(constant, name=name))
    assert pc.get_function(name).arity == 0
    assert pc.call_function(name, [], length=3).to_pylist() == [1, 1, 1]
    assert pc.call_function(name, [], length=0).to_pylist() == []


def test_a_registry_is_a_target(name: str) -> None:
    udfvm.arrow.register(pc.function_registry(), udfvm.udf(score, name=name))
    assert pc.call_function(name, [pa.array([1.0]), pa.array([2.0])]).to_pylist() == [50.0]
    for target in (udfvm.udf(score), score, "score", pc):
        with pytest.raises(
            udfvm.SignatureError,
            match=r"arrow\.register takes None or pyarrow\.compute\.function_reg",
        ):
            udfvm.arrow.register(target)  # type: ignore[arg-type]
    with pytest.raises(udfvm.SignatureError, match=r"write udfvm\.arrow\.register\(None, \.\.\.\)"):
        udfvm.arrow.register(udfvm.udf(score))  # type: ignore[arg-type]


def test_another_name(name: str) -> None:
    function = udfvm.udf(score)
    udfvm.arrow.register(None, function, name=name)
    assert pc.call_function(name, [pa.array([1.0]), pa.array([2.0])]).to_pylist() == [50.0]
    with pytest.raises(udfvm.SignatureError, match="name= is the name of one function; got 2"):
        udfvm.arrow.register(None, function, function, name=name)
    udfvm.arrow.register(None, function, name=f"{name}: percent (ü)")
    columns = [pa.array([1.0]), pa.array([2.0])]
    assert pc.call_function(f"{name}: percent (ü)", columns).to_pylist() == [50.0]
    udfvm.arrow.unregister(None, f"{name}: percent (ü)")
    for wrong in ("", "a\0b", 3, "\ud800", "x" * 256):
        with pytest.raises(udfvm.SignatureError, match="cannot be a name in pyarrow"):
            udfvm.arrow.register(None, function, name=wrong)  # type: ignore[arg-type]
    with pytest.raises(udfvm.SignatureError, match=r"unknown option nme=.*did you mean name="):
        udfvm.arrow.register(None, function, nme=name)  # type: ignore[call-arg]


def test_several_at_once(name: str) -> None:
    one, other = udfvm.udf(score, name=name), udfvm.udf(score, name=f"{name}_other")
    udfvm.arrow.register(None, one, other)
    for each in (one, other):
        assert pc.call_function(each.name, [pa.array([1.0]), pa.array([2.0])])[0].as_py() == 50.0


def test_names_that_are_not_to_be_replaced(name: str) -> None:
    function = _registered(name)
    with pytest.raises(udfvm.SignatureError, match=f"a UDF '{name}' already.*replace=True"):
        udfvm.arrow.register(None, function, replace=False)
    udfvm.arrow.unregister(None, function)
    udfvm.arrow.register(None, function, replace=False)
    with pytest.raises(udfvm.OptionError, match="replace= takes True or False"):
        udfvm.arrow.register(None, function, replace=1)  # type: ignore[arg-type]


def test_unregistering(name: str) -> None:
    function = _registered(name)
    columns = [pa.array([1.0]), pa.array([2.0])]
    for target in (function, name):
        udfvm.arrow.register(None, function)
        assert pc.call_function(name, columns).to_pylist() == [50.0]
        with pytest.raises(
            udfvm.UnknownUDFError, match="no UDF named 'absent' is registered in py"
        ):
            udfvm.arrow.unregister(None, target, "absent")
        assert pc.call_function(name, columns).to_pylist() == [50.0]  # all stay
        udfvm.arrow.unregister(None, target)
        with pytest.raises(udfvm.UnknownUDFError, match=f"UDF '{name}' was unregistered"):
            pc.call_function(name, columns)
        with pytest.raises(udfvm.UnknownUDFError, match=f"no UDF named '{name}'"):
            udfvm.arrow.unregister(None, target)
    with pytest.raises(udfvm.UnknownUDFError, match="no UDF named 'add'"):
        udfvm.arrow.unregister(None, "add")
    udfvm.arrow.register(
        None, udfvm.udf(lambda x: x, name=name, input_types=["int64"], output_type="int64")
    )
    assert pc.call_function(name, [pa.array([7])]).to_pylist() == [7]


def test_without_the_module_for_kernels(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It belongs to the version of pyarrow that udfvm was built for."""
    monkeypatch.setattr(arrow_registry, "HAS_KERNELS", False)
    function = _registered(name)
    assert pc.call_function(name, [pa.array([1.0]), pa.array([2.0])]).to_pylist() == [50.0]
    with pytest.raises(pa.ArrowNotImplementedError, match="no kernel matching input types"):
        pc.call_function(name, [pa.array([1]), pa.array([2.0])])
    with pytest.raises(
        udfvm.SignatureError, match=f"{name}.*with other types.*double, double.*another name="
    ):
        udfvm.arrow.register(
            None, udfvm.udf(lambda x: x, name=name, input_types=["int64"], output_type="int64")
        )
    table = pa.table({"x": [12, 3]})
    columns = {"y": function.expr(ds.field("x"), 100), "z": function.expr(1, 2)}
    assert ds.dataset(table).to_table(columns=columns).to_pydict() == {
        "y": [12.0, 3.0],
        "z": [50.0, 50.0],
    }
    with pytest.raises(udfvm.SignatureError, match="at least one parameter, where udfvm was not b"):
        udfvm.udf(lambda: 1, name="one", output_type="int64").expr()
