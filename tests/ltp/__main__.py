"""Runs LTP's tests of system calls on the host and in micro-VMs, and tells what differs: see
CONTRIBUTING.md.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from comparing.command import add_options, results_folder
from comparing.reasons import Judgement, Reason
from comparing.report import report
from ltp import build, figures, runs, suite
from ltp.differences import expected, judge
from ltp.outcomes import Outcomes
from ltp.suite import Case

ROOT = Path(__file__).resolve().parents[2]


def arguments() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser("tests/ltp/run", description=__doc__)
    parser.add_argument("ltp", type=Path, help="LTP's folder, such as a clone")
    parser.add_argument("--build", type=Path, default=ROOT / "build/ltp", help="where it is built")
    parser.add_argument("--tests", nargs="+", metavar="PATTERN", help="of names, these alone")
    parser.add_argument("--record", action="store_true", help="keeps the figures of a whole run")
    add_options(parser, "tests", "line")
    return parser.parse_args()


def outcomes_of(test: Case, folder: Path, reasons: list[Reason]) -> tuple[Outcomes, Outcomes]:
    """Returns what an earlier run kept of a test, or runs it, again if there is a difference: some
    tests measure times.
    """
    path = folder / f"{test.name}.json"
    if path.exists():
        host, guest = (Outcomes(each) for each in json.loads(path.read_text()))
        return host, guest
    host, guest = runs.run(test)
    if judge(test.name, host, guest, reasons).unexpected:
        host, guest = runs.run(test)
    path.write_text(json.dumps([host.results, guest.results]))
    return host, guest


def run_all(
    tests: list[Case], jobs: int, folder: Path
) -> Iterator[tuple[Judgement, Outcomes, Outcomes]]:
    """Runs tests, several at once, and yields what is to be said of each."""
    reasons = expected()
    with ThreadPoolExecutor(jobs) as pool:
        waiting = {pool.submit(outcomes_of, test, folder, reasons): test for test in tests}
        for done in as_completed(waiting):
            host, guest = done.result()
            yield judge(waiting[done].name, host, guest, reasons), host, guest


def main() -> int:
    """Runs what the command line says. Returns 1 if a test has an unexpected difference."""
    options = arguments()
    if missing := build.missing_tools():
        print(f"LTP cannot be built without {', '.join(missing)}")
        return 1
    build.build(options.ltp.resolve(), options.build.resolve(), suite.folders_left_out(options.ltp))
    tests, left_out = suite.tests_of(options.build.resolve())
    if options.tests:
        wanted = re.compile("|".join(options.tests))
        tests = [test for test in tests if wanted.fullmatch(test.name)]
    told = []
    with results_folder(options.results, "ltp-") as folder:
        for number, each in enumerate(run_all(tests, options.jobs, folder), 1):
            told.append(each)
            print(f"[{number}/{len(tests)}] {report([each[0]], options.details)}", flush=True)
    judgements = [judgement for judgement, _, _ in told]
    print(report(judgements, details=False, modules="tests"))
    if not options.tests:
        found = figures.figures_of(build.version(options.ltp), told, left_out)
        print(figures.sentences(found))
        if options.record:
            figures.write(found)
    return int(any(each.unexpected for each in judgements))


if __name__ == "__main__":
    sys.exit(main())
