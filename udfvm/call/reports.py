"""What calls cost: ``Function.last_call`` and ``udfvm.stats()``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

from udfvm.call.pool import Pool, pools
from udfvm.errors import Code, from_core
from udfvm.tables import html_table, text_table
from udfvm.texts import counted, format_size

RETURNED = "returned"
PHASES = ("host", "copy", "guest", "restore")  # of a call: CallReport.host_seconds and so on


@dataclass(frozen=True, kw_only=True)
class _Costs:
    """What one call cost, or many: ``CallReport`` and ``CallTotals`` say what of."""

    function: str
    rows: int
    exchanges: int
    input_bytes: int
    output_bytes: int
    printed_bytes: int
    host_calls: int
    exits: int
    pages_restored: int
    peak_memory_bytes: int
    host_seconds: float
    copy_seconds: float
    guest_seconds: float
    restore_seconds: float

    @property
    def seconds(self) -> float:
        """The whole time: the sum of the four phases."""
        return self.host_seconds + self.copy_seconds + self.guest_seconds + self.restore_seconds

    def _facts(self) -> list[tuple[str, str]]:
        whole = self.seconds or 1.0
        phases = ((name, getattr(self, f"{name}_seconds")) for name in PHASES)
        shares = (f"{name} {duration(each)} ({each / whole:.0%})" for name, each in phases)
        facts = [
            ("time", f"{duration(self.seconds)}: {', '.join(shares)}"),
            ("rows", f"{self.rows:,} in {counted(self.exchanges, 'exchange')}"),
            ("data", f"{format_size(self.input_bytes)} in, {format_size(self.output_bytes)} out"),
            ("exits", f"{self.exits:,}"),
        ]
        if self.host_calls:
            facts.append(("host calls", f"{self.host_calls:,}"))
        if self.printed_bytes:
            facts.append(("printed", format_size(self.printed_bytes)))
        return facts


@dataclass(frozen=True, kw_only=True)
class CallReport(_Costs):
    """What the last call of a function cost: ``Function.last_call``.

    Shown as text, or in a notebook as a table.

    Attributes:
        function: the function's name.
        rows: the rows that the function was called for.
        exchanges: requests that its micro-VM was sent: one, or one for each row of an SQL
            statement, batch of an aggregate or fetch of a table function.
        input_bytes: bytes of the requests.
        output_bytes: bytes of the replies.
        printed_bytes: bytes that were kept of standard output and error.
        host_calls: calls of host functions.
        exits: exits from the guest, each of which takes some microseconds.
        pages_restored: pages of 4 KiB that were put back after the call: those that this call
            wrote, and those that calls before it wrote. A jailed micro-VM is put back while the
            program goes on, so a hook is told 0.
        peak_memory_bytes: guest memory that was in use at most, what the image has included: what
            ``memory=`` has to be more than. The guest kernel counts it, so code that breaks out of
            the interpreter could falsify it. 0: it is not known, as without micro-VMs.
        host_seconds: time of the calling program: for arguments, waiting for a micro-VM or opening
            one, host functions, files; in SQL, also for what happens between two rows.
        copy_seconds: time to write requests into the micro-VM and to take replies from it.
        guest_seconds: time in the guest, the exits included. In a streaming call of SQL, an
            estimate from some of its rows.
        restore_seconds: time to put the micro-VM back.
        ending: "returned", or the class of the error: "UDFError", "CallTimeoutError".
        number: this call among those of the function, from 1 on; of a part of a batch that a hook
            is told of, this part among those of the batch.
        parts: 1; of a batch that was cut, or shared between micro-VMs, how many calls it is the sum
            of. Their times are added up, also of those that ran at once.
        ended: when it ended, by ``time.monotonic()``.
        written_bytes: guest memory that the call wrote beyond its image, at most.
        is_jailed: True if the micro-VM ran in a process of its own.
        is_streaming: True if it served requests without exits between them.

    >>> @udfvm.udf
    ... def half(x: float) -> float:
    ...     return x / 2
    >>> half.last_call is None, half(3.0)
    (True, 1.5)
    >>> report = half.last_call
    >>> report.ending, report.rows, report.exits
    ('returned', 1, 1)
    """

    ending: str
    number: int
    parts: int
    ended: float
    written_bytes: int
    is_jailed: bool
    is_streaming: bool

    def __str__(self) -> str:
        return text_table(self._title(), self._facts())

    def _repr_html_(self) -> str:
        return html_table(self._title(), self._facts())

    def _title(self) -> str:
        return f"{self.function}: {self.ending} after {duration(self.seconds)}"

    def _facts(self) -> list[tuple[str, str]]:
        facts = super()._facts()
        restored = counted(self.pages_restored, "page")
        memory = [
            *([f"{format_size(self.peak_memory_bytes)} at most"] if self.peak_memory_bytes else []),
            f"{restored} put back",
            f"{format_size(self.written_bytes)} written",
        ]
        facts.append(("memory", ", ".join(memory)))
        kinds = [
            *([f"in {self.parts} parts"] if self.parts > 1 else []),
            *(["streaming"] if self.is_streaming else []),
            *(["jailed"] if self.is_jailed else []),
        ]
        return [*facts, ("how", ", ".join(kinds))] if kinds else facts


@dataclass(frozen=True, kw_only=True)
class CallTotals(_Costs):
    """What all calls of the functions of one name cost in one pool: see ``udfvm.stats``.

    Attributes:
        function: the name of the functions.
        rows: the rows that they were called for.
        exchanges: requests that micro-VMs were sent.
        input_bytes: bytes of the requests.
        output_bytes: bytes of the replies.
        printed_bytes: bytes that were kept of standard output and error.
        host_calls: calls of host functions.
        exits: exits from guests.
        pages_restored: pages of 4 KiB that were put back.
        peak_memory_bytes: guest memory that one of the calls had in use at most.
        host_seconds: time of the calling program, as in ``CallReport``.
        copy_seconds: time to write requests and to take replies.
        guest_seconds: time in guests.
        restore_seconds: time to put micro-VMs back.
        pool: the pool that the micro-VMs came from.
        calls: how many there were.
        errors: how many failed, by the class of the error.

    >>> @udfvm.udf
    ... def share_of_ten(x: float) -> float:
    ...     return 10 / x
    >>> share_of_ten(4.0)
    2.5
    >>> share_of_ten(0.0)
    Traceback (most recent call last):
    udfvm.errors.UDFError: UDF 'share_of_ten': ZeroDivisionError: ...
    >>> totals = udfvm.stats()["share_of_ten"]
    >>> totals.calls, totals.errors
    (2, {'UDFError': 1})
    """

    pool: Pool
    calls: int
    errors: Mapping[str, int]


class Statistics(Sequence[CallTotals]):
    """What calls cost, by function and pool: ``udfvm.stats()``. A sequence of ``CallTotals``, the
    functions that took the longest first.

    >>> @udfvm.udf
    ... def third(x: float) -> float:
    ...     return x / 3
    >>> third(3.0)
    1.0
    >>> totals = udfvm.stats()["third"]
    >>> totals.calls, totals.rows, totals.errors
    (1, 1, {})
    """

    def __init__(self, totals: Sequence[CallTotals]) -> None:
        self._totals = tuple(sorted(totals, key=lambda each: -each.seconds))

    @overload
    def __getitem__(self, key: int | str) -> CallTotals: ...
    @overload
    def __getitem__(self, key: slice) -> Sequence[CallTotals]: ...
    def __getitem__(self, key: int | str | slice) -> CallTotals | Sequence[CallTotals]:
        """Returns the totals at an index; or of a function's name, in the pool where its calls took
        the longest. Raises KeyError for a name of which there were no calls.
        """
        if not isinstance(key, str):
            return self._totals[key]
        for each in self._totals:
            if each.function == key:
                return each
        raise KeyError(key)

    def __len__(self) -> int:
        return len(self._totals)

    def __iter__(self) -> Iterator[CallTotals]:
        return iter(self._totals)

    def __repr__(self) -> str:
        return text_table("calls of this process", self._lines()) if self else "no calls"

    def _repr_html_(self) -> str:
        return html_table("calls of this process", self._lines())

    def _lines(self) -> list[tuple[str, str]]:
        return [(each.function, _summary(each)) for each in self]


def _summary(totals: CallTotals) -> str:
    parts = [
        counted(totals.calls, "call"),
        counted(totals.rows, "row"),
        *(f"{count} {name}" for name, count in totals.errors.items()),
        f"{duration(totals.seconds)}, of which {duration(totals.guest_seconds)} in the guest",
    ]
    return ", ".join(parts)


def stats() -> Statistics:
    """Returns what all calls of this process cost so far, by function and pool.

    Calls count once they have ended, from Python, Arrow, SQL and other engines. A batch that is
    cut, or shared between micro-VMs, is several calls. Those of a pool that is gone are not
    counted, nor are those of the process that this one was forked from.

    Returns:
        A sequence of ``CallTotals``, which also takes the name of a function:
        ``udfvm.stats()["score"]``.

    >>> @udfvm.udf
    ... def fourth(x: float) -> float:
    ...     return x / 4
    >>> fourth(1.0), fourth(3.0)
    (0.25, 0.75)
    >>> udfvm.stats()["fourth"].rows
    2
    >>> print(udfvm.stats())
    calls of this process
    ...
    """
    from udfvm.vmm.accounts import sums

    for pool in pools():
        if pool.jail:
            for image_pool in pool._list():
                image_pool.settle()
    return Statistics(
        [
            _totals(name, pool, found)
            for pool in pools()
            for name, account in list(pool._accounts.items())
            if (found := sums(account)).calls
        ]
    )


def last_report(name: str, account: Any) -> CallReport | None:
    """Returns the report of an account's last call; None if there was none."""
    from udfvm.vmm.accounts import last_call

    found = None if account is None else last_call(account)
    return None if found is None else report_of(name, found)


def report_of(name: str, found: Any) -> CallReport:
    """Returns the report of a function's call from ``struct udfvm_call_report *``."""
    failed = found.code or found.status
    return CallReport(
        **_costs_of(name, found),
        ending=error_name(found.code) if failed else RETURNED,
        number=found.number,
        parts=found.parts,
        ended=found.ended_ns / 1e9,
        written_bytes=found.memory,
        is_jailed=bool(found.jailed),
        is_streaming=bool(found.streamed),
    )


def _totals(name: str, pool: Pool, sums: Any) -> CallTotals:
    errors = {error_name(code): count for code, count in enumerate(sums.errors) if count}
    return CallTotals(**_costs_of(name, sums), pool=pool, calls=sums.calls, errors=errors)


def _costs_of(name: str, found: Any) -> dict[str, Any]:
    return {
        "function": name,
        "rows": found.rows,
        "exchanges": found.exchanges,
        "input_bytes": found.input,
        "output_bytes": found.output,
        "printed_bytes": found.log,
        "host_calls": found.host_calls,
        "exits": found.exits,
        "pages_restored": found.pages,
        "peak_memory_bytes": found.peak,
        "host_seconds": found.host_ns / 1e9,
        "copy_seconds": found.copy_ns / 1e9,
        "guest_seconds": found.guest_ns / 1e9,
        "restore_seconds": found.restore_ns / 1e9,
    }


def error_name(code: int) -> str:
    """Returns the class of the errors with a code of the core; 0 stands for what the function
    raised.
    """
    return "UDFError" if code == Code.OK else type(from_core(code, "")).__name__


def duration(seconds: float) -> str:
    """Returns a time as text, with three digits.

    >>> duration(2.5), duration(0.0125), duration(26.1234e-6)
    ('2.5 s', '12.5 ms', '26.1 µs')
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"
