"""``udfvm demo``: functions over real data, from SQL and from Arrow."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

import udfvm
from udfvm.cli import flights
from udfvm.cli.program import json_option, print_json
from udfvm.cli.terminal import console

_CALLS = 2000


@udfvm.udf
def score(dep_delay: float, distance: float) -> float | None:
    """Minutes of departure delay for each hundred miles."""
    return None if distance == 0 else dep_delay / distance * 100


def _from_sql(out: Console, database: Path) -> dict[str, object]:
    import apsw

    import udfvm.sqlite

    connection = apsw.Connection(str(database))
    udfvm.sqlite.register(connection, score)
    query = (
        "SELECT carrier, count(*), avg(vm_udf('score', dep_delay, distance)) AS s FROM flights"
        " GROUP BY carrier ORDER BY s DESC"
    )
    started = time.perf_counter()
    result = list(connection.execute(query))
    seconds = time.perf_counter() - started
    table = Table("carrier", "flights", "score", title="Delay for each hundred miles, by carrier")
    for carrier, count, value in result:
        table.add_row(carrier, f"{count:,}", f"{value:.3f}")
    out.print(table)
    total = sum(count for _, count, _ in result)
    out.print(
        f"SQL:     {total:,} rows, 1 call of 1 statement: {seconds:.2f} s,"
        f" {seconds / total * 1e6:.1f} us a row"
    )
    connection.close()
    carriers = [dict(zip(("carrier", "flights", "score"), row, strict=True)) for row in result]
    return {"rows": total, "seconds": seconds, "carriers": carriers}


def _from_arrow(out: Console, parquet: Path) -> dict[str, object]:
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    expression = score.expr(ds.field("dep_delay"), ds.field("distance"))
    started = time.perf_counter()
    table: Any = ds.dataset(parquet).to_table(columns={"s": expression})
    dataset_seconds = time.perf_counter() - started
    mean = pc.mean(table["s"]).as_py()
    out.print(f"Dataset: {table.num_rows:,} rows: {dataset_seconds:.2f} s, mean score {mean:.3f}")
    columns = ds.dataset(parquet).to_table(columns=["dep_delay", "distance"])
    started = time.perf_counter()
    scores = score(columns["dep_delay"], columns["distance"])
    seconds = time.perf_counter() - started
    out.print(f"Arrays:  {len(scores):,} rows, 1 call: {seconds:.2f} s")
    return {
        "rows": len(scores),
        "mean": mean,
        "dataset_seconds": dataset_seconds,
        "array_seconds": seconds,
    }


def _latency(out: Console) -> dict[str, object]:
    from udfvm import vmm

    samples = []
    for _ in range(_CALLS):
        started = time.perf_counter()
        score(12.0, 300.0)
        samples.append((time.perf_counter() - started) * 1e6)
    call = statistics.median(samples)
    exit_latency = statistics.median(vmm.measure_exits(_CALLS))
    out.print(
        f"Scalar:  score(12.0, 300.0) = {score(12.0, 300.0)}, {_CALLS:,} fresh micro-VMs:"
        f" {call:.0f} us a call (median)"
    )
    out.print(
        f"Exit:    one exit of a micro-VM costs {exit_latency:.0f} us here: a fresh call is"
        f" {call / exit_latency:.1f} times that"
    )
    return {"call_us": call, "exit_us": exit_latency, "ratio": call / exit_latency}


@click.command()
@click.option(
    "--keep",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Keep flights.db and flights.parquet in this folder.",
)
@json_option()
def demo(keep: Path | None, as_json: bool) -> None:
    """Runs a function over 336,776 flights.

    It does so from SQL and from Arrow, and measures fresh calls.
    """
    out = console()
    out.quiet = as_json
    with tempfile.TemporaryDirectory(prefix="udfvm-demo-") as temporary:
        directory = Path(temporary) if keep is None else keep
        database, parquet = directory / "flights.db", directory / "flights.parquet"
        if database.exists() or parquet.exists():
            raise click.UsageError(f"{directory} has flights already: name another folder")
        out.print(f"Loading flights ... {flights.write(database, parquet):,}")
        started = time.perf_counter()
        score.prepare()
        image = time.perf_counter() - started
        out.print(f"Image:   built or opened in {image:.2f} s")
        sql = _from_sql(out, database)
        arrow = _from_arrow(out, parquet)
    scalar = _latency(out)
    if as_json:
        print_json({"image_seconds": image, "sql": sql, "arrow": arrow, "scalar": scalar})
