"""Names of parameters that other languages have, and Python does not."""

from __future__ import annotations

import udfvm


def test_a_parameter_that_is_a_keyword_of_python() -> None:
    source = (
        "#include <udfvm.h>\nUDFVM_SCALAR(way, f64, (f64, from), (f64, to)) { return to - from; }"
    )
    way = udfvm.from_c(source, "way")
    assert way(4.0, 9.0) == way(to=9.0, from_=4.0) == 5.0
    half = udfvm.from_wasm(
        """(component
        (core module $m (func (export "half") (param i32) (result i32)
          (i32.div_s (local.get 0) (i32.const 2))))
        (core instance $i (instantiate $m))
        (func (export "half") (param "in" s32) (result s32)
          (canon lift (core func $i "half"))))""",
        "half",
    )
    assert half(in_=8) == 4
