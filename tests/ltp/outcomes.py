"""What a test of LTP said, line by line, and how its process ended."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

# As LTP's two harnesses print results, such as "open01.c:58: TPASS: mode is sticky", and
# "creat05    1  TPASS  :  file created".
NEW = re.compile(r"^(?P<place>\S+:\d+): (?P<outcome>TPASS|TFAIL|TBROK|TCONF|TWARN): (?P<words>.*)")
OLD = re.compile(
    r"^(?P<place>\S+ +\d+) +(?P<outcome>TPASS|TFAIL|TBROK|TCONF|TWARN) *: *(?P<words>.*)"
)
VARIANTS = re.compile(r"^(\d+) variants$", flags=re.MULTILINE)
SAID = 600  # characters of what else a test said that are kept

PASSED, FAILED, WARNED = "TPASS", "TFAIL", "TWARN"
STOPPED = ("TBROK", "TCONF")  # after these, a test does not do all that it would
ENDED = "end"
WELL = "exit 0"


@dataclass
class Outcomes:
    """What a test said.

    Attributes:
        results: what each place of the source said: the result and its words. A place that said
            several has a number at each but the first. The end of the process is one of them.
    """

    results: dict[str, tuple[str, str]] = field(default_factory=dict)

    def add(self, variant: str, output: str, end: str) -> None:
        """Adds what the process of a variant printed, and how it ended."""
        seen: Counter[str] = Counter()
        for line in output.splitlines():
            if found := NEW.match(line) or OLD.match(line):
                place = " ".join(found["place"].split())
                seen[place] += 1
                number = f" #{seen[place]}" if seen[place] > 1 else ""
                self.results[f"{variant}{place}{number}"] = found["outcome"], found["words"]
        end = WELL if any(seen.values()) and end.startswith("exit") else end
        self.results[f"{variant}{ENDED}"] = end, output[-SAID:] if end != WELL else ""

    def stopped(self, variant: str = "") -> bool:
        """Returns True if something kept a variant from what it would do."""
        return any(
            outcome in STOPPED or (place.endswith(ENDED) and outcome != WELL)
            for place, (outcome, _) in self.results.items()
            if variant_of(place) == variant
        )

    def count(self, outcome: str) -> int:
        """Returns how many results are of a kind, such as TPASS."""
        return sum(each == outcome for each, _ in self.results.values())


def variants_of(output: str) -> int:
    """Returns how many variants a test has, by what one of them printed."""
    found = VARIANTS.search(output)
    return int(found[1]) if found else 1


def variant_of(place: str) -> str:
    """Returns the beginning of a place that names the variant, if a test has several."""
    found = re.match(r"variant \d+ ", place)
    return found[0] if found else ""
