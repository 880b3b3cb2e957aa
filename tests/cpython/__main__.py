"""Runs CPython's own tests on the host and in micro-VMs, and tells what differs: see
CONTRIBUTING.md.
"""

from __future__ import annotations

import argparse
import json
import queue
import sys
import sysconfig
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from comparing.command import add_options, results_folder
from comparing.reasons import Judgement
from comparing.report import report
from cpython import chosen
from cpython.differences import expected, judge, was_cut
from cpython.runs import Outcomes, Runner


def arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser("tests/cpython/run", description=__doc__)
    parser.add_argument("--modules", nargs="+", metavar="NAME", help="these alone")
    parser.add_argument("--suite", action="store_true", help="those that the usual tests have")
    parser.add_argument("--again", action="store_true", help="runs what the folder has, too")
    add_options(parser, "modules", "test")
    return parser.parse_args()


def stored(path: Path) -> tuple[Outcomes, Outcomes] | None:
    """Returns the outcomes that an earlier run kept."""
    if not path.exists():
        return None
    text = json.loads(path.read_text())
    return Outcomes.of(text["host"]), Outcomes.of(text["guest"])


def run_all(modules: list[str], options: argparse.Namespace, folder: Path) -> Iterator[Judgement]:
    """Runs modules, several at once, and yields what is to be said of each."""
    reasons = expected()
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[str, Outcomes, Outcomes] | BaseException] = queue.SimpleQueue()
    for module in modules:
        waiting.put(module)

    def work() -> None:
        runner = Runner()
        try:
            while True:
                module = waiting.get_nowait()
                path = folder / f"{module}.json"
                kept = None if options.again else stored(path)
                host, guest = kept or runner.run(module)
                path.write_text(json.dumps({"host": asdict(host), "guest": asdict(guest)}))
                done.put((module, host, guest))
        except queue.Empty:
            pass
        except BaseException as error:  # noqa: BLE001 - the main thread raises it
            done.put(error)
        finally:
            runner.close()

    for _ in range(options.jobs):
        threading.Thread(target=work, daemon=True).start()
    for _ in modules:
        result = done.get()
        if isinstance(result, BaseException):
            raise result
        judgement = judge(*result, reasons)
        if was_cut(result[1]):
            judgement.gone.clear()
        yield judgement


def main() -> int:
    """Runs what the command line says. Returns 1 if a module has an unexpected difference."""
    options = arguments()
    try:
        found = chosen.all_modules()
    except ImportError:
        print(f"{sys.executable} has no package `test`, so there is nothing to run")
        return 0
    modules = options.modules or (list(chosen.SUITE) if options.suite else found)
    version = sysconfig.get_python_version()
    judgements = []
    with results_folder(options.results, f"cpython-{version}-") as folder:
        for number, judgement in enumerate(run_all(modules, options, folder), 1):
            judgements.append(judgement)
            print(f"[{number}/{len(modules)}] {report([judgement], options.details)}", flush=True)
    print(report(judgements, details=False))
    return int(any(each.unexpected for each in judgements))


if __name__ == "__main__":
    sys.exit(main())
