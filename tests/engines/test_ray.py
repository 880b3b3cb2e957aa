"""Functions in Ray Data, on one node and on two."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from engine_functions import HALF_FAILS, Total, half_by_value, parts, ratio, shown

import udfvm

ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("ray_cluster")]

ONE = ray.data.ActorPoolStrategy(size=1)
TWO = ray.data.ActorPoolStrategy(size=2, max_tasks_in_flight_per_actor=1)
TABLE = pa.table(
    {
        "key": ["x", "x", "y", None],
        "a": [1.0, 2.0, None, 4.0],
        "b": [1.0, 2.0, 0.0, 4.0],
        "text": ["to be", "or", None, "not"],
    }
)


HALF = half_by_value()


def of_blocks(*blocks: list[float]) -> Any:
    """A dataset with a column in some blocks."""
    return ray.data.from_arrow([pa.table({"x": each}) for each in blocks])


def mapped(made: type[Any], table: pa.Table = TABLE, **options: Any) -> pa.Table:
    """What an actor makes of a table."""
    source = ray.data.from_arrow(table)
    return computed(source.map_batches(made, batch_format="pyarrow", compute=ONE, **options))


def computed(dataset: Any) -> pa.Table:
    return pa.concat_tables(ray.get(dataset.to_arrow_refs()))


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 100
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


class Marks:
    """Files that actors have while they make a call, named after their processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def made(self, function: udfvm.ScalarFunction) -> type[Any]:
        """A class of actors that have such files."""
        actor: Any = function.ray()
        folder = self.folder

        class Marked(actor):  # type: ignore[misc]
            def __call__(self, batch: pa.Table) -> Iterator[Any]:
                mark = folder / str(os.getpid())
                mark.touch()
                try:
                    yield from super().__call__(batch)
                finally:
                    mark.unlink()

        return Marked

    def calls(self) -> int:
        """How many calls run: an actor that ends has none."""
        return sum(Path(f"/proc/{each.name}").exists() for each in self.folder.iterdir())


@pytest.fixture
def marks(tmp_path: Path) -> Marks:
    folder = tmp_path / "marks"
    folder.mkdir()
    return Marks(folder)


def on_two(made: type[Any], *blocks: list[float]) -> Any:
    """A dataset whose blocks two actors take."""
    return of_blocks(*blocks).map_batches(made, batch_format="pyarrow", compute=TWO)


def test_columns() -> None:
    by_name = mapped(ratio.ray())
    assert by_name.column_names == [*TABLE.column_names, "ratio"]
    assert by_name["ratio"].to_pylist() == [1.0, 1.0, None, 1.0]
    assert by_name["ratio"].type == pa.float64()
    given = mapped(ratio.ray("b", keep=["key"]), batch_size=2)
    assert given.to_pydict() == {"key": ["x", "x", "y", None], "ratio": [1.0, 2.0, 0.0, 4.0]}
    null = mapped(shown.ray("text", keep="a"))
    assert null["shown"].to_pylist() == ["to be!", "or!", "None!", "not!"]


def test_a_vectorised_function_sees_a_batch() -> None:
    def above(x):  # type: ignore[no-untyped-def]
        import pyarrow.compute as pc

        return pc.subtract(x, pc.min(x))

    types = {"input_types": ["double"], "output_type": "double"}
    function = udfvm.udf(above, vectorized=True, **types)  # type: ignore[call-overload]
    found = mapped(function.ray("b", keep=[]), batch_size=2)
    assert found["above"].to_pylist() == [0.0, 1.0, 0.0, 4.0]


def test_concurrency_is_a_pool_of_actors() -> None:
    source = of_blocks([1.0], [2.0], [-0.0])
    made = source.map_batches(HALF.ray(), batch_format="pyarrow", concurrency=2)
    assert sorted(computed(made)["half"].to_pylist()) == [0.0, 0.5, 1.0]


def test_table_functions_and_aggregates() -> None:
    found = mapped(parts.ray("text", keep=["b"]))
    assert found.to_pydict() == {
        "b": [1.0, 1.0, 2.0, 4.0],
        "place": [0, 1, 0, 0],
        "word": ["to", "be", "or", "not"],
    }
    assert mapped(Total.ray("b")).to_pydict() == {"total": [7.0]}
    groups = ray.data.from_arrow(TABLE.slice(0, 3)).groupby("key")
    sums = groups.map_groups(Total.ray("b", keep=["key"]), batch_format="pyarrow", compute=TWO)
    assert sorted(sums.take_all(), key=lambda row: row["key"]) == [
        {"key": "x", "total": 3.0},
        {"key": "y", "total": 0.0},
    ]


def test_errors_arrive_whole() -> None:
    with pytest.raises(udfvm.UDFError) as caught:
        of_blocks([1.0, -1.0]).map_batches(
            HALF.ray(), batch_format="pyarrow", compute=ONE
        ).materialize()
    error = caught.value
    assert (error.guest_type, error.guest_message) == ("ValueError", "negative")
    assert (error.udf, error.row) == ("half", 1)
    assert "'half', row 1 of its batch: ValueError: negative" in str(error)
    assert HALF_FAILS in str(error)
    assert isinstance(error, ray.exceptions.UserCodeException)


def test_limits_hold() -> None:
    slow = HALF.with_options(timeout=0.1)
    with pytest.raises(udfvm.CallTimeoutError, match="did not end within"):
        mapped(slow.ray("b"))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (ratio.ray("aa", "b"), r"no column 'aa': did you mean 'a'"),
        (ratio.ray("a", "b", "a"), r"too many positional arguments"),
        (ratio.ray("text"), r"argument 'a'.*is declared double"),
        (ratio.with_options(name="a").ray("b"), r"has a column of that name.*keep="),
    ],
)
def test_what_does_not_fit(made: type[Any], message: str) -> None:
    with pytest.raises(udfvm.Error, match=message):
        mapped(made)


def test_what_is_refused() -> None:
    with pytest.raises(udfvm.SignatureError, match="takes UDFs"):
        udfvm.ray.actor(max)  # type: ignore[arg-type]
    with pytest.raises(udfvm.TypeMappingError, match=r"pass batch_format='pyarrow'"):
        of_blocks([1.0]).map_batches(HALF.ray(), compute=ONE).materialize()


def test_an_interrupt_ends_calls(marks: Marks) -> None:
    def interrupt() -> None:
        try:
            wait_until(lambda: marks.calls() == 2)
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        on_two(marks.made(HALF), [3.0], [4.0]).materialize()
    thread.join()
    wait_until(lambda: marks.calls() == 0)


def test_an_error_ends_calls_beside_it(marks: Marks) -> None:
    with pytest.raises(udfvm.UDFError, match="negative"):
        on_two(marks.made(HALF), [3.0], [-1.0]).materialize()
    wait_until(lambda: marks.calls() == 0)


def test_an_abandoned_iteration_ends_calls(marks: Marks) -> None:
    dataset = on_two(marks.made(HALF), [1.0], [3.0])
    batches = iter(dataset.iter_batches(batch_size=1, prefetch_batches=0))
    assert next(batches)["half"].tolist() == [0.5]
    wait_until(lambda: marks.calls() == 1)
    del batches
    wait_until(lambda: marks.calls() == 0)


def test_cancelled_tasks_end_their_calls(tmp_path: Path) -> None:
    """Of Ray's own, which call a function."""

    @ray.remote
    def task(function: udfvm.ScalarFunction, path: str) -> Any:
        Path(path).touch()
        return function(3.0)

    path = tmp_path / "runs"
    running = task.remote(HALF, str(path))
    wait_until(path.exists)
    ray.cancel(running)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(running, timeout=100)


def test_two_nodes(second_ray_node: Path) -> None:
    """Each node builds the image in its own cache, once for all actors that are there."""

    def files() -> dict[Path, int]:
        """What the second node built, and when."""
        images = [each for each in second_ray_node.rglob("*") if each.suffix in (".base", ".layer")]
        return {each: each.stat().st_mtime_ns for each in images}

    def run(**options: Any) -> list[float]:
        source = of_blocks(*([float(x % 3)] for x in range(12)))
        made = source.map_batches(HALF.ray(), batch_format="pyarrow", compute=TWO, **options)
        return sorted(computed(made)["half"].to_pylist())

    expected = [0.0] * 4 + [0.5] * 4 + [1.0] * 4
    assert run() == expected
    assert run(resources={"second": 1}) == expected
    before = files()
    assert sorted(each.suffix for each in before) == [".base", ".layer"]
    assert run(resources={"second": 1}) == expected
    assert files() == before
