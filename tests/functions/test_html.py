"""Functions as notebooks show them."""

from __future__ import annotations

import pytest

import udfvm


def test_a_function_that_has_no_image_yet() -> None:
    @udfvm.udf(timeout=None, max_output="1MiB")
    def never_called(x: float | None) -> float:
        return 2.5 if x is None else x

    html = never_called._repr_html_()
    assert "UDF never_called(x: double | null) -&gt; double" in html
    assert "timeout none, result 1 MiB" in html
    assert "not built yet" in html and "test_html.py&quot;, line" in html


def test_host_functions_are_named() -> None:
    def rate(currency: str) -> float:
        return 1.1

    @udfvm.udf(host_functions=[rate])
    def euros(x: float) -> float:
        return x / rate("USD")

    assert '<th style="text-align:left">may call</th>' in euros._repr_html_()
    assert "rate" in euros._repr_html_()


def test_data_files_are_named() -> None:
    @udfvm.udf(data={"<model>": __file__})
    def size(x: int) -> int:
        return x

    assert "/data/&lt;model&gt;" in size._repr_html_()


def test_a_function_of_text_has_no_line() -> None:
    doubled = udfvm.from_source("def doubled(x: int) -> int: return 2 * x")
    assert "source" not in doubled._repr_html_()
    assert doubled(2) == 4 and "beside its base image" in doubled._repr_html_()


@pytest.mark.parametrize("form", ["table", "aggregate"])
def test_other_forms(form: str) -> None:
    if form == "table":

        @udfvm.table_function(columns={"i": int})
        def made(count: int):  # type: ignore[no-untyped-def]
            yield from range(count)
    else:

        @udfvm.aggregate
        class made:  # type: ignore[no-redef]
            def step(self, x: int) -> None: ...

            def finish(self) -> int:
                return 1

    assert f"python, {form}, in a micro-VM" in made._repr_html_()
