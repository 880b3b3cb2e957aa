"""The signatures of stored functions and those of compiled code are one grammar, with one table of
names of types.
"""

from __future__ import annotations

import apsw
import pytest
from stored_functions import created, opened

import udfvm
from udfvm.types.signature_text import parse_signature
from udfvm.types.type_names import SHORT_NAMES

# A value of each type of SQL, and the class that a function has it as.
VALUES: dict[str, tuple[object, str]] = {
    "int64": (2, "int"),
    "double": (2.5, "float"),
    "string": ("2", "str"),
    "binary": (b"2", "bytes"),
    "bool": (1, "bool"),
}
NAMES = {**{name: name for name in VALUES}, **SHORT_NAMES}
BODY = "def f(*values):\n    return ' '.join(type(value).__name__ for value in values)\n"


@pytest.fixture(scope="module")
def database() -> apsw.Connection:
    return opened(":memory:")


@pytest.mark.parametrize("name", [name for name, arrow in NAMES.items() if arrow in VALUES])
def test_a_name_of_a_type_is_one_in_sql_too(database: apsw.Connection, name: str) -> None:
    value, found = VALUES[NAMES[name]]
    created(database, "f", BODY, f"({name}, named {name}, colon: {name}) -> text", "replace")
    assert database.execute("SELECT vm_udf('f', ?, ?, ?)", (value,) * 3).get == " ".join(
        [found] * 3
    )
    parameters = parse_signature("f", f"({name}, named {name}, colon: {name}) -> text").parameters
    assert [str(parameter.type) for parameter in parameters] == [NAMES[name]] * 3
    assert [parameter.name for parameter in parameters] == ["a0", "named", "colon"]


@pytest.mark.parametrize(
    ("signature", "is_one"),
    [
        ("() -> int", True),
        (" ( x : int , y\ttext? )\n->  text ? ", True),
        ("(x:int)->int", True),
        ("(x int?) -> int?", True),
        ("(x y int) -> int", False),
        ("(x: y int) -> int", False),
        ("(x:) -> int", False),
        ("(: int) -> int", False),
        ("(1x int) -> int", False),
        ("(int,) -> int", False),
        ("(int int", False),
        ("(x int)", False),
        ("(x int) -> ", False),
        ("(x int) -> r: int", False),
        ("(x thing) -> int", False),
        ("(x int, x int) -> int", False),
        ("(*x int) -> int", False),
    ],
)
def test_a_text_is_a_signature_for_both_or_for_none(
    database: apsw.Connection, signature: str, is_one: bool
) -> None:
    if is_one:
        created(database, "f", BODY, signature, "replace")
        parse_signature("f", signature)
        return
    with pytest.raises(apsw.SQLError) as failure:
        created(database, "f", BODY, signature, "replace")
    assert isinstance(failure.value.__cause__, udfvm.SignatureError)
    with pytest.raises(udfvm.SignatureError):
        parse_signature("f", signature)
