"""Pickling UDFs for other processes: by reference if they can be found there, else by value.

By reference means the attribute of an importable module that is the UDF itself. By value means the
function, as cloudpickle pickles it, the source text that its tracebacks show, and the options. UDFs
of ``__main__`` go by value: a worker may not have that module, or have it with other values of its
globals. Of a pool, its settings are pickled if it is a tenant's; otherwise the function takes the
default pool there.
"""

from __future__ import annotations

import functools
import io
import linecache
import pickle
import sys
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from udfvm.errors import SignatureError
from udfvm.types.known_hints import remember_hints

if TYPE_CHECKING:
    from udfvm.functions.program import Program
    from udfvm.limits import Limits

# multiprocessing renames __main__ to __mp_main__ in a new process.
_MAIN: Final = frozenset({"__main__", "__mp_main__"})
_MAKER: Final = "udfvm._guest._udfvm_callables"
_KEPT: Final = 64  # UDFs that came by value and stay cached


class Transferable(Protocol):
    """The parts of a function that are pickled."""

    _program: Program
    _options: dict[str, Any]

    @property
    def name(self) -> str: ...
    @property
    def language(self) -> str: ...
    @property
    def function(self) -> Any: ...
    @property
    def limits(self) -> Limits: ...


def reduced(udf: Transferable, base: type[Any]) -> str | tuple[object, ...]:
    """Returns the answer of ``Function.__reduce__``. ``base`` is the class of all functions.

    Raises SignatureError if the function cannot be pickled.
    """
    if udf.function is None:  # compiled code, or source text
        return rebuilt, (type(udf), pickle.dumps(udf._program), _options_of(udf))
    if _is_importable(udf):
        return _found_as(udf)
    from udfvm.load.pickling import UNPICKLABLE, unpicklable_name

    try:
        return arrived, _dumped(udf, base)
    except UNPICKLABLE as error:
        if name := _found_as(udf):
            return name  # a forked or spawned worker has the module
        culprit = unpicklable_name(udf.function) or _unpicklable_option(udf)
        what = f"{culprit}: {error}" if culprit else error
        raise SignatureError(
            f"UDF {udf.name!r} cannot be sent to another process: {what}. Define it in a module"
            " that the other process can import, or create what cannot be pickled inside its"
            " functions"
        ) from error


def _options_of(udf: Transferable) -> bytes:
    """Returns the options of a UDF that has no Python function, pickled. Raises SignatureError if
    one cannot be.
    """
    import cloudpickle

    from udfvm.load.pickling import UNPICKLABLE

    try:
        options: bytes = cloudpickle.dumps(udf._options)
    except UNPICKLABLE as error:
        raise SignatureError(
            f"UDF {udf.name!r} cannot be sent to another process: {_unpicklable_option(udf)}:"
            f" {error}. Leave it out, or make the UDF there"
        ) from error
    return options


def _unpicklable_option(udf: Transferable) -> str:
    """Returns the option that cannot be pickled; empty if all can."""
    import cloudpickle

    from udfvm.load.pickling import UNPICKLABLE

    for option, value in {**udf._options, "log": udf.limits.log, "limits": None}.items():
        try:
            cloudpickle.dumps(value)
        except UNPICKLABLE:
            return f"{option}="
    return ""


def _is_importable(udf: Transferable) -> bool:
    return getattr(udf.function, "__module__", None) not in _MAIN and bool(_found_as(udf))


def _found_as(udf: Transferable) -> str:
    """Returns the qualified name under which the function's module has the UDF itself; empty if it
    does not.
    """
    found: Any = sys.modules.get(getattr(udf.function, "__module__", None) or "")
    name = getattr(udf.function, "__qualname__", "")
    for part in name.split("."):
        found = getattr(found, part, None)
    return name if found is udf else ""


def _dumped(udf: Transferable, base: type[Any]) -> tuple[bytes, tuple[tuple[str, str], ...]]:
    """Returns the pickled function, and the text of each file that has code of it."""
    import cloudpickle

    from udfvm.load.libraries import is_library
    from udfvm.load.reductions import as_made, reduced_callable, reduced_code
    from udfvm.types.hints import annotated_function, hints_of
    from udfvm.types.records import hints_of_class, is_record

    texts: dict[str, str] = {}
    found: dict[Any, Mapping[str, Any]] = {}  # annotations of what may go by value
    known: dict[Any, Mapping[str, Any]] = {}

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        """Cloudpickle. UDFs are made blank and filled afterwards, because a function may refer to
        its own UDF.
        """

        def reducer_override(self, obj: Any) -> Any:
            if (
                isinstance(obj, base)
                and obj.language == "python"
                and (obj is udf or not _is_importable(obj))
            ):
                state = obj._program, obj._options, list(known.items())
                return object.__new__, (type(obj),), state, None, None, fill
            if isinstance(obj, types.CodeType) and (code := reduced_code(obj)) is not None:
                if obj.co_filename not in texts and not is_library(obj.co_filename):
                    texts[obj.co_filename] = "".join(linecache.getlines(obj.co_filename))
                return code
            if (callables := reduced_callable(obj, _MAKER, lambda _: False)) is not None:
                return callables
            reduced = as_made(obj, super().reducer_override(obj))
            if reduced is not NotImplemented and is_record(obj):
                found[obj] = hints_of_class(obj)
            return reduced

    data = _pickled(Pickler, udf)
    offered = map(annotated_function, udf._options["host_functions"])
    found |= {each: hints_of(each, udf.name) for each in offered}
    if found:
        known.update(found)  # they are in the same pickle as what has them
        data = _pickled(Pickler, udf)
    return data, tuple(sorted((name, text) for name, text in texts.items() if text))


def _pickled(pickler: type[pickle.Pickler], udf: Transferable) -> bytes:
    buffer = io.BytesIO()
    pickler(buffer, protocol=pickle.DEFAULT_PROTOCOL).dump(udf)
    return buffer.getvalue()


def fill(
    udf: Transferable,
    state: tuple[Program, dict[str, Any], Sequence[tuple[Any, Mapping[str, Any]]]],
) -> None:
    """Initialises a blank function from its state: its code, its options, and what annotations mean
    that may be text.
    """
    program, options, known = state
    remember_hints(known)
    udf.__init__(program, **options)  # type: ignore[misc]


@functools.lru_cache(_KEPT)
def rebuilt(cls: type[Transferable], program: bytes, options: bytes) -> Transferable:
    """Makes a function of compiled code, or of source text, again from its pickled state; once, as
    ``arrived`` does.
    """
    return cls(pickle.loads(program), **pickle.loads(options))  # type: ignore[call-arg]


@functools.lru_cache(_KEPT)
def arrived(data: bytes, texts: Iterable[tuple[str, str]]) -> Transferable:
    """Unpickles a UDF that came by value, and lets tracebacks find the text of its files, which may
    not be here.

    A worker gets the same bytes with each task: the cache returns the same UDF, whose image is
    built or opened once.
    """
    for name, text in texts:
        if "".join(linecache.getlines(name)) != text:
            # An entry without a time is never checked against a file.
            linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    found: Transferable = pickle.loads(data)
    return found
