"""Functions go to other processes, by reference where they can be found, else by value."""

from __future__ import annotations

import datetime
import linecache
import multiprocessing
import pickle
import random
import runpy
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cloudpickle
import pyarrow as pa
import pytest
from scalar_functions import score

import udfvm
from udfvm import errors
from udfvm.images.cache_listing import names_in_cache


def test_pickling_of_udfs() -> None:
    assert pickle.loads(pickle.dumps(score)) is score
    local = udfvm.udf(
        lambda x: x + 1, input_types=["int64"], output_type="int64", name="local", timeout=3
    )
    copy = cloudpickle.loads(cloudpickle.dumps(local))
    assert copy.limits == local.limits
    assert copy(1) == 2


WITH_TEXT = """
from __future__ import annotations

@udfvm.udf
def hour(moment: datetime.datetime) -> int:
    return moment.hour

@udfvm.table_function(columns={"moment": datetime.datetime})
def days(moment: datetime.datetime) -> Iterator[datetime.datetime]:
    yield moment

@udfvm.aggregate
class Last:
    def __init__(self): self.found = None
    def step(self, moment: datetime.datetime) -> None: self.found = moment
    def finish(self) -> datetime.datetime | None: return self.found
"""


def test_names_in_annotations_that_are_text_need_not_travel() -> None:
    scope = {
        "__name__": "__main__",
        "udfvm": udfvm,
        "datetime": datetime,
        "Iterator": Iterator,
    }
    exec(WITH_TEXT, scope)
    moment = datetime.datetime(2020, 1, 31, 23)
    hour, days, last = (
        cloudpickle.loads(cloudpickle.dumps(scope[name])) for name in ("hour", "days", "Last")
    )
    assert hour(moment) == 23
    assert list(days(moment)) == [(moment,)]
    assert last(pa.array([moment])) == moment


WITH_CLASSES = """
from __future__ import annotations
import dataclasses, pickle, sys, typing
import udfvm

Delay = float

class Flight(typing.TypedDict):
    delay: Delay
    legs: list[Leg]

@dataclasses.dataclass
class Leg:
    miles: Delay

class Found(typing.NamedTuple):
    delay: Delay

class Rates:
    def rate(self, delay: Delay) -> Delay: return 2 * delay

rate = Rates().rate

@udfvm.udf(host_functions=[rate])
def slow(flight: Flight) -> Found:
    return Found(rate(flight["delay"]) + sum(leg.miles for leg in flight["legs"]))

@udfvm.udf(input_types=[Leg])
def miles(leg) -> Delay:
    return leg.miles

sys.stdout.buffer.write(pickle.dumps((slow, miles)))
"""


def test_annotations_of_classes_and_host_functions_that_are_text_travel_evaluated(
    tmp_path: Path,
) -> None:
    program = tmp_path / "program.py"
    program.write_text(WITH_CLASSES)
    written = subprocess.run([sys.executable, str(program)], check=True, capture_output=True)
    slow, miles = pickle.loads(written.stdout)
    for again in (lambda each: each, lambda each: pickle.loads(pickle.dumps(each))):
        found = again(slow)({"delay": 1.0, "legs": [{"miles": 3.0}, {"miles": 4.0}]})
        assert found == {"delay": 9.0}
        assert again(miles)({"miles": 5.0}) == 5.0
        assert again(miles).with_options(timeout=5)({"miles": 5.0}) == 5.0


PROGRAM = """
    import multiprocessing, sys
    from concurrent.futures import ProcessPoolExecutor
    import udfvm

    OFFSET = 1

    def bonus(k): return OFFSET

    @udfvm.udf
    def f(x: int) -> int:
        if x == 13:
            raise ValueError("bad row")
        return x + bonus(x)

    @udfvm.table_function(columns={"n": int})
    def numbers(k: int):
        yield from range(k)

    @udfvm.aggregate
    class Total:
        def __init__(self): self.sum = 0
        def step(self, v: int) -> None: self.sum += v
        def finish(self) -> int: return self.sum

    def rows(table, k): return list(table(k))

    def aggregated(each):
        import numpy
        return each(numpy.array([1, 2, 3]))

    def main(method):
        context = multiprocessing.get_context(method)
        with context.Pool(2) as pool:
            values = pool.map(f, [1, 2, 3])
            print(values, pool.starmap(rows, [(numbers, 3)]), pool.map(aggregated, [Total]))
        with ProcessPoolExecutor(1, mp_context=context) as executor:
            failed = executor.submit(f, 13).exception()
            print(type(failed).__name__, failed.guest_message, failed.udf)
            print(executor.submit(f, 4).result())

    if __name__ == "__main__":
        main(sys.argv[1])
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_functions_of_main_go_to_workers(tmp_path: Path, method: str) -> None:
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM))
    ended = subprocess.run(
        [sys.executable, program, method], capture_output=True, text=True, timeout=600, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == [
        "[2, 3, 4] [[(0,), (1,), (2,)]] [6]",
        "UDFError bad row f",
        "5",
    ]


def test_joblib_takes_functions_of_main(tmp_path: Path) -> None:
    pytest.importorskip("joblib")
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(PROGRAM).partition("def main(")[0]
        + "import joblib\nprint(joblib.Parallel(2)(joblib.delayed(f)(x) for x in (1, 2)))\n"
    )
    ended = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, timeout=600, check=False
    )
    assert ended.stdout.splitlines() == ["[2, 3]"], ended.stderr


@udfvm.udf
def found_here(x: int) -> int:
    return x * 2


def _declared_inside(factor: int) -> udfvm.ScalarFunction:
    @udfvm.udf(name="inside", timeout=7)
    def function(x: int) -> int:
        return x * factor

    return function


def test_by_reference_where_it_can_be_found_else_by_value() -> None:
    assert pickle.loads(pickle.dumps(found_here)) is found_here
    inside = _declared_inside(5)
    arrived = pickle.loads(pickle.dumps(inside))
    assert arrived is not inside
    assert (arrived.name, arrived.limits, arrived(3)) == ("inside", inside.limits, 15)
    assert pickle.loads(pickle.dumps(inside)) is arrived  # its image is opened once
    assert pickle.loads(pickle.dumps(_declared_inside(6)))(3) == 18


def test_functions_of_text_and_compiled_code_are_made_once() -> None:
    text = udfvm.from_source("def f(x): return x + 1", "(int64) -> int64")
    code = udfvm.from_c("long long f(long long x) { return x; }", "f", signature="(int64) -> int64")
    for function in (text, code):
        arrived = pickle.loads(pickle.dumps(function))
        assert arrived is not function and arrived.limits == function.limits
        assert pickle.loads(pickle.dumps(arrived)) is arrived  # its image is opened once
        other = pickle.loads(pickle.dumps(function.with_options(timeout=7)))
        assert other is not arrived and other.limits.timeout_ns == 7_000_000_000


def test_errors_have_the_lines_of_files_that_are_not_there(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        """
import pickle, udfvm
def helped(x):
    return 1 // x  # a helper
@udfvm.udf
def f(x: int) -> int:
    return helped(x)  # its caller
data = pickle.dumps(f)
"""
    )
    data = runpy.run_path(str(program), run_name="__main__")["data"]
    program.unlink()
    linecache.clearcache()
    with pytest.raises(udfvm.UDFError) as caught:
        pickle.loads(data)(0)
    text = str(caught.value)
    assert "return helped(x)  # its caller" in text and "return 1 // x  # a helper" in text
    assert f'{program}", line 4' in text


def test_images_are_prepared_in_another_process() -> None:
    number = random.randrange(2**40)  # that no image of the cache has
    more = udfvm.udf(lambda x: x + number, name="more", input_types=["int64"], output_type="int64")
    text = udfvm.from_source(f"def f(x): return x + {number}", "(int64) -> int64")
    before = names_in_cache()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        executor.submit(udfvm.prepare, more, text).result()
        built = names_in_cache() - before
        executor.submit(udfvm.prepare, more, text).result()
        failed = executor.submit(udfvm.prepare, more, max).exception()
        assert isinstance(failed, udfvm.SignatureError) and "udfvm.prepare takes" in str(failed)
    assert (more(1), text(1)) == (number + 1, number + 1)
    for each in (more, text):  # the images that this process finds
        assert any(name.endswith(each.image.path.name) for name in built)


def test_a_function_may_refer_to_its_own_udf() -> None:
    @udfvm.udf
    def factorial(x: int) -> int:
        return x * factorial(x - 1) if x > 1 else 1

    arrived = pickle.loads(pickle.dumps(factorial))
    assert arrived(5) == 120


def test_one_bad_row_does_not_break_a_pool() -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as executor:
        with pytest.raises(errors.TypeMappingError) as raised:
            executor.submit(found_here, "text").result()
        assert (raised.value.argument, raised.value.position) == ("x", 1)
        assert executor.submit(found_here, 4).result() == 8


def test_an_option_that_cannot_be_sent_is_named(tmp_path: Path) -> None:

    lock = threading.Lock()

    def log(text: str, stream: str) -> None:
        with lock:
            print(text, stream)

    @udfvm.udf(log=log)
    def logged(x: int) -> int:
        return x

    with pytest.raises(
        udfvm.SignatureError, match=r"'logged' cannot be sent to another process: log="
    ):
        pickle.dumps(logged)

    def doubled(x: int) -> int:
        print("hello")
        return 2 * x

    seen: list[str] = []
    arrived = pickle.loads(pickle.dumps(udfvm.udf(doubled, log=lambda text, _: seen.append(text))))
    assert arrived(3) == 6
    source = "long long twice_over(long long x) { return 2 * x; }"
    compiled = udfvm.from_c(source, "twice_over", signature="(int64) -> int64", log=log)
    with pytest.raises(
        udfvm.SignatureError, match=r"'twice_over' cannot be sent to another process: log="
    ):
        pickle.dumps(compiled)
    local = udfvm.from_c(source, "twice_over", signature="(int64) -> int64", log=lambda *_: None)
    assert pickle.loads(pickle.dumps(local))(4) == 8
