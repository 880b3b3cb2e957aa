"""Plug-ins for Extism, by the modules of examples/extism."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import udfvm

ROOT = Path(__file__).resolve().parents[2]

# As Extism's kits for C write plug-ins.
SOURCE = r"""
typedef unsigned long long u64;
typedef unsigned char u8;
#define IMPORT(name) __attribute__((import_module("extism:host/env"), import_name(#name))) extern
#define EXPORT(name) __attribute__((export_name(#name))) int name(void)
IMPORT(input_length) u64 input_length(void);
IMPORT(input_load_u8) u8 input_load_u8(u64);
IMPORT(input_load_u64) u64 input_load_u64(u64);
IMPORT(alloc) u64 alloc(u64);
IMPORT(length) u64 length(u64);
IMPORT(store_u8) void store_u8(u64, u8);
IMPORT(store_u64) void store_u64(u64, u64);
IMPORT(load_u8) u8 load_u8(u64);
IMPORT(output_set) void output_set(u64, u64);
IMPORT(error_set) void error_set(u64);
IMPORT(config_get) u64 config_get(u64);
IMPORT(var_get) u64 var_get(u64);
IMPORT(log_info) void log_info(u64);
static int calls;

static u64 copy(u64 skipped)
{
    const u64 size = input_length(), at = alloc(size - skipped);
    for (u64 i = skipped; i < size; i++)
        store_u8(at + i - skipped, input_load_u8(i));
    return at;
}

EXPORT(upper)
{
    const u64 at = copy(0), size = length(at);
    for (u64 i = 0; i < size; i++)
        if (load_u8(at + i) >= 'a' && load_u8(at + i) <= 'z')
            store_u8(at + i, load_u8(at + i) - 32);
    log_info(at);
    output_set(at, size);
    return config_get(at) != 0;
}

EXPORT(doubled)
{
    const u64 size = input_length(), at = alloc(2 * size + 16);
    for (u64 i = 0; i < size; i += 8)
        store_u64(at + i, input_load_u64(i));
    for (u64 i = 0; i < size; i++)
        store_u8(at + size + i, input_load_u8(i));
    output_set(at, 2 * size);
    return 0;
}

EXPORT(counted)
{
    const u64 at = alloc(1);
    store_u8(at, '0' + ++calls);
    output_set(at, 1);
    return 0;
}

EXPORT(fails)
{
    if (input_load_u8(0) == '!')
        error_set(copy(1));
    return 1;
}

EXPORT(asks) { return (int)var_get(0); }
EXPORT(silent) { return 0; }
"""


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("ziglang")
    folder = tmp_path_factory.mktemp("extism")
    (folder / "plugin.c").write_text(SOURCE)
    flags = ["-target", "wasm32-freestanding", "-O2", "-nostdlib", "-Wl,--no-entry"]
    command = [sys.executable, "-m", "ziglang", "cc", *flags, "plugin.c", "-o", "plugin.wasm"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=300)
    return folder / "plugin.wasm"


def function_of(plugin: Path, name: str) -> Any:
    path = ROOT / "examples" / "extism" / "extism_plugin.py"
    specification = importlib.util.spec_from_file_location("extism_plugin", path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.function_of(plugin, name)


def test_a_plugin_has_input_and_output(plugin: Path) -> None:
    upper = function_of(plugin, "upper")
    assert [upper("hello"), upper(""), upper("é \0x"), upper(None)] == ["HELLO", "", "é \0X", None]
    texts = [f"row {number} " * (number % 50) for number in range(500)]
    assert upper(pa.array(texts)).to_pylist() == [text.upper() for text in texts]
    doubled = function_of(plugin, "doubled")
    for size in (1, 9, 70_000, 3_000_000):  # and more memory than there is at first
        assert doubled("x" * size) == "x" * (2 * size)
    assert function_of(plugin, "silent")("text") == ""


def test_each_call_begins_anew(plugin: Path) -> None:
    counted = function_of(plugin, "counted")
    assert [counted(""), counted("")] == ["1", "1"]


def test_errors_of_a_plugin(plugin: Path) -> None:
    fails = function_of(plugin, "fails")
    with pytest.raises(udfvm.UDFError, match="no good é"):
        fails("!no good é")
    with pytest.raises(udfvm.UDFError, match="the plug-in failed"):
        fails("x")
    with pytest.raises(udfvm.UDFError, match=r"called extism:host/env\.var_get, which nothing"):
        function_of(plugin, "asks")("x")
    with pytest.raises(udfvm.UDFError, match=r"called plugin\.missing, which nothing"):
        function_of(plugin, "missing")("x")
