"""The benchmarks run and print what they say; what they measure is asserted nowhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"


def _run(script: str, *options: str) -> str:
    done = subprocess.run(
        [sys.executable, str(BENCH / script), *options],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_reports() -> None:
    figures = json.loads(_run("reports.py", "--json", "--calls", "40"))
    assert figures["ratio"] == round(figures["noted"]["p50"] / figures["unnoted"]["p50"], 4)
    assert figures["last_call"]["p50"] > 0
    assert figures["example"]["peak_memory_bytes"] > 0


def test_arrow() -> None:
    figures = json.loads(_run("arrow.py", "--json", "--rows", "20000", "--repeats", "5"))
    for body in ("affine", "heavy"):
        ways = figures[body]
        assert {
            "host_numpy",
            "host_compute",
            "vm_compute",
            "vm_array",
            "vm_chunked",
            "vm_numpy",
        } < set(ways)
        assert ways["times_host"] == round(
            ways["vm_compute"]["p50"] / ways["host_compute"]["p50"], 2
        )
    assert [entry["rows"] for entry in figures["by_rows"]] == [
        1,
        3,
        10,
        30,
        100,
        300,
        1000,
        3000,
        10_000,
        20_000,
    ]
    for entry in figures["by_rows"]:
        for name in ("host_compute", "vm_compute"):
            assert entry[f"{name}_ns_per_row"] == round(
                entry[f"{name}_us"] * 1e3 / entry["rows"], 3
            )


def test_arrow_as_a_table() -> None:
    table = _run("arrow.py", "--rows", "100", "--repeats", "5")
    assert "affine   times_host" in table
    assert "100 rows: host" in table


def test_pipeline() -> None:
    figures = json.loads(
        _run(
            "pipeline.py",
            "--json",
            "--repeats=1",
            *(f"--{kind}=3000" for kind in ("rows", "parquet-rows", "scan-rows")),
        )
    )
    for body in ("regex", "short_text", "branchy"):
        ways = figures[body]
        for name in ("one", "two"):
            vms = ways["one_vm" if name == "one" else "two_vms"]
            assert ways[f"{name}_times_process"] == round(vms / ways["in_process"], 3)
    for body in ("light", "heavy", "branchy"):
        scan = figures[f"scan_{body}"]
        for ratio, name in (
            ("times_pyarrow", "seconds"),
            ("first_times_pyarrow", "first"),
            ("memory_times_pyarrow", "mib"),
        ):
            assert scan[ratio] == round(scan[f"vm_{name}"] / scan[f"pyarrow_{name}"], 3)
    parquet = figures["parquet"]
    assert parquet["map_times_pyarrow"] == round(parquet["map"] / parquet["pyarrow"], 3)


def test_sqlite() -> None:
    few = ("--repeats=1", "--rows=2000", "--row-rows=50")
    figures = json.loads(_run("sqlite.py", "--json", *few))
    assert figures["rows"] == 2000
    for name in ("native", "python", "python_by_name", "stored", "lambda"):
        assert figures["above_scan"][name] == round(
            figures[name]["p50"] - figures["scan"]["p50"], 3
        )
    assert figures["row_times_fresh_call"] == round(
        figures["row"]["p50"] / figures["fresh_call"]["p50"], 3
    )


def test_jail() -> None:
    figures = json.loads(_run("jail.py", "--json", "--rounds", "1", "--rows", "2000"))
    for name in ("fresh_call", "batch", "sql_row"):
        found = figures[name]
        assert figures["times"][name] == round(found["jailed"] / found["plain"], 2)
        assert figures["hardened_times"][name] == round(found["hardened"] / found["plain"], 2)
    assert "filter" in figures["walls"]


def test_coldstart() -> None:
    figures = json.loads(_run("coldstart.py", "--json", "--rounds", "2"))
    assert figures["times_host"] == round(figures["first_result"] / figures["host_imports"], 2)
    assert set(figures["parts"]) == {"import", "open", "call", "second_call"}
    assert set(figures["core_parts"]) == {"open", "call", "second_call"}
    assert figures["core_parts"]["call"] < figures["core"]


def test_layers() -> None:
    figures = json.loads(_run("layers.py", "--json", "--functions", "3", "--calls", "20"))
    assert 0 < figures["layer_pages"] < figures["base_pages"] / 10
    assert figures["move"] == round(figures["taking_turns"] - figures["one_function"], 1)


def test_density() -> None:
    figures = json.loads(_run("density.py", "--json", "--vms", "3"))
    assert figures["vms"] == figures["answered"] == 3
    assert figures["private"] == pytest.approx(
        figures["private_of_images"] + figures["private_of_windows"], abs=0.02
    )


@pytest.mark.long
def test_guests() -> None:
    figures = json.loads(
        _run(
            "guests.py",
            "--json",
            "--rows",
            "2000",
            "--sql-rows",
            "500",
            "--calls",
            "20",
            "--repeats",
            "1",
        )
    )
    kinds = ("python", "vectorized", "native", "wasm")
    for name in (*kinds, "wasmtime_in_process"):
        assert figures[name]["call_times_exit"] == round(
            figures[name]["call_us"] / figures["exit_us"], 3
        )
        assert {"build_s", "batch_ns_per_row", "sql_ns_per_row"} < set(figures[name])
    assert all(0 < figures[name]["layer_bytes"] < figures[name]["base_bytes"] for name in kinds)
    assert (
        figures["native"]["base_bytes"]
        < figures["python"]["base_bytes"]
        < figures["vectorized"]["base_bytes"]
    )
    assert {"vm_us", "host_us", "times_host"} == set(figures["c_body"])


@pytest.mark.slow
def test_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    _run("plot.py", "--output", str(tmp_path), "--calls", "100", "--rows", "1000", "--repeats", "5")
    picture, figures = tmp_path / "performance.svg", tmp_path / "performance.json"
    measured = json.loads(figures.read_text())
    for name in ("exit", "core_native", "core_python", "udf_scalar", "udf_numpy_1000"):
        times = measured["microseconds"][name]
        assert len(times) == len(measured["quantiles"]) and times == sorted(times)
    assert ET.parse(picture).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    again = tmp_path / "again"
    _run("plot.py", "--output", str(again), "--figures", str(figures))
    assert (again / "performance.svg").read_bytes() == picture.read_bytes()


def test_the_plot_in_the_documentation_is_of_its_figures() -> None:
    """docs/performance.svg shows the medians that docs/performance.json has."""
    docs = BENCH.parent / "docs"
    figures, picture = (
        json.loads((docs / "performance.json").read_text()),
        (docs / "performance.svg").read_text(),
    )
    for name, label in (
        ("udf_scalar", "score(12.0, 300.0)"),
        ("exit", "one exit and re-entry"),
    ):
        assert f"{label}: {figures['latency'][name]['p50']:.0f} µs" in picture


def test_record_takes_names_of_benchmarks() -> None:
    done = subprocess.run(
        [sys.executable, str(BENCH / "record.py"), "nonsense"], capture_output=True, text=True
    )
    assert done.returncode == 2 and "nonsense: there are coldstart" in done.stderr


def test_engines() -> None:
    figures = json.loads(_run("engines.py", "--json", "--rows", "5000", "--repeats", "2"))
    for engine in figures.values():
        for body in ("python", "numpy"):
            own = engine[f"{body}_own_ns_per_row"]
            assert engine[f"{body}_ratio"] == round(engine[f"{body}_vm_ns_per_row"] / own, 3)
