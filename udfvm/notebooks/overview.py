"""What ``%udfvm`` shows: the functions of a notebook with their images, and pools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from udfvm.call.pool import Pool
from udfvm.functions.function import Function
from udfvm.functions.html import facts_of
from udfvm.functions.integration import image_if_built
from udfvm.tables import html_table, text_table


class Overview:
    """Functions and pools, as text and as HTML.

    >>> @udfvm.udf
    ... def half(x: float) -> float:
    ...     return x / 2
    >>> print(Overview({"half": half, "other": 1}))
    UDF half(x: double) -> double
      runs    python, scalar, in a micro-VM
      limits  memory 512 MiB, timeout 10 s
      image   not built yet: the first call builds it, or takes it from the cache
      source  File ..., line 1
    default pool
      VMs     at most ... of each base image; ... live, ... idle
    """

    def __init__(self, names: Mapping[str, Any]) -> None:
        """``names``: the namespace of a notebook."""
        shown = {
            id(value): value
            for name, value in names.items()
            if isinstance(value, (Function, Pool)) and not name.startswith("_")
        }
        functions = [each for each in shown.values() if isinstance(each, Function)]
        self._tables = [
            (repr(each).strip("<>"), facts_of(each, image_if_built(each))) for each in functions
        ]
        pools = {id(each): each for each in (Pool.default(), *(each.pool for each in functions))}
        pools.update({key: each for key, each in shown.items() if isinstance(each, Pool)})
        self._tables += [(_title(each), _facts(each)) for each in pools.values()]

    def __repr__(self) -> str:
        return "\n".join(text_table(title, facts, 6) for title, facts in self._tables)

    def _repr_html_(self) -> str:
        return "".join(html_table(title, facts) for title, facts in self._tables)


def _title(pool: Pool) -> str:
    if pool is Pool.default():
        return "default pool"
    return "pool" if pool.tenant is None else f"pool of tenant {pool.tenant}"


def _facts(pool: Pool) -> list[tuple[str, str]]:
    size, live, idle = pool.statistics()
    return [("VMs", f"at most {size} of each base image; {live} live, {idle} idle")]
