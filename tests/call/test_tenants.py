"""A pool of a tenant: its VMs serve nobody else, in Python, in SQL and in other processes."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import apsw
import numpy as np
import pyarrow as pa
import pytest

import udfvm
import udfvm.sqlite

ROWS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30)"
STORED = "def stored(x):\n    return x + 1\n"


@udfvm.udf
def successor(x: int) -> int:
    return x + 1


@pytest.fixture
def pools() -> Iterator[tuple[udfvm.Pool, udfvm.Pool]]:
    with udfvm.Pool(size=2, tenant="acme") as acme, udfvm.Pool(size=2, tenant="bank") as bank:
        yield acme, bank


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> set[udfvm.Pool]:
    """The pools that were asked for VMs."""
    pools = set()
    original = udfvm.Pool._for_base

    def for_base(pool: udfvm.Pool, base: Any, *data: Any) -> Any:
        pools.add(pool)
        return original(pool, base, *data)

    monkeypatch.setattr(udfvm.Pool, "_for_base", for_base)
    return pools


def calls_of(function: Any) -> list[int]:
    """The number of calls that the VM of a function's pool has served, of all its functions."""
    image_pool = function.pool._for_base(function.image.base)
    with image_pool.vm(function.image) as one:
        return [one.statistics().calls]


def test_calls_in_turn_have_a_vm_for_each_tenant(
    pools: tuple[udfvm.Pool, udfvm.Pool], asked: set[udfvm.Pool]
) -> None:
    successor.prepare()  # on a VM of the default pool, if the image is not in the cache
    asked.clear()
    acme, bank = (successor.with_options(pool=pool).prepare() for pool in pools)
    for number in range(6):
        assert acme(number) == number + 1
        if number % 2:
            assert bank(number) == number + 1
            assert bank(np.array([number])).tolist() == [number + 1]
            assert bank(pa.array([number, None])).to_pylist() == [number + 1, None]
    assert asked == set(pools)
    assert calls_of(acme) == [6]
    assert calls_of(bank) == [9]
    assert [pool.statistics().live for pool in pools] == [1, 1]


def connection_of(pool: udfvm.Pool) -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    policy = udfvm.sqlite.Policy(languages=["python"], allow_create=True, pool=pool)
    udfvm.sqlite.register(connection, successor.with_options(pool=pool), policy=policy)
    connection.execute(
        "SELECT vm_create('stored', 'python', ?, '(int) -> int')", (STORED,)
    ).fetchall()
    return connection


def test_statements_take_vms_of_their_tenant(
    pools: tuple[udfvm.Pool, udfvm.Pool], asked: set[udfvm.Pool]
) -> None:
    for pool in pools:
        asked.clear()
        connection = connection_of(pool)
        sums = f"{ROWS} SELECT sum(successor(i)), sum(vm_udf('stored', i)) FROM n"
        assert connection.execute(sums).fetchall() == [(495, 495)]
        assert pool.statistics().live >= 2  # of the base images of both functions
        connection.close()
        assert asked == {pool}


def test_a_connection_refuses_functions_of_others(pools: tuple[udfvm.Pool, udfvm.Pool]) -> None:
    acme, bank = pools
    policy = udfvm.sqlite.Policy(pool=acme)
    connection = apsw.Connection(":memory:")
    mine = successor.with_options(pool=acme, name="mine")
    for given in (policy, None):  # which comes with the call, or which the connection has
        for function in (successor, successor.with_options(pool=bank)):
            with pytest.raises(udfvm.OptionError) as caught:
                udfvm.sqlite.register(connection, function, policy=given)
            assert str(caught.value) == (
                "udfvm.sqlite.register: 'successor' is bound to a pool that does not serve the"
                " tenant of the connection's policy: register its .with_options(pool=...)"
            )
        udfvm.sqlite.register(connection, mine, policy=given)
    assert connection.execute("SELECT name FROM vm_functions").fetchall() == [("mine",)]
    with udfvm.Pool(tenant="acme") as another:  # of the same tenant
        udfvm.sqlite.register(connection, successor.with_options(pool=another), policy=policy)
        assert connection.execute("SELECT successor(1)").fetchall() == [(2,)]
        connection.close()


def test_the_tenant_goes_to_other_processes(pools: tuple[udfvm.Pool, udfvm.Pool]) -> None:
    mine = udfvm.udf(lambda x: x + 2, name="mine", input_types=["int64"], output_type="int64",
                     pool=pools[0])  # fmt: skip
    twice = [pickle.loads(pickle.dumps(mine)) for _ in range(2)]
    assert twice[0].pool is twice[1].pool is not pools[0]
    assert repr(twice[0].pool) == repr(pools[0]) and twice[0].pool.tenant == "acme"
    assert twice[0](1) == 3 and twice[0].pool.statistics().live >= 1
    twice[0].pool.close()
    usual = pickle.loads(pickle.dumps(mine.with_options(pool=udfvm.Pool.default())))
    assert usual.pool is udfvm.Pool.default()


@pytest.mark.parametrize("tenant", ["", "a\nb", "x" * 256, b"acme", 7])
def test_names_of_tenants(tenant: Any) -> None:
    with pytest.raises(udfvm.OptionError, match=r"udfvm\.Pool: tenant= takes a name of 1 to 255"):
        udfvm.Pool(tenant=tenant)


def test_a_policy_takes_pools_alone() -> None:
    with pytest.raises(udfvm.OptionError, match=r"Policy: pool= takes a udfvm\.Pool; got 'acme'"):
        udfvm.sqlite.Policy(pool="acme")  # type: ignore[arg-type]
