"""``udfvm.prometheus``: metrics, as Prometheus' own client writes and reads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import udfvm

pytest.importorskip("prometheus_client")

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

import udfvm.prometheus


@pytest.fixture
def pool() -> Iterator[udfvm.Pool]:
    with udfvm.Pool(size=1) as made:
        yield made


@pytest.fixture
def registry() -> CollectorRegistry:
    made = CollectorRegistry()
    udfvm.prometheus.register(made)
    return made


def samples(registry: CollectorRegistry, function: str) -> dict[tuple[str, str], float]:
    """Reads the text that Prometheus gets."""
    return {
        (each.name, each.labels.get("error") or each.labels.get("phase") or ""): each.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for each in family.samples
        if each.labels.get("function") == function
    }


def made(name: str, **options: Any) -> Any:
    def divided(x: float) -> float:
        return 12.0 / x

    return udfvm.udf(divided, name=name, **options)


def test_sums_of_a_function(registry: CollectorRegistry, pool: udfvm.Pool) -> None:
    here, elsewhere = made("metered"), made("metered", pool=pool)
    assert here(3.0) == elsewhere(3.0) == 4.0
    here(np.arange(1.0, 101.0))
    with pytest.raises(udfvm.UDFError):
        elsewhere(0.0)
    found = samples(registry, "metered")
    totals = [each for each in udfvm.stats() if each.function == "metered"]
    assert len(totals) == 2
    assert found["udfvm_calls_total", ""] == 4
    assert found["udfvm_call_errors_total", "UDFError"] == 1
    for name in ("rows", "input_bytes", "output_bytes", "exits", "host_calls"):
        assert found[f"udfvm_{name}_total", ""] == sum(getattr(each, name) for each in totals)
    for phase in ("host", "copy", "guest", "restore"):
        seconds = sum(getattr(each, f"{phase}_seconds") for each in totals)
        assert found["udfvm_call_seconds_total", phase] == pytest.approx(seconds)
        assert seconds > 0


def test_micro_vms(registry: CollectorRegistry, pool: udfvm.Pool) -> None:
    made("held", pool=pool)(3.0)
    idle = registry.get_sample_value("udfvm_micro_vms", {"state": "idle"})
    busy = registry.get_sample_value("udfvm_micro_vms", {"state": "busy"})
    assert idle is not None and idle >= 1 and busy == 0


def test_twice_is_refused_by_the_registry(registry: CollectorRegistry) -> None:
    with pytest.raises(ValueError, match="Duplicated"):
        udfvm.prometheus.register(registry)


def test_it_ends() -> None:
    registry = CollectorRegistry()
    registry.unregister(udfvm.prometheus.register(registry))
    assert generate_latest(registry) == b""
