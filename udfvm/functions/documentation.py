"""What ``help`` and ``inspect`` tell of functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import inspect

    from udfvm.load.declaration import Form, Language

_LANGUAGES: Final = {"python": "Python", "native": "native code", "wasm": "WebAssembly"}
_FORMS: Final = {
    "scalar": ("A scalar function", "ScalarFunction"),
    "vectorized": ("A vectorised function", "ScalarFunction"),
    "table": ("A table function", "TableFunction"),
    "aggregate": ("An aggregate", "AggregateFunction"),
}


class _Callable(Protocol):
    """A function, whose parameters in Python this returns."""

    _python_signature: Callable[[], inspect.Signature]


class CallSignature:
    """What ``inspect.signature`` finds: that of a call. The class has that of its constructor."""

    def __get__(self, function: _Callable | None, owner: object) -> inspect.Signature:
        if function is None:
            raise AttributeError("__signature__")
        return function._python_signature()


def description(form: Form, language: Language) -> str:
    """Returns the documentation of a function whose code has none."""
    what, cls = _FORMS[form]
    return (
        f"{what} in {_LANGUAGES[language]} that runs in micro-VMs. help(udfvm.{cls}) says"
        " how to call it."
    )
