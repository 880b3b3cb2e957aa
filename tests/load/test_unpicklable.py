"""What cannot be sent to a micro-VM is named, and the way that led to it."""

from __future__ import annotations

import pickle
import sys
import threading
import types

import pytest

import udfvm


def test_what_cannot_be_pickled() -> None:
    lock = threading.Lock()

    @udfvm.udf
    def function(x: int) -> int:
        return 0 if lock else x

    with pytest.raises(
        udfvm.SignatureError,
        match=r"'function' cannot be sent to a micro-VM.*create connections, locks",
    ):
        function(1)


def test_what_cannot_be_shipped_is_named_with_a_way_out() -> None:
    import threading

    lock = threading.Lock()

    @udfvm.udf
    def locked(x: int) -> int:
        with lock:
            return x

    with pytest.raises(udfvm.SignatureError, match="'lock'") as raised:
        locked(1)
    assert "inside the function" in str(raised.value)
    with pytest.raises(
        udfvm.SignatureError, match=r"'lock'.*module that the other process can import"
    ):
        pickle.dumps(locked)


UNPICKLABLE = {
    "L": ("L = threading.Lock()", r"'L' in 'f'"),
    "g()": ("L = threading.Lock()\ndef g(): return L", r"'L' in 'g' \(by g\)"),
    "h()": (
        "L = threading.Lock()\ndef g(): return L\ndef h(): return g()",
        r"'L' in 'g' \(by h, g\)",
    ),
    "d": ("d = {'a': {'b': [1, threading.Lock()]}}", r"d\['a'\]\['b'\]\[1\] in 'f'"),
    "c": ("class C: pass\nc = C()\nc.x = {'k': threading.Lock()}", r"c\.x\['k'\] in 'f'"),
    "s": ("class C:\n    __slots__ = ('x',)\ns = C()\ns.x = threading.Lock()", r"s\.x in 'f'"),
    "C.m": ("L = threading.Lock()\nclass C:\n    def m(self): return L", r"'L' in 'm' \(by C\.m\)"),
    "C": ("class C:\n    lock = threading.RLock()", r"C\.lock in 'f'"),
    "p": ("p = functools.partial(print, threading.Lock())", r"p\.args\[0\] in 'f'"),
    "k()": ("def k(*, l=threading.Lock()): return l", r"l=<.*> in 'k' \(by k\)"),
    "o['f']": (
        "L = threading.Lock()\ndef g(): return L\no = {'f': g}",
        r"'L' in 'g' \(by o\['f'\]\)",
    ),
}


@pytest.mark.parametrize("body", UNPICKLABLE)
def test_the_way_to_what_cannot_be_shipped(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source, expected = UNPICKLABLE[body]
    module = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    exec(
        f"import functools, threading\n{source}\ndef f(x: int) -> str: return str({body})\n",
        module.__dict__,
    )
    with pytest.raises(
        udfvm.SignatureError,
        match=f"'f' cannot be sent to a micro-VM: {expected}: cannot pickle.*inside the function",
    ):
        udfvm.udf(module.__dict__["f"]).prepare()


def test_an_open_file_is_not_read_and_shipped() -> None:
    with open(__file__, encoding="utf-8") as file:

        @udfvm.udf
        def text(x: int) -> str:
            return file.read()

        with pytest.raises(udfvm.SignatureError, match=r"'file'.*open file.*inside the function"):
            text(1)
        assert file.tell() == 0
