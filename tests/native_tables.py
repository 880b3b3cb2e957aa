"""Table functions in C and C++ for tests, and what builds them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import udfvm

# Table functions in what C and C++ have in common.
SOURCE = r"""
#include <udfvm.h>
#include <sys/random.h>

UDFVM_STRUCT(point, (f64, x), (optional_f64, y))
UDFVM_STRUCT(row, (i64, number), (optional_text, name), (f32, half), (boolean, odd), (u64, big),
             (list_i64, upto), (optional_point, at), (optional_blob, bytes))

UDFVM_TABLE(rows, row, (i64, count))
{
    for (int64_t i = 0; i < count; i++) {
        char name[32];
        udfvm_i64 *upto = udfvm_allocate_items(i64, (size_t)(i % 3));
        for (int64_t k = 0; k < i % 3; k++)
            upto[k] = k;
        udfvm_row row;
        memset(&row, 0, sizeof row);
        row.number = i;
        const udfvm_text text = { name, (size_t)snprintf(name, sizeof name, "no. %d", (int)i) };
        row.name = i % 4 == 3 ? udfvm_null_text() : udfvm_some_text(text);
        row.half = (float)i / 2;
        row.odd = i % 2;
        row.big = UINT64_MAX - (uint64_t)i;
        row.upto.data = upto;
        row.upto.length = (size_t)(i % 3);
        const udfvm_point at = { (double)i, udfvm_null_f64() };
        row.at = i % 5 ? udfvm_some_point(at) : udfvm_null_point();
        row.bytes = i % 2 ? udfvm_null_blob() : udfvm_some_blob(text);
        udfvm_emit_rows(row);
    }
}

/* Endless if count is negative. */
UDFVM_TABLE(count_up, i64, (i64, count))
{
    for (int64_t i = 0; count < 0 || i < count; i++)
        udfvm_emit_count_up(i);
}

UDFVM_TABLE(told, optional_i64, (i64, count))
{
    for (int64_t i = 0; i < count; i++) {
        struct udfvm_any argument = udfvm_any_i64(i), found;
        udfvm_call_host("tell", &argument, 1, &found);
        udfvm_emit_told(i % 2 ? udfvm_null_i64() : udfvm_some_i64(i));
    }
}

/* What the parameters point to is there to the last row. */
UDFVM_STRUCT(echoed, (text, word), (optional_f64, number))
UDFVM_TABLE(echoes, echoed, (text, word), (list_optional_f64, numbers), (optional_i64, times))
{
    for (int64_t i = 0; i < (times.valid ? times.value : 2); i++)
        for (size_t k = 0; k < numbers.length; k++) {
            const udfvm_echoed row = { word, numbers.data[k] };
            udfvm_emit_echoes(row);
        }
}

static volatile int going = 1;
UDFVM_TABLE(wrong, text, (i64, good), (text, how))
{
    for (int64_t i = 0; i < good; i++)
        udfvm_emit_wrong((udfvm_text){ "good", 4 });
    switch (how.data[0]) {
    case 'f':
        udfvm_fail("after %lld rows", (long long)good);
        for (;;)
            udfvm_emit_wrong((udfvm_text){ "behind", 6 });
    case 'r':
        udfvm_fail("at last");
        return;
    case 'u':
        for (;;)
            udfvm_emit_wrong((udfvm_text){ "\xff", 1 });
    case 'n':
        udfvm_emit_wrong((udfvm_text){ NULL, 1 });
        return;
    case 'c':
        *(volatile char *)(intptr_t)going = 1;
        return;
    case 'e':
        while (going)
            ;
        return;
    }
}

UDFVM_TABLE(large, blob, (i64, count), (i64, size))
{
    char *bytes = udfvm_allocate((size_t)size);
    memset(bytes, 'x', (size_t)size);
    for (int64_t i = 0; i < count; i++)
        udfvm_emit_large((udfvm_blob){ bytes, (size_t)size });
}

UDFVM_TABLE(chance, i64, (i64, ignored))
{
    int64_t number = ignored;
    if (getrandom(&number, sizeof number, 0) == sizeof number)
        udfvm_emit_chance(number);
}
UDFVM_TABLE(nothing, i64) {}

UDFVM_MAIN
"""

CPP = r"""
#include <udfvm.h>
#include <stdexcept>
#include <string>

struct counted { static int64_t ended; ~counted() { ended++; } };
int64_t counted::ended;

/* Without words: how many bodies have been left. */
UDFVM_TABLE(words, text, (text, words))
{
    if (words.length == 0) {
        const std::string ended = std::to_string(counted::ended);
        udfvm_emit_words({ ended.data(), ended.size() });
        return;
    }
    counted object;
    std::string word;
    for (int64_t i = 0;; i++) {
        const char next = words.data[i % words.length];
        if (next == '!')
            throw std::out_of_range("no more of " + word);
        word += next;
        udfvm_emit_words({ word.data(), word.size() });
    }
}
"""


def table(path: Path, function: str, **options: Any) -> udfvm.TableFunction:
    found = udfvm.from_elf(path, function, **options)
    assert isinstance(found, udfvm.TableFunction)
    return found


def expected_row(i: int) -> tuple[object, ...]:
    """A row of ``rows``."""
    name = f"no. {i}"
    return (
        i,
        None if i % 4 == 3 else name,
        i / 2,
        i % 2 == 1,
        2**64 - 1 - i,
        list(range(i % 3)),
        {"x": float(i), "y": None} if i % 5 else None,
        None if i % 2 else name.encode(),
    )
