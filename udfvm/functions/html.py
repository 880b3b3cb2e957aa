"""Functions as notebooks show them: ``_repr_html_``."""

from __future__ import annotations

from udfvm.backend import SETTING
from udfvm.call.host_functions import HostFunctions
from udfvm.limits import Limits
from udfvm.static_typing import TYPE_CHECKING, Protocol
from udfvm.tables import html_table
from udfvm.texts import format_size
from udfvm.tracebacks import place_of

if TYPE_CHECKING:
    from udfvm.load.data_files import DataFiles
    from udfvm.vmm import Image


class _Shown(Protocol):
    """What is shown of a function."""

    @property
    def language(self) -> str: ...
    @property
    def form(self) -> str: ...
    @property
    def limits(self) -> Limits: ...
    @property
    def host_functions(self) -> HostFunctions | None: ...
    @property
    def data(self) -> DataFiles | None: ...
    @property
    def function(self) -> object: ...


def html_of(function: _Shown, image: Image | None) -> str:
    """Returns a table with the signature of a function, its limits, its image and where its source
    is. All text in it is escaped: names may come from a stranger.
    """
    return html_table(repr(function).strip("<>"), facts_of(function, image))


def facts_of(function: _Shown, image: Image | None) -> list[tuple[str, str]]:
    """Returns what there is to tell of a function, as names and texts. ``image`` is None if it is
    not built yet.
    """
    limits = function.limits
    seconds = "none" if not limits.timeout_ns else f"{limits.timeout_ns / 1e9:g} s"
    output = "" if not limits.max_output else f", result {format_size(limits.max_output)}"
    facts = [
        ("runs", f"{function.language}, {function.form}, in a micro-VM"),
        ("limits", f"memory {format_size(limits.memory)}, timeout {seconds}{output}"),
        ("image", _text_of(image)),
    ]
    if function.host_functions is not None:
        names = [each["name"] for each in function.host_functions.descriptions()]
        facts.append(("may call", ", ".join(names)))
    if function.data is not None:
        facts.append(("data", ", ".join(f"/data/{each.name}" for each in function.data.files)))
    if place := _source_of(function):
        facts.append(("source", place))
    return facts


def _text_of(image: Image | None) -> str:
    if image is None:
        return "not built yet: the first call builds it, or takes it from the cache"
    if image.in_process:
        return f"none: it runs in this process, without isolation ({SETTING})"
    return f"{image.digest.hex()[:12]}, {format_size(image.pages * 4096)} beside its base image"


def _source_of(function: _Shown) -> str:
    code = getattr(function.function, "__code__", None)
    return "" if code is None else place_of(code.co_filename, code.co_firstlineno)
