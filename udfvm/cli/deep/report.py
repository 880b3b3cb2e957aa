"""What a check found, and how it is shown."""

from __future__ import annotations

from typing import Final, NamedTuple

HOLDS: Final = "holds"
DIFFERS: Final = "differs"  # it works otherwise than expected, or slower
FAILS: Final = "fails"  # the boundary or a result is wrong
UNKNOWN: Final = "unknown"  # it cannot be seen here


class Found(NamedTuple):
    """``status`` is one of the above; ``advice`` is empty if there is nothing to do."""

    status: str
    seen: str
    advice: str = ""


class Check(NamedTuple):
    """One check: ``topic`` is its name, and ``expected`` what a good machine shows."""

    topic: str
    expected: str
    found: Found

    def as_dict(self, rank: int) -> dict[str, object]:
        """Returns it for ``--json``. ``rank``: from 1, what matters most."""
        return {
            "rank": rank,
            "check": self.topic,
            "status": self.found.status,
            "expected": self.expected,
            "seen": self.found.seen,
            "advice": self.found.advice,
        }

    def as_text(self, rank: int) -> str:
        """Returns it for people."""
        lines = [
            f"{rank}. {self.topic}: {self.found.status}",
            f"   expected  {self.expected}",
            f"   seen      {self.found.seen}",
        ]
        if self.found.advice:
            lines.append(f"   to do     {self.found.advice}")
        return "\n".join(lines)
