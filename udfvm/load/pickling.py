"""What travels to the guest to load a function: the pickled function, the sources for its
tracebacks, its types, its sample.

Functions and classes of the user's own code (``__main__``, and modules outside of the standard
library and site-packages) go by value, all that they refer to included; own modules that bodies
import go as source; the rest goes by name and is imported in the guest.
"""

from __future__ import annotations

import importlib
import io
import json
import linecache
import operator
import pickle
import random
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import cloudpickle

from udfvm.call.forks import ForkLock
from udfvm.errors import SignatureError
from udfvm.load.callables import GuestModule, reduced_callable
from udfvm.load.culprits import culprit
from udfvm.load.declaration import DeclaredFunction, OfferedFunctions
from udfvm.load.libraries import is_library, is_users
from udfvm.load.records import WithRecords
from udfvm.load.user_data import data_files, reads_data
from udfvm.load.user_files import Beside, files_beside
from udfvm.load.user_modules import (
    OwnModule,
    all_imported_names,
    imported_names,
    imports_by_name,
    mentioned_names,
    own_modules,
)

UNPICKLABLE: Final = (
    pickle.PicklingError,
    TypeError,
    AttributeError,
    ValueError,
    NotImplementedError,
    RecursionError,
)
_registry_guard: Final = ForkLock()  # of cloudpickle's own registry of modules that go by value


@dataclass
class PickledFunction:
    """A function as bytes, and what was seen while it was pickled."""

    data: bytes = b""
    sources: dict[str, str] = field(default_factory=dict)
    modules: set[str] = field(
        default_factory=set
    )  # that the guest imports to unpickle it, or the function's body imports
    imports: set[str] = field(default_factory=set)  # of these, what bodies import
    own_modules: dict[str, OwnModule] = field(default_factory=dict)
    mentioned: set[str] = field(
        default_factory=set
    )  # names that may be of packages whose data files it reads
    by_name: set[str] = field(
        default_factory=set
    )  # names that may be of modules that it imports by a text
    data_files: bytes = b""  # a zip archive; empty: none
    beside: Beside = field(default_factory=Beside)
    files: bytes = b""  # files beside own code, as a zip archive by absolute names; empty: none


def pickle_function(
    name: str,
    function: Callable[..., object] | WithRecords,
    host_functions: OfferedFunctions | None = None,
) -> PickledFunction:
    """Pickles a function; host functions become what calls them from the guest.

    Raises SignatureError where it refers to something that cannot travel.
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
            except SignatureError:  # it says what to do
                raise
            except UNPICKLABLE as error:
                plain = function.function if isinstance(function, WithRecords) else function
                found = culprit(plain, pickles)
                raise pickle.PicklingError(f"{found}: {error}" if found else error) from error
    except pickle.PicklingError as error:
        raise SignatureError(
            f"UDF {name!r} cannot be sent to a micro-VM: {error}. Whatever the function refers to"
            " (globals, closure, defaults) must be picklable: create connections, locks and open"
            " files inside the function"
        ) from error
    pickled.data = buffer.getvalue()
    pickled.own_modules, seen = own_modules(pickled.imports, is_library)
    pickled.modules |= seen
    pickled.own_modules |= own_modules(pickled.by_name, is_library)[0]
    if reads_data(pickled.modules):
        pickled.own_modules |= own_modules(pickled.mentioned, is_library)[0]
        pickled.data_files = data_files(name, pickled.own_modules.values())
    for module in pickled.own_modules.values():
        pickled.beside.note_source(module)
    pickled.files = files_beside(name, pickled.beside)
    return pickled


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Cloudpickle, taking notes."""

    def __init__(
        self, file: io.BytesIO, notes: PickledFunction, host_functions: OfferedFunctions | None
    ) -> None:
        super().__init__(file, protocol=pickle.DEFAULT_PROTOCOL)
        self._notes = notes
        self._host_functions = host_functions

    def reducer_override(self, obj: Any) -> Any:
        if (
            self._host_functions is not None
            and (name := self._host_functions.name_of(obj)) is not None
        ):
            return operator.methodcaller("find", name), (GuestModule("_udfvm_host"),)
        if isinstance(obj, DeclaredFunction) and obj.language != "python":
            raise pickle.PicklingError(
                f"it refers to UDF {obj.name!r}, which is compiled code and needs a micro-VM of"
                " its own"
            )
        if isinstance(
            obj, DeclaredFunction
        ):  # a UDF that a UDF calls is, in the guest, the function itself
            return operator.itemgetter(0), ((obj.function,),)
        if (callables := reduced_callable(obj, "_udfvm_callables", is_users)) is not None:
            return callables
        if _GLOBAL_RANDOM is not None and getattr(obj, "__self__", None) is _GLOBAL_RANDOM:
            # random.random and its like: bound methods, which would take a copy of the generator
            # along
            return getattr, (random, obj.__name__)
        if (
            isinstance(obj, (type, types.FunctionType, types.ModuleType))
            and (own := _reduced_own(obj)) is not None
        ):
            return own
        if isinstance(obj, types.CodeType):
            if (
                obj.co_filename
            ):  # cloudpickle may replace it, and tracebacks find their source by it
                self._note_code(obj)
                return operator.methodcaller("replace", co_filename=obj.co_filename), (
                    obj.replace(co_filename=""),
                )
        elif isinstance(obj, types.ModuleType):
            self._note_module(obj.__name__)
            if (module := _reduced_module(obj)) is not None:
                return module
        elif isinstance(obj, (type, types.FunctionType, types.BuiltinFunctionType)):
            if isinstance(obj, types.FunctionType) and not is_library(obj.__code__.co_filename):
                self._notes.beside.note_function(obj)
                package = obj.__globals__.get("__package__") or ""
                self._note_imports(all_imported_names(obj.__code__, package))
                mentioned = set(mentioned_names(obj.__code__, package))
                self._notes.mentioned.update(filter(None, (package, *mentioned)))
                if imports_by_name(obj.__code__):
                    self._notes.by_name.update(mentioned)
            self._note_module(getattr(obj, "__module__", None) or "builtins")
        return without_slots(super().reducer_override(obj))

    def _note_module(self, name: str) -> None:
        self._notes.modules.add(name)

    def _note_code(self, code: types.CodeType) -> None:
        if code.co_filename not in self._notes.sources:
            lines = linecache.getlines(code.co_filename)
            if lines:
                self._notes.sources[code.co_filename] = "".join(lines)
        if "to_pandas" in code.co_names:
            self._notes.modules.add("pandas")
        self._note_imports(imported_names(code))

    def _note_imports(self, names: Iterable[str]) -> None:
        for name in names:
            self._notes.imports.add(name)
            self._notes.modules.add(name)


def without_slots(reduced: Any) -> Any:
    """How a class is pickled by value, without the descriptors of its slots: cloudpickle leaves
    those of private names in.
    """
    if (
        isinstance(reduced, tuple)
        and len(reduced) == _PARTS
        and isinstance(reduced[2], tuple)
        and isinstance(reduced[2][0], dict)
    ):
        namespace = reduced[2][0]
        for name in [
            name
            for name, value in namespace.items()
            if isinstance(value, types.MemberDescriptorType)
        ]:
            del namespace[name]
    return reduced


def _reduced_module(module: types.ModuleType) -> tuple[object, ...] | None:
    """How the user's own modules, and others that are of a subclass, are pickled; None for others,
    which cloudpickle knows.
    """
    if not is_users(module):
        if type(module) is types.ModuleType or sys.modules.get(module.__name__) is not module:
            return None
        return importlib.import_module, (module.__name__,)
    state = {name: value for name, value in vars(module).items() if name not in _OF_THIS_PROCESS}
    if "__path__" in state:
        state["__path__"] = list(state["__path__"])
    return (
        types.ModuleType,
        (module.__name__,),
        state,
    )  # made first, filled then: modules may import each other


def _reduced_own(obj: Any) -> tuple[object, ...] | None:
    """How modules, functions and classes of this package are pickled, which the guest has in
    another form; None for everything else.
    """
    name = obj.__name__ if isinstance(obj, types.ModuleType) else getattr(obj, "__module__", None)
    if not isinstance(name, str) or name.partition(".")[0] != "udfvm":
        return None
    if isinstance(obj, types.ModuleType):
        return (
            (operator.itemgetter(0), ((GuestModule("udfvm"),),))
            if name == "udfvm"
            else _of_own(name.partition(".")[2])
        )
    return _of_own(obj.__qualname__) if _is_found(obj, name) else None


def _is_found(obj: Any, module: str) -> bool:
    """Whether a module has an object under its name."""
    found: Any = sys.modules.get(module)
    for part in obj.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is obj


def _of_own(path: str) -> tuple[object, ...]:
    return operator.attrgetter(path), (GuestModule("udfvm"),)


def unpicklable_name(function: object) -> str:
    """The name of what a function refers to that cannot be sent to another process; empty: it is
    not known.
    """

    def pickles(value: object) -> bool:
        try:
            cloudpickle.dumps(value)
        except UNPICKLABLE:
            return False
        return True

    return culprit(function, pickles)


_PARTS: Final = 6  # of a reduction with a function that sets the state
_OF_THIS_PROCESS: Final = frozenset({"__builtins__", "__cached__", "__loader__", "__spec__"})
_GLOBAL_RANDOM: Final[object] = getattr(random.random, "__self__", None)


@contextmanager
def _user_modules_by_value() -> Iterator[None]:
    with _registry_guard.lock:
        already = cloudpickle.list_registry_pickle_by_value()
        mine = [
            module
            for name, module in list(sys.modules.items())
            if module is not None and name not in already and is_users(module)
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
    """The payload of a LOAD request; guest/runtimes/python/agent.py reads it."""
    text = json.dumps(
        {**metadata, "lengths": [len(part) for part in parts]}, sort_keys=True
    ).encode()
    return b"".join((len(text).to_bytes(8, "little"), text, *parts))
