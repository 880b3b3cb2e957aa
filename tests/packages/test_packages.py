"""Popular packages compute in micro-VMs what they compute on the host.

The tests are for when packages, or what runs them, changed: `UDFVM_PACKAGES=1`. A package that is
not installed is skipped.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from packages.uses import USES

import udfvm

MEMORY = "2GiB"


@pytest.mark.slow
@pytest.mark.skipif("UDFVM_PACKAGES" not in os.environ, reason="UDFVM_PACKAGES is not set")
@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_results_are_the_hosts(use: Callable[[float], str]) -> None:
    try:
        expected = use(3.0)
    except ModuleNotFoundError as error:
        pytest.skip(f"{error.name} is not installed")
    options = {"memory": MEMORY, "timeout": 120}
    assert udfvm.udf(use, sample=(2.0,), **options)(3.0) == expected
    assert udfvm.udf(use, **options)(3.0) == expected


def test_each_use_has_a_package_to_install() -> None:
    assert len(USES) >= 20
    for use in USES.values():
        assert use.__doc__ and use.__doc__.split() == [use.__doc__]
