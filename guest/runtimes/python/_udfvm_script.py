"""Runs a whole script once, in a micro-VM of its own.

The request is LOAD, with ``script`` in its metadata: ``filename``, ``outputs`` (names, or None),
``state`` (whether variables are to come back) and ``tables`` (name and library of each). Its parts
are the script, pickled values, the state of an earlier run, and an Arrow stream for each table.

The reply is 8 bytes, the length of the JSON that follows, and then parts whose lengths the JSON
lists: an Arrow stream for each column of each table, and last the state.
"""

from __future__ import annotations

import ast
import io
import json
import pickle
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import _udfvm_agent
import cloudpickle
from _udfvm_agent import STATUS_OK
from _udfvm_expression import compiled
from _udfvm_fork import become_child

_GLOBALS: Final = "globals"  # what pickled functions have in place of the script's variables
_MAX_SHOWN: Final = 64 << 10  # characters of a value that only its repr stands for
_SCALARS: Final = (bool, int, float, str, type(None))


def answer(metadata: Mapping[str, Any], parts: Sequence[bytes]) -> tuple[int, int]:
    """Runs a script, and answers with what it left behind."""
    script = metadata["script"]
    source, values, state, *streams = parts
    if begin := become_child():
        begin()
    namespace = sys.modules["__main__"].__dict__
    if metadata["host_functions"]:
        import _udfvm_host

        _udfvm_host.install(metadata["host_functions"])
        for each in metadata["host_functions"]:
            namespace[each["name"]] = _udfvm_host.find(each["name"])
    if state:
        namespace.update(_Unpickler(io.BytesIO(state), namespace).load())
    given = pickle.loads(values)
    for (name, library), stream in zip(script["tables"], streams, strict=True):
        given[name] = _given_table(stream, library)
    namespace.update(given)
    value = _run(source.decode("utf-8", "surrogatepass"), script["filename"], namespace)
    offered = {each["name"] for each in metadata["host_functions"]}
    return _reply(_Left(namespace, given, offered, value), script)


def _run(source: str, filename: str, namespace: dict[str, Any]) -> object:
    """Runs the script as the module ``__main__``. Returns the value of an expression at its end."""
    source = source.removeprefix("\ufeff")
    compiled(source, filename, "exec")  # which finds more than the parser
    tree: ast.Module = compiled(source, filename, "exec", ast.PyCF_ONLY_AST)
    last = None
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        last = ast.Expression(tree.body.pop().value)  # type: ignore[attr-defined]
    try:
        exec(compile(tree, filename, "exec", dont_inherit=True), namespace)
        return eval(compile(last, filename, "eval", dont_inherit=True), namespace) if last else None
    except SystemExit as error:
        if error.code not in (None, 0):
            raise
        return None


def _given_table(stream: bytes, library: str) -> Any:
    import pyarrow as pa

    table = pa.ipc.open_stream(stream).read_all()
    if library == "pandas":
        return table.to_pandas()
    if library == "polars":
        return sys.modules["polars"].from_arrow(table)
    return table


# ---- What the script leaves ----


class _Left(NamedTuple):
    """What a script left: its variables, of which some were given, and the value at its end."""

    namespace: dict[str, Any]
    given: dict[str, Any]
    offered: set[str]
    value: object


def _reply(left: _Left, script: Mapping[str, Any]) -> tuple[int, int]:
    tables = _Tables()
    outputs = {}
    for name in script["outputs"] or ():
        if name not in left.namespace:
            raise NameError(f"the script does not define {name!r}, which outputs= names")
        outputs[name] = tables.shown(name, left.namespace[name])
    named = []
    if script["outputs"] is None:
        for name, value in left.namespace.items():
            is_new = name not in left.given or left.given[name] is not value
            if is_new and not name.startswith("_") and tables.is_table(value):
                try:
                    named.append((name, tables.add(name, value)))
                except TypeError as error:
                    print(f"udfvm: {error}", file=sys.__stderr__)
    value = tables.shown("the value at the end", left.value)
    state, dropped = _state_of(left) if script["state"] else (b"", [])
    parts = [*tables.parts, state]
    header = json.dumps(
        {
            "tables": tables.descriptions,
            "named": named,
            "outputs": outputs,
            "value": value,
            "dropped": dropped,
            "lengths": [len(part) for part in parts],
        }
    ).encode()
    return _write([len(header).to_bytes(8, "little"), header, *parts])


def _write(parts: Sequence[Any]) -> tuple[int, int]:
    """Writes the reply, unless it is too large; its length says so then."""
    output = _udfvm_agent.output()
    length = sum(map(len, parts))
    if length <= len(output):
        start = 0
        for part in parts:
            output[start : start + len(part)] = memoryview(part).cast("B")
            start += len(part)
    return STATUS_OK, length


class _Tables:
    """The tables of a reply: a description of each, and their columns as Arrow streams."""

    def __init__(self) -> None:
        self.parts: list[Any] = []
        self.descriptions: list[dict[str, Any]] = []

    @staticmethod
    def is_table(value: object) -> bool:
        """Returns True for frames, tables and columns, and arrays of one or two dimensions."""
        module, name = _module_of(value), type(value).__name__
        if module == "numpy":
            return name == "ndarray" and getattr(value, "ndim", 0) in (1, 2)
        return module in ("pyarrow", "pandas", "polars") and (
            name in ("Table", "RecordBatch", "DataFrame", "LazyFrame", "Series")
            or name.endswith("Array")
        )

    def add(self, name: str, value: Any) -> int:
        """Adds a table. Returns its index."""
        from _udfvm_script_tables import described

        description, streams = described(name, value)
        self.parts += streams
        self.descriptions.append(description)
        return len(self.descriptions) - 1

    def shown(self, name: str, value: Any) -> list[Any]:
        """Returns a value as JSON has it: ["json", value], ["table", index] or ["text", repr]."""
        if self.is_table(value):
            try:
                return ["table", self.add(name, value)]
            except (TypeError, ValueError):
                pass  # its text stands for it
        is_scalar = _module_of(value) == "numpy" and getattr(value, "ndim", 1) == 0
        plain = value.item() if is_scalar else value
        if _is_plain(plain, 32):
            return ["json", plain]
        text = repr(value)
        return ["text", text[:_MAX_SHOWN]]


def _module_of(value: object) -> str:
    return str(type(value).__module__).partition(".")[0]


def _is_plain(value: object, depth: int) -> bool:
    """Returns True for what JSON has as it is."""
    if type(value) in _SCALARS:
        return not isinstance(value, str) or _is_unicode(value)
    if depth and type(value) in (list, tuple):
        return all(_is_plain(each, depth - 1) for each in value)  # type: ignore[attr-defined]
    if depth and type(value) is dict:
        return all(
            type(key) is str and _is_unicode(key) and _is_plain(each, depth - 1)
            for key, each in value.items()
        )
    return False


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# ---- State, which goes from one run to the next ----


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Cloudpickle. Functions of the script keep the script's variables as their globals."""

    def __init__(self, file: io.BytesIO, namespace: dict[str, Any]) -> None:
        super().__init__(file)
        self._namespace = namespace
        self.globals_ref[id(namespace)] = namespace

    def persistent_id(self, value: object) -> str | None:
        return _GLOBALS if value is self._namespace else None


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, namespace: dict[str, Any]) -> None:
        super().__init__(file)
        self._namespace = namespace

    def persistent_load(self, _: object) -> dict[str, Any]:
        return self._namespace


def _pickled(variables: Mapping[str, Any], namespace: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    _Pickler(file, namespace).dump(dict(variables))
    return file.getvalue()


def _state_of(left: _Left) -> tuple[bytes, list[str]]:
    """Returns the script's variables, pickled, and the names of those that cannot be."""
    kept = {
        name: value
        for name, value in left.namespace.items()
        if not name.startswith("__") and name not in left.offered
    }
    dropped: list[str] = []
    try:
        return _pickled(kept, left.namespace), dropped
    except Exception:  # noqa: BLE001 - objects of the script may raise anything
        for name in list(kept):
            try:
                _pickled({name: kept[name]}, left.namespace)
            except Exception:  # noqa: BLE001 - as above
                dropped.append(name)
                del kept[name]
    return _pickled(kept, left.namespace), dropped
