"""Exports of core modules over more than numbers: v128, several results, none."""

from __future__ import annotations

import pyarrow as pa
import pytest

import udfvm
from udfvm import errors

MODULE = """
(module
  (func (export "nothing") (param i32))
  (func (export "several") (param i32) (result i32 f32 v128)
    local.get 0 f32.const 1.5 local.get 0 i32x4.splat)
  (func (export "vector") (param v128 i32) (result v128)
    local.get 0 local.get 1 i32x4.splat i32x4.add)
)
"""


def function(export: str, **options: object) -> udfvm.ScalarFunction:
    return udfvm.from_wasm(MODULE, export, **options)  # type: ignore[arg-type]


def test_functions_without_a_result_are_null() -> None:
    nothing = function("nothing")
    assert repr(nothing) == "<UDF nothing(a0: int32) -> bool>"
    assert nothing(1) is None
    assert nothing(pa.array([1, None], pa.int32())).null_count == 2
    with pytest.raises(errors.SignatureError, match=r"returns nothing, .* declare the result with"):
        function("nothing", signature="(i32) -> i32")


def test_several_results_are_a_struct() -> None:
    several, vector = function("several"), (7).to_bytes(4, "little") * 4
    assert repr(several) == "<UDF several(a0: int32) -> struct<0: int32, 1: float, 2: binary>>"
    assert several(7) == {"0": 7, "1": 1.5, "2": vector}
    declared = function("several", signature="(i32) -> struct<a: u8, b: f64, c: blob>")
    expected = {"a": 7, "b": 1.5, "c": vector}
    assert declared(pa.array([7, None, 7], pa.int32())).to_pylist() == [expected, None, expected]
    with pytest.raises(udfvm.UDFError, match="row 1: OverflowError: the function returned 256"):
        declared(pa.array([7, 256], pa.int32()))
    for signature, message in (
        ("(i32) -> i32", "the result needs a struct for the several results"),
        ("(i32) -> struct<a: i32>", "3 results where the struct of the signature has 1"),
        ("(i32) -> struct<a: i32, b: i32, c: blob>", "b is f32 in the module"),
        ("(i32) -> struct<a: i32, b: f32, c: i32>", "c needs blob for its v128"),
    ):
        with pytest.raises(errors.SignatureError, match=message):
            function("several", signature=signature)


def test_vectors_are_bytes() -> None:
    vector = function("vector")
    assert repr(vector) == "<UDF vector(a0: binary, a1: int32) -> binary>"
    assert vector(bytes(16), 1) == b"\1\0\0\0" * 4
    columns = pa.array([bytes(16), None, b"\1" * 16]), pa.array([1, 1, 0], pa.int32())
    assert vector(*columns).to_pylist() == [b"\1\0\0\0" * 4, None, b"\1" * 16]
    with pytest.raises(udfvm.TypeMappingError, match=r"'a0' .* has 15 bytes, and a v128 has 16"):
        vector(bytes(15), 1)
