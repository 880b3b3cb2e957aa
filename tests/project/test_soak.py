"""bench/soak.py, in short: what it counts comes back, and it finds leaks that are planted. No time
is judged. CONTRIBUTING.md has the command for the long form.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"
COUNTS = ["resident", "descriptors", "mappings", "threads", "children", "cache"]


@pytest.fixture(scope="module")
def cache(kept_folder: Callable[[str], Path]) -> Path:
    return kept_folder("soak")


def soak(cache: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """The exit status and the line of a soak."""
    done = subprocess.run(
        [sys.executable, str(BENCH / "soak.py"), "--cache", str(cache), *options],
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.mark.long
def test_nothing_grows(cache: Path) -> None:
    for engine in ("dask", "datafusion", "duckdb", "grpc", "pandas", "polars", "wasmtime"):
        pytest.importorskip(engine)
    status, found = soak(cache, "--rounds", "3")
    assert (status, found["leaks"]) == (0, []), found["verdicts"]
    assert set(found["verdicts"]) == set(COUNTS)
    rounds = set(found["done"].values())
    assert len(found["done"]) > 30 and rounds == {12}  # everything, with each pool, each time


def test_a_planted_leak_of_each_kind_is_found(cache: Path, tmp_path: Path) -> None:
    counts = [name for name in COUNTS if name != "cache"]  # which has a bound
    plants = [option for name in counts for option in ("--plant", name)]
    few = ("--only", "threads_that_end", "--rounds", "3", "--output", str(tmp_path))
    pytest.importorskip("matplotlib")
    status, found = soak(cache, *few, *plants)
    assert status == 1
    assert sorted(found["leaks"]) == sorted(counts), found["verdicts"]
    assert "<svg" in (tmp_path / "soak.svg").read_text()
    assert len(json.loads((tmp_path / "soak.json").read_text())["samples"]) == 3


def test_the_documentation_has_an_hour_without_leaks() -> None:
    docs = BENCH.parent / "docs"
    soak = json.loads((docs / "soak.json").read_text())
    assert soak["minutes"] >= 60 and soak["leaks"] == []
    page = " ".join((docs / "performance.md").read_text().split())
    assert f"an hour of {sum(soak['done'].values()):,} such pieces of work" in page
    assert "(soak.svg)" in page and "<svg" in (docs / "soak.svg").read_text()


# ---- Leaks and noise ----


@pytest.fixture(scope="module")
def judge() -> Callable[..., Any]:
    import importlib.util

    path = BENCH / "soaking" / "flatness.py"
    spec = importlib.util.spec_from_file_location("flatness", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["flatness"] = module
    spec.loader.exec_module(module)
    return module.judge


SECONDS = [10.0 * sample for sample in range(120)]


def noise(seed: int) -> list[float]:
    chance = random.Random(seed)
    return [1000 + chance.gauss(0, 30) for _ in SECONDS]


def test_noise_is_no_leak(judge: Callable[..., Any]) -> None:
    assert not any(judge(SECONDS, noise(seed), 0, 0.01).leaks for seed in range(50))


def test_a_leak_is_told_from_noise(judge: Callable[..., Any]) -> None:
    """It is smaller than the noise of single samples."""
    for seed in range(50):
        series = [
            value + 60 * at / SECONDS[-1] for at, value in zip(SECONDS, noise(seed), strict=True)
        ]
        found = judge(SECONDS, series, 0, 0.01)
        assert found.leaks and 50 < found.per_hour < 400


def test_what_is_allowed_is_no_leak(judge: Callable[..., Any]) -> None:
    rising = [1000 + at / 100 for at in SECONDS]
    assert not judge(SECONDS, rising, 0, 0.01).leaks
    assert judge(SECONDS, rising, 0, 0.001).leaks


def test_a_descriptor_that_is_lost_now_and_then(judge: Callable[..., Any]) -> None:
    assert judge(SECONDS, [50.0 + sample // 50 for sample in range(120)], 0, 0).leaks
    assert not judge(SECONDS, [50.0] * 120, 0, 0).leaks
    assert not judge(SECONDS, [50.0 + sample % 2 for sample in range(120)], 0, 0).leaks
