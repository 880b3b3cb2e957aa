"""What ``help`` and ``inspect`` tell of functions."""

from __future__ import annotations

from udfvm.static_typing import TYPE_CHECKING, Any, Final

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


class CallSignature:
    """What ``inspect.signature`` finds: that of a call. The class has that of its constructor."""

    def __get__(self, function: Any, owner: object) -> inspect.Signature:
        if function is None:
            raise AttributeError("__signature__")
        signature: inspect.Signature = function._python_signature()
        return signature


def description(form: Form, language: Language) -> str:
    """Returns the documentation of a function whose code has none."""
    what, cls = _FORMS[form]
    return (
        f"{what} in {_LANGUAGES[language]} that runs in micro-VMs. help(udfvm.{cls}) says"
        " how to call it."
    )
