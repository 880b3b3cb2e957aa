"""Names in the text of a file, which a micro-VM reads, mean what they mean as objects here."""

from __future__ import annotations

import datetime
import decimal
import re
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from udfvm.call.pool import Pool
from udfvm.functions.source_file import read_file
from udfvm.limits import Limits
from udfvm.types.annotations import annotation_of, given_type
from udfvm.types.arrow_types import declared
from udfvm.types.names import ARRAY_CLASSES, CLASSES, CLASSES_OF_MODULES, NUMPY_CLASSES

NAMES: Final = {"datetime": datetime, "decimal": decimal, "np": np, "numpy": np, "pyarrow": pa}
IMPORTS: Final = "import datetime, decimal, numpy, numpy as np, numpy.typing, pyarrow, udfvm\n"
#: Functions of pyarrow that make types without parts.
MAKERS: Final = re.compile(
    r"null|bool_|u?int\d+|float\d+|date\d+|time\d+|timestamp|duration|decimal\d+|utf8"
    r"|(large_)?(string|binary|utf8)(_view)?|month_day_nano_interval"
)


def declared_in(tmp_path: Path, texts: list[str]) -> list[Any]:
    path = tmp_path / "mine.py"
    path.write_text(IMPORTS + "".join(texts))
    return list(read_file(path, Limits(), Pool.default()).functions)


def arrays() -> list[str]:
    found = {name: value for name, value in vars(pa).items() if isinstance(value, type)}
    return [name for name, value in found.items() if issubclass(value, pa.Array)]


def test_annotations(tmp_path: Path) -> None:
    names = [
        *CLASSES,
        *CLASSES_OF_MODULES,
        *(f"pyarrow.{each}" for each in arrays()),
        *(f"np.typing.NDArray[np.{np.dtype(each).type.__name__}]" for each in NUMPY_CLASSES),
    ]
    assert {f"pyarrow.{each}" for each in ARRAY_CLASSES} < set(names)
    found = declared_in(
        tmp_path, [f"def f{place}(x: {name}): ...\n" for place, name in enumerate(names)]
    )
    for name, function in zip(names, found, strict=True):
        here = annotation_of(eval(name, NAMES))
        (parameter,) = function.parameters
        wanted = str(here.type or ""), here.container.value if here.container else ""
        assert (parameter.written.type, parameter.written.container) == wanted, name


def makers() -> list[str]:
    """Calls of all functions of pyarrow that make types, with nothing or plain arguments."""
    found = []
    for name, function in list(vars(pa).items()):
        if not MAKERS.fullmatch(name) or not callable(function):
            continue
        for arguments in ("", "'s'", "'us'", "'ns', 'UTC'", "7", "7, 2"):
            try:
                made = eval(f"pyarrow.{name}({arguments})", NAMES)
                if isinstance(made, pa.DataType) and declared(made):
                    found.append(f"pyarrow.{name}({arguments})")
            except (TypeError, ValueError, pa.ArrowException):
                continue
    return found


def test_types_that_pyarrow_makes(tmp_path: Path) -> None:
    calls = [
        *makers(),
        "pyarrow.list_(pyarrow.int8())",
        "pyarrow.map_(pyarrow.utf8(), pyarrow.float16())",
    ]
    assert len(calls) > 30
    found = declared_in(
        tmp_path,
        [
            f"@udfvm.udf(input_types=[{call}], output_type='bool')\ndef f{place}(x): ...\n"
            for place, call in enumerate(calls)
        ],
    )
    for call, function in zip(calls, found, strict=True):
        assert not function.refused, call
        (parameter,) = function.parameters
        here = given_type(parameter.written.type).type
        assert here == given_type(eval(call, NAMES)).type, call
