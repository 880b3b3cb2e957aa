"""What is shipped to the guest to load a function: the pickled function, the sources for its
tracebacks, its types, and its sample.

Functions and classes of user code (``__main__``, and modules outside of the standard library and
site-packages) are pickled by value, with all that they refer to. User modules that bodies import
are shipped as source. Everything else is pickled by name and imported in the guest.
"""

from __future__ import annotations

import io
import json
import operator
import pickle
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import cloudpickle

from udfvm.errors import SignatureError
from udfvm.forks import ForkLock
from udfvm.load.declaration import DeclaredFunction
from udfvm.load.libraries import is_library, is_user_module
from udfvm.load.records import WithRecords
from udfvm.load.reductions import (
    GuestModule,
    Reduced,
    as_made,
    reduced_callable,
    reduced_code,
    reduced_interval,
    reduced_module,
    reduced_own,
    reduced_random,
)
from udfvm.load.source_lines import SourceLines
from udfvm.load.unpicklable import unpicklable_part
from udfvm.load.user_data import data_files, reads_data
from udfvm.load.user_files import FileNotes, user_files
from udfvm.load.user_modules import (
    UserModule,
    all_imported_names,
    imported_names,
    imports_by_name,
    mentioned_names,
    user_modules,
)
from udfvm.static_typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from udfvm.load.declaration import OfferedFunctions

UNPICKLABLE: Final = (
    pickle.PicklingError,
    TypeError,
    AttributeError,
    ValueError,
    NotImplementedError,
    RecursionError,
)
_registry_guard: Final = ForkLock()  # of cloudpickle's registry of modules by value


@dataclass
class PickledFunction:
    """A function as bytes, and what was noted while it was pickled.

    ``code`` describes ``data`` where that is source text, which nobody has parsed on the host: its
    ``form``, "module" or "expression", and the ``entry``.
    """

    data: bytes = b""
    code: dict[str, str] = field(default_factory=dict)
    source_lines: SourceLines = field(default_factory=SourceLines)  # of its code
    sources: dict[str, str] = field(default_factory=dict)  # texts with these lines, by file
    # Modules that the guest imports to unpickle it, or that the function's body imports.
    modules: set[str] = field(default_factory=set)
    imports: set[str] = field(default_factory=set)  # of these, those that bodies import
    user_modules: dict[str, UserModule] = field(default_factory=dict)
    # Names that may be those of packages whose data files it reads.
    mentioned: set[str] = field(default_factory=set)
    # Names that may be those of modules that it imports by a text.
    by_name: set[str] = field(default_factory=set)
    data_files: bytes = b""  # a zip archive; empty: none
    files_read: FileNotes = field(default_factory=FileNotes)
    files: bytes = b""  # user files, as a zip archive by absolute names; empty: none


def pickle_function(
    name: str,
    function: Callable[..., object] | WithRecords,
    host_functions: OfferedFunctions | None = None,
) -> PickledFunction:
    """Pickles a function. Host functions become stubs that call them from the guest.

    Raises SignatureError if it refers to an object that cannot be pickled.
    """
    pickled = PickledFunction()
    buffer = io.BytesIO()

    def pickles(value: object) -> bool:
        try:
            _Pickler(io.BytesIO(), PickledFunction(), host_functions).dump(value)
        except UNPICKLABLE:
            return False
        return True

    try:
        with _user_modules_by_value():
            try:
                _Pickler(buffer, pickled, host_functions).dump(function)
            except SignatureError:  # its text says what to do
                raise
            except UNPICKLABLE as error:
                wrapped = function.function if isinstance(function, WithRecords) else function
                found = unpicklable_part(wrapped, pickles)
                raise pickle.PicklingError(f"{found}: {error}" if found else error) from error
    except pickle.PicklingError as error:
        raise SignatureError(
            f"UDF {name!r} cannot be sent to a micro-VM: {error}. Whatever the function refers to"
            " (globals, closure, defaults) must be picklable: create connections, locks and open"
            " files inside the function"
        ) from error
    pickled.data = buffer.getvalue()
    pickled.sources = pickled.source_lines.texts()
    pickled.user_modules, seen = user_modules(pickled.imports, is_library)
    pickled.modules |= seen
    pickled.user_modules |= user_modules(pickled.by_name, is_library)[0]
    if reads_data(pickled.modules):
        pickled.user_modules |= user_modules(pickled.mentioned, is_library)[0]
        pickled.data_files = data_files(name, pickled.user_modules.values())
    for module in pickled.user_modules.values():
        pickled.files_read.note_source(module)
    pickled.files = user_files(name, pickled.files_read)
    return pickled


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Cloudpickle that takes notes."""

    def __init__(
        self, file: io.BytesIO, notes: PickledFunction, host_functions: OfferedFunctions | None
    ) -> None:
        super().__init__(file, protocol=pickle.DEFAULT_PROTOCOL)
        self._notes = notes
        self._host_functions = host_functions

    def reducer_override(self, obj: Any) -> Any:
        reduced = (
            self._reduced_host_function(obj)
            or _reduced_declared(obj)
            or reduced_callable(obj, "_udfvm_callables", is_user_module)
            or reduced_random(obj)
            or reduced_interval(obj)
            or reduced_own(obj)
            or self._reduced_and_noted(obj)
        )
        return as_made(obj, super().reducer_override(obj)) if reduced is None else reduced

    def _reduced_host_function(self, obj: object) -> Reduced | None:
        if self._host_functions is None or (name := self._host_functions.name_of(obj)) is None:
            return None
        return operator.methodcaller("find", name), (GuestModule("_udfvm_host"),)

    def _reduced_and_noted(self, obj: object) -> Reduced | None:
        """Notes what the guest needs for code, modules, classes and functions. Refuses open files,
        whose content cloudpickle would read and ship.
        """
        if isinstance(obj, io.TextIOWrapper) and obj not in (sys.stdout, sys.stderr, sys.stdin):
            raise pickle.PicklingError(f"cannot pickle the open file {obj.name!r:.100}")
        if isinstance(obj, types.CodeType):
            return self._reduced_code(obj)
        if isinstance(obj, types.ModuleType):
            self._note_module(obj.__name__)
            return reduced_module(obj)
        if isinstance(obj, (type, types.FunctionType, types.BuiltinFunctionType)):
            if isinstance(obj, types.FunctionType) and not is_library(obj.__code__.co_filename):
                self._note_function(obj)
            self._note_module(getattr(obj, "__module__", None) or "builtins")
        return None

    def _reduced_code(self, code: types.CodeType) -> Reduced | None:
        if code.co_filename:
            self._note_code(code)
        return reduced_code(code)

    def _note_function(self, function: types.FunctionType) -> None:
        self._notes.files_read.note_function(function)
        package = function.__globals__.get("__package__") or ""
        self._note_imports(all_imported_names(function.__code__, package))
        mentioned = set(mentioned_names(function.__code__, package))
        self._notes.mentioned.update(filter(None, (package, *mentioned)))
        if imports_by_name(function.__code__):
            self._notes.by_name.update(mentioned)

    def _note_module(self, name: str) -> None:
        self._notes.modules.add(name)

    def _note_code(self, code: types.CodeType) -> None:
        self._notes.source_lines.note(code)
        if "to_pandas" in code.co_names:
            self._notes.modules.add("pandas")
        self._note_imports(imported_names(code))

    def _note_imports(self, names: Iterable[str]) -> None:
        for name in names:
            self._notes.imports.add(name)
            self._notes.modules.add(name)


def _reduced_declared(obj: object) -> Reduced | None:
    """Pickles a function of a micro-VM that another one calls: in the guest it is the Python
    function.
    """
    if not isinstance(obj, DeclaredFunction):
        return None
    if obj.function is None:
        code = "source text" if obj.language == "python" else "compiled code"
        raise pickle.PicklingError(
            f"it refers to UDF {obj.name!r}, which is {code} and needs a micro-VM of its own"
        )
    return operator.itemgetter(0), ((obj.function,),)


def unpicklable_name(function: object) -> str:
    """Returns the name of the object that cannot be pickled and that a function refers to; empty if
    it is not known.
    """

    def pickles(value: object) -> bool:
        try:
            cloudpickle.dumps(value)
        except UNPICKLABLE:
            return False
        return True

    return unpicklable_part(function, pickles)


@contextmanager
def _user_modules_by_value() -> Iterator[None]:
    with _registry_guard.lock:
        already = cloudpickle.list_registry_pickle_by_value()
        mine = [
            module
            for name, module in list(sys.modules.items())
            if module is not None and name not in already and is_user_module(module)
        ]
        mine = [module for module in mine if sys.modules.get(module.__name__) is module]
        mine = list({id(module): module for module in mine}.values())  # one may have several names
        for module in mine:
            cloudpickle.register_pickle_by_value(module)
        try:
            yield
        finally:
            for module in mine:
                cloudpickle.unregister_pickle_by_value(module)


# ---- The payload ----


def load_payload(metadata: dict[str, object], *parts: bytes) -> bytes:
    """Returns the payload of a LOAD request. guest/runtimes/python/agent.py reads it."""
    text = json.dumps(
        {**metadata, "lengths": [len(part) for part in parts]}, sort_keys=True
    ).encode()
    return b"".join((len(text).to_bytes(8, "little"), text, *parts))
