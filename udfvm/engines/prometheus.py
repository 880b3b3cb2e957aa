"""Metrics for Prometheus: ``udfvm.prometheus.register()``.

``pip install 'udfvm[prometheus]'`` installs Prometheus' client. Names follow Prometheus'
conventions: base units, and ``_total`` for counters.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from udfvm.call.pool import pools
from udfvm.call.reports import PHASES, CallTotals, stats
from udfvm.engines.packages import load_package

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

__all__ = ["CallCollector", "register"]

_core: Final = load_package(
    "prometheus_client.core", engine="prometheus", package="prometheus-client", oldest="0.22"
)

_COUNTERS: Final = {
    "rows": ("rows", "Rows that UDFs were called for."),
    "input_bytes": ("input_bytes", "Bytes of requests to micro-VMs."),
    "output_bytes": ("output_bytes", "Bytes of replies of micro-VMs."),
    "host_calls": ("host_calls", "Calls of host functions by UDFs."),
    "exits": ("exits", "Exits from guests."),
    "restored_pages": ("pages_restored", "Pages of 4 KiB that were put back after calls."),
}


class CallCollector:
    """Reads ``udfvm.stats()`` when Prometheus asks, so calls cost nothing more.

    The counters of a function are the sums over all pools of the process. Where a pool is gone its
    calls are, too: the counters fall, which Prometheus takes for a restart of the process.
    """

    def collect(self) -> Iterator[Metric]:
        """Returns all metrics."""
        return _metrics(stats())

    def describe(self) -> Iterator[Metric]:
        """Returns metrics without calls: a registry learns their names."""
        return _metrics([])


def _metrics(totals: Sequence[CallTotals]) -> Iterator[Metric]:
    yield _counter("calls", "Calls of UDFs.", _by_function(totals, "calls"))
    errors = (
        ((each.function, name), count) for each in totals for name, count in each.errors.items()
    )
    yield _counter("call_errors", "Calls of UDFs that failed.", errors, "error")
    seconds = (
        ((each.function, phase), getattr(each, f"{phase}_seconds"))
        for each in totals
        for phase in PHASES
    )
    yield _counter("call_seconds", "Time of calls by phase.", seconds, "phase")
    for name, (attribute, text) in _COUNTERS.items():
        yield _counter(name, text, _by_function(totals, attribute))
    yield _micro_vms()


_Labelled = tuple[tuple[str, ...], float]


def _by_function(totals: Iterable[CallTotals], attribute: str) -> Iterator[_Labelled]:
    return (((each.function,), getattr(each, attribute)) for each in totals)


def _counter(name: str, text: str, found: Iterable[_Labelled], *labels: str) -> CounterMetricFamily:
    """Returns the sum for each set of labels: a function may have calls in several pools."""
    counter: CounterMetricFamily = _core.CounterMetricFamily(
        f"udfvm_{name}", text, labels=["function", *labels]
    )
    sums: dict[tuple[str, ...], float] = defaultdict(float)
    for values, number in found:
        sums[values] += number
    for values, number in sums.items():
        counter.add_metric(list(values), number)
    return counter


def _micro_vms() -> GaugeMetricFamily:
    found = [pool.statistics() for pool in pools()]
    idle, live = sum(each.idle for each in found), sum(each.live for each in found)
    micro_vms: GaugeMetricFamily = _core.GaugeMetricFamily(
        "udfvm_micro_vms", "Micro-VMs that there are.", labels=["state"]
    )
    micro_vms.add_metric(["idle"], idle)
    micro_vms.add_metric(["busy"], max(live - idle, 0))
    return micro_vms


def register(registry: CollectorRegistry | None = None) -> CallCollector:
    """Adds metrics of all UDFs to those that a program shows Prometheus.

    =================================  ==================  ======================================
    metric                             labels              what
    =================================  ==================  ======================================
    ``udfvm_calls_total``              function            calls that ended
    ``udfvm_call_errors_total``        function, error     those that failed, by class
    ``udfvm_call_seconds_total``       function, phase     host, copy, guest and restore
    ``udfvm_rows_total``               function            rows
    ``udfvm_input_bytes_total``        function            bytes of requests
    ``udfvm_output_bytes_total``       function            bytes of replies
    ``udfvm_host_calls_total``         function            calls of host functions
    ``udfvm_exits_total``              function            exits from guests
    ``udfvm_restored_pages_total``     function            pages of 4 KiB that were put back
    ``udfvm_micro_vms``                state               idle and busy micro-VMs
    =================================  ==================  ======================================

    Args:
        registry: takes the metrics; None: ``prometheus_client.REGISTRY``, the program's own.

    Returns:
        What ``registry.unregister`` takes.

    Raises:
        ValueError: the registry has these metrics already.

    >>> from prometheus_client import CollectorRegistry
    >>> import udfvm.prometheus
    >>> @udfvm.udf
    ... def ninth(x: float) -> float:
    ...     return x / 9
    >>> ninth(18.0)
    2.0
    >>> registry = CollectorRegistry()
    >>> collector = udfvm.prometheus.register(registry)
    >>> registry.get_sample_value("udfvm_calls_total", {"function": "ninth"})
    1.0
    """
    collector = CallCollector()
    (_core.REGISTRY if registry is None else registry).register(collector)
    return collector


def __dir__() -> list[str]:
    return sorted(__all__)
