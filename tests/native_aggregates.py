"""Aggregates in C and C++ for tests, and what builds them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import udfvm

# Aggregates in what C and C++ have in common.
SOURCE = r"""
#include <udfvm.h>
#include <sys/random.h>

struct sums { double sum; int64_t count; };

UDFVM_AGGREGATE(average, struct sums, optional_f64, (f64, value))
{
    if (value < -1000)
        udfvm_fail("%g is too small", value);
    group->sum += value;
    group->count++;
}
UDFVM_INVERSE(average, (f64, value))
{
    group->sum -= value;
    group->count--;
}
UDFVM_MERGE(average)
{
    group->sum += other->sum;
    group->count += other->count;
}
UDFVM_FINISH(average)
{
    if (group->sum == -999)
        udfvm_fail("no such sum");
    return group->count ? udfvm_some_f64(group->sum / (double)group->count) : udfvm_null_f64();
}

/* A text of its own memory, and how many groups there are. */
static int64_t alive;
struct longest { char *word; size_t length; };
UDFVM_AGGREGATE(longest, struct longest, text, (optional_text, word))
{
    const udfvm_text found = word.valid ? word.value : (udfvm_text){ "?", 1 };
    if (found.length <= group->length)
        return;
    free(group->word);
    group->word = (char *)malloc(found.length);
    memcpy(group->word, found.data, found.length);
    group->length = found.length;
}
UDFVM_INIT(longest) { alive++; group->word = NULL; }
UDFVM_FREE(longest) { free(group->word); alive--; }
UDFVM_FINISH(longest)
{
    udfvm_text made = { group->word, group->length };
    return made;
}
UDFVM_MERGE(longest)
{
    if (other->length <= group->length)
        return;
    const struct longest mine = *group;
    *group = *other;
    *other = mine;
}
UDFVM_SAVE(longest)
{
    udfvm_blob made = { udfvm_allocate(group->length), group->length };
    memcpy((char *)made.data, group->word, group->length);
    return made;
}
UDFVM_LOAD(longest)
{
    group->length = state.length;
    group->word = (char *)malloc(state.length + 1);
    memcpy(group->word, state.data, state.length);
}

UDFVM_AGGREGATE(groups_alive, bool, i64, (text, ignored)) { *group = ignored.length > 0; }
UDFVM_INIT(groups_alive) { alive++; }
UDFVM_FREE(groups_alive) { alive--; }
UDFVM_FINISH(groups_alive) { return alive; }

UDFVM_STRUCT(span, (f64, low), (optional_f64, high), (text, name))
UDFVM_AGGREGATE(spanned, udfvm_span, optional_span, (list_f64, values), (span, other))
{
    for (size_t i = 0; i < values.length; i++) {
        group->low = values.data[i] < group->low ? values.data[i] : group->low;
        if (!group->high.valid || values.data[i] > group->high.value)
            group->high = udfvm_some_f64(values.data[i]);
    }
    group->low = other.low < group->low ? other.low : group->low;
}
UDFVM_FINISH(spanned)
{
    group->name = (udfvm_text){ "span", 4 };
    return group->low == 0 && !group->high.valid ? udfvm_null_span() : udfvm_some_span(*group);
}

struct five { int64_t at[5], count; };
UDFVM_AGGREGATE(last_five, struct five, list_i64, (i64, value))
{
    group->at[group->count++ % 5] = value;
}
UDFVM_FINISH(last_five)
{
    const int64_t count = group->count < 5 ? group->count : 5;
    udfvm_i64 *items = udfvm_allocate_items(i64, (size_t)count);
    for (int64_t i = 0; i < count; i++)
        items[i] = group->at[(group->count - count + i) % 5];
    udfvm_list_i64 made = { items, (size_t)count };
    return made;
}

UDFVM_AGGREGATE(bits, uint64_t, u64, (u8, bit)) { *group |= (uint64_t)1 << bit; }
UDFVM_FINISH(bits) { return *group; }
UDFVM_AGGREGATE(any_of, bool, optional_boolean, (optional_boolean, value))
{
    *group |= value.valid && value.value;
}
UDFVM_FINISH(any_of) { return udfvm_some_boolean(*group); }
UDFVM_AGGREGATE(rows, int64_t, i32) { ++*group; }
UDFVM_FINISH(rows) { return (udfvm_i32)*group; }

/* The random number that each row got; -1 if they differ. */
UDFVM_AGGREGATE(chance, int64_t, i64, (i64, ignored))
{
    int64_t number = ignored;
    if (getrandom(&number, sizeof number, 0) != sizeof number)
        udfvm_fail("no random numbers");
    number = number < 0 ? ~number : number;
    *group = *group == 0 || *group == number ? number : -1;
}
UDFVM_FINISH(chance) { return *group; }

/* Does something wrong, in one of its parts. */
static volatile int64_t how, going = 1;
struct wrong { double aligned __attribute__((aligned(64))); };
UDFVM_AGGREGATE(wrong, struct wrong, text, (i64, value))
{
    how = value;
    if (value == 1)
        *(volatile char *)(intptr_t)how = 1;
    while (value == 2 && going)
        ;
    udfvm_allocate(100000); /* freed after each row */
}
UDFVM_INIT(wrong)
{
    if ((uintptr_t)group % 64)
        udfvm_fail("not aligned");
    if (how == 3)
        udfvm_fail("no second group");
}
UDFVM_FINISH(wrong)
{
    udfvm_text made = { how == 4 ? "\xff" : how == 5 ? NULL : "good", 1 };
    return made;
}
UDFVM_MERGE(wrong)
{
    if (other->aligned == 0)
        udfvm_fail("no merge");
}

UDFVM_AGGREGATE(no_value, int64_t, i64, (i64, value)) { *group = value; }
UDFVM_AGGREGATE(no_load, int64_t, i64, (i64, value)) { *group = value; }
UDFVM_FINISH(no_load) { return *group; }
UDFVM_MERGE(no_load) { *group += *other; }
UDFVM_SAVE(no_load)
{
    udfvm_blob made = { (const char *)group, sizeof *group };
    return made;
}

UDFVM_MAIN
"""
BUILDS = {
    "C": ["gcc", "-std=gnu17", "-shared", "-fPIC", "-x", "c"],
    "C++": ["g++", "-std=gnu++20", "-shared", "-fPIC", "-x", "c++"],
    "program": ["gcc", "-std=gnu17", "-static", "-no-pie", "-x", "c"],
}

CPP = r"""
#include <udfvm.h>
#include <map>
#include <stdexcept>
#include <string>

using counts = std::map<std::string, int64_t>;

UDFVM_AGGREGATE(most, counts, text, (text, word))
{
    if (word.length == 0)
        throw std::invalid_argument("no word");
    ++(*group)[std::string(word.data, word.length)];
}
UDFVM_INVERSE(most, (text, word)) { --(*group)[std::string(word.data, word.length)]; }
UDFVM_MERGE(most) { for (const auto &[word, count] : *other) (*group)[word] += count; }
UDFVM_SAVE(most)
{
    std::string state;
    for (const auto &[word, count] : *group)
        state += word + '\0' + std::to_string(count) + '\0';
    char *made = udfvm_allocate(state.size());
    memcpy(made, state.data(), state.size());
    return { made, state.size() };
}
UDFVM_LOAD(most)
{
    for (const char *at = state.data; at < state.data + state.length;) {
        const std::string word = at;
        const std::string count = at + word.size() + 1;
        (*group)[word] = std::stoll(count);
        at += word.size() + count.size() + 2;
    }
}
UDFVM_FINISH(most)
{
    const std::pair<const std::string, int64_t> *best = nullptr;
    for (const auto &each : *group)
        if (each.second > 0 && (!best || each.second > best->second))
            best = &each;
    if (!best)
        throw std::out_of_range("no rows");
    return { best->first.data(), best->first.size() };
}

struct pieces { std::string text; ~pieces() { ended++; } static int64_t ended; };
int64_t pieces::ended;
UDFVM_AGGREGATE(glued, pieces, text, (text, piece))
{
    group->text.append(piece.data, piece.length);
}
UDFVM_FINISH(glued)
{
    group->text += std::to_string(pieces::ended);
    return { group->text.data(), group->text.size() };
}
UDFVM_AGGREGATE(unsaved, pieces, i64, (text, piece))
{
    group->text.append(piece.data, piece.length);
}
UDFVM_FINISH(unsaved) { return (int64_t)group->text.size(); }
UDFVM_MERGE(unsaved) { group->text += other->text; }
"""


def build(folder: Path, name: str, source: str = SOURCE) -> Path:
    """Compiles functions in one of the ways in ``BUILDS``."""
    made = folder / "made"
    flags = ["-O2", "-g", "-Wall", "-Wextra", "-Werror", "-I", udfvm.get_include()]
    command = [*BUILDS[name], *flags, "-", "-o", str(made)]
    subprocess.run(command, input=source, text=True, check=True)
    return made


def aggregate(path: Path, function: str, **options: Any) -> udfvm.AggregateFunction:
    found = udfvm.from_elf(path, function, **options)
    assert isinstance(found, udfvm.AggregateFunction)
    return found
