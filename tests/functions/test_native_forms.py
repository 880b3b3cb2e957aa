"""Aggregates and table functions in C where no Python calls them: DuckDB, Polars, sealed files."""

from __future__ import annotations

from pathlib import Path

import duckdb
import polars as pl
import pytest
from sealed_functions import words_of_shell

import udfvm
import udfvm.polars
import udfvm.sqlite

SOURCE = r"""
#include <udfvm.h>

UDFVM_STRUCT(spread, (f64, low), (f64, high))
UDFVM_AGGREGATE(c_spread, udfvm_spread, optional_f64, (f64, x))
{
    if (x < 0)
        udfvm_fail("negative");
    group->low = x < group->low ? x : group->low;
    group->high = x > group->high ? x : group->high;
}
UDFVM_INIT(c_spread)
{
    group->low = 1e300;
    group->high = -1;
}
UDFVM_FINISH(c_spread)
{
    return group->high < 0 ? udfvm_null_f64() : udfvm_some_f64(group->high - group->low);
}

UDFVM_STRUCT(word, (i64, i), (text, word))
UDFVM_TABLE(c_words, word, (i64, count), (text, letter))
{
    char *word = udfvm_allocate((size_t)count);
    for (int64_t i = 0; i < count; i++) {
        word[i] = letter.data[0];
        udfvm_emit_c_words((udfvm_word){ i, { word, (size_t)i + 1 } });
    }
}
"""

DUCKDB = {
    "SELECT r % 3, c_spread(r) FROM range(10) t(r) GROUP BY 1 ORDER BY 1": [
        (0, 9.0), (1, 6.0), (2, 6.0),
    ],
    "SELECT c_spread(r) FROM range(0) t(r)": [(None,)],
    "SELECT c_spread(r) OVER (ORDER BY r ROWS 2 PRECEDING) FROM range(4) t(r)": [
        (0.0,), (1.0,), (2.0,), (2.0,),
    ],
    "FROM c_words(2, 'a')": [(0, "a"), (1, "aa")],
    "SELECT n, i FROM (VALUES (2), (NULL), (0)) t(n), LATERAL c_words(n, 'b') ORDER BY ALL": [
        (2, 0), (2, 1),
    ],
    "SELECT count(*) FROM range(500) t(n), LATERAL c_words(n, 'c')": [(124_750,)],
}  # fmt: skip


def test_duckdb() -> None:
    with duckdb.connect() as connection:
        functions = [udfvm.from_c(SOURCE, name) for name in ("c_spread", "c_words")]
        udfvm.duckdb.register(connection, *functions)
        for query, expected in DUCKDB.items():
            assert connection.execute(query).fetchall() == expected, query
        with pytest.raises(duckdb.InvalidInputException, match=r"row 6 of its batch.*negative"):
            connection.execute("SELECT c_spread(5 - r) FROM range(9) t(r)").fetchall()


def test_polars() -> None:
    frame = pl.DataFrame({"k": ["a", "b", "a", "b"], "x": [1.0, 2.0, 5.0, None]})
    spread = udfvm.polars.expr(udfvm.from_c(SOURCE, "c_spread"), "x")
    found = frame.group_by("k", maintain_order=True).agg(spread.alias("s"))
    assert found.rows() == [("a", 4.0), ("b", 0.0)]


FILE = """
from pathlib import Path
import udfvm
source = Path(__file__).with_suffix(".c").read_text()
c_spread = udfvm.from_c(source, "c_spread")
c_words = udfvm.from_c(source, "c_words")
"""


def test_sealed_functions_in_the_shell(tmp_path: Path) -> None:
    file = tmp_path / "native_forms.py"
    file.with_suffix(".c").write_text(SOURCE)
    file.write_text(FILE)
    assert words_of_shell(
        file,
        "SELECT vm_agg('c_spread', column1) FROM (VALUES (1.0), (NULL), (4.5));",
        "SELECT vm_attach('c_spread'), vm_attach('c_words');",
        "SELECT c_spread(i) OVER (ORDER BY i) FROM c_words(3, 'x');",
    ) == ["3.5", "c_spread|c_words", "0.0", "1.0", "2.0"]
