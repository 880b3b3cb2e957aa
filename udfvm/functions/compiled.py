"""What UDFs in compiled languages have in common: their declared signatures, and the requests that
describe and load them.

The code is opaque bytes on the host. A micro-VM parses it: to say what signature it exports
(DESCRIBE), and to be sealed with it (LOAD). Layouts: ``struct udfvm_load``, ``struct udfvm_slot``
and ``struct udfvm_description`` of guest/include/udfvm_abi.h.
"""

from __future__ import annotations

import functools
import pickle
import re
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from udfvm.call.pool import Pool, pool_of
from udfvm.errors import OutputLimitError, ProtocolError, SignatureError
from udfvm.functions.function import (
    UDF,
    Isolation,
    Loading,
    checked_name,
    function_list,
    guest_exception,
)
from udfvm.limits import WINDOW, Limits
from udfvm.types.arrow_types import Kind, Parameter, ResultType, Type, declared, named
from udfvm.types.nested import Field, at_colon, split_at_commas, take_apart
from udfvm.types.signatures import Signature

if TYPE_CHECKING:
    from udfvm.codec.arrow_ipc import BatchCodec
    from udfvm.images.build import BaseSpec
    from udfvm.load.bindings import Places

_REQUEST_DESCRIBE: Final = 9
_REQUEST_COMPILE: Final = 10
_COMPILED_ONCE: Final = 256 << 10  # bytes of code; less compiles in no time
_COMPILED: Final = struct.pack(
    "<BII", ord("c"), 0, 0
)  # a setting of guest/runtimes/wasm/settings.c
_DIGEST: Final = 32  # bytes of a SHA-256
_LOAD: Final = struct.Struct("<QIIIIII")
_SLOT: Final = struct.Struct("<III116s")
_LABEL: Final = 116 - 1  # bytes of a name
_TYPE_NAME: Final = (
    16 << 10
)  # bytes of the name of a type: MAX_TYPE_NAME of guest/runtimes/shared/compiled/type.h
_DESCRIPTION: Final = struct.Struct("<II")
_TABLE: Final = 1  # UDFVM_DESCRIPTION_TABLE
_MOST_PARAMETERS: Final = 32

# enum storage of guest/runtimes/arrow/storage.h, for the types that compiled code takes.
_NAMES: Final = {
    0: "bool",
    1: "int8",
    2: "int16",
    3: "int32",
    4: "int64",
    5: "uint8",
    6: "uint16",
    7: "uint32",
    8: "uint64",
    9: "float",
    10: "double",
    11: "string",
    12: "large_string",
    13: "binary",
    14: "large_binary",
}
_LARGE: Final = ("large_string", "large_binary")  # which udfvm.h has not
_STORAGES: Final = {name: number for number, name in _NAMES.items()}
_NESTED: Final = {16: Kind.STRUCT, 17: Kind.LIST}  # types by name, behind the slots
_HELD: Final = {
    *_STORAGES,
    "date32[day]",
    *(f"timestamp[{unit}]" for unit in ("s", "ms", "us", "ns")),
}  # what those may hold
_ADVICE: Final = {
    "native": ": an executable becomes ready when its main() calls udfvm_serve() of udfvm.h"
}
_SIGNATURE: Final = re.compile(r"\s*\((.*)\)\s*->\s*(.+?)\s*", re.DOTALL)
_SHORT_NAMES: Final = {
    **{f"i{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"u{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
    "f32": "float",
    "f64": "double",
    "int": "int64",
    "float": "double",
    "text": "string",
    "blob": "binary",
}


class CompiledUDF(UDF):
    """A function in compiled code. ``code`` are its bytes, ``symbol`` is the function's name in it,
    ``language`` what runs it, ``settings`` what its runtime is told beside.
    """

    def __init__(
        self,
        language: str,
        code: bytes,
        symbol: str,
        *,
        settings: bytes = b"",
        signature: str | None = None,
        name: str | None = None,
        limits: Limits,
        isolation: Isolation = "statement",
        pool: Pool | None = None,
        host_functions: Iterable[Callable[..., Any]] = (),
        checked: bool = False,
    ) -> None:
        """``checked``: the code is known to have the function, with the declared signature."""
        self.language = language
        self.code = code
        self.symbol = symbol
        self.settings = settings
        self.name = checked_name(name or symbol)
        self.vectorized = False
        self.elementwise = True
        self.sample = None
        self.__name__ = self.name
        functions = function_list(self.name, host_functions)
        self._options = {
            "settings": settings,
            "signature": signature,
            "name": name,
            "limits": limits,
            "isolation": isolation,
            "host_functions": functions,
        }
        read = None if signature is None else parse_signature(self.name, signature)
        if read is not None and language == "native":
            _refuse_others_than_c_has(self.name, read)
        if read is None or not checked:
            described = describe(
                language,
                code,
                symbol,
                settings,
                name=self.name,
                limits=limits,
                pool=pool,
                declared=read,
            )
            if language == "native":
                _refuse_others_than_c_has(self.name, described.signature)
                if described.table:
                    raise ProtocolError(
                        "the guest's description is that of a table function, which shared objects"
                        " have not",
                        self.name,
                    )
            read = read or described.signature
        self._declare(read, limits, isolation, pool, functions)

    def __reduce__(self) -> tuple[object, ...]:
        from udfvm.load.transfer import options_of

        return _rebuild, (type(self), self.language, self.code, self.symbol, options_of(self))

    def _capture(self) -> Places:
        return ()  # compiled code refers to nothing here

    def _loading(self) -> Loading:
        from udfvm import vmm

        slots = (Parameter("result", *self.result), *self.parameters)
        facts = repr((self.name, self.symbol, _slots(slots))).encode() + vmm.sha256(self.settings)

        def request() -> bytes:
            codec = self._codec()
            loadable = ahead(
                self.language, self.code, name=self.name, limits=self.limits, pool=self.pool
            )
            return _load(
                loadable.code,
                self.symbol,
                slots,
                self._messages(codec),
                self._load_settings(codec) + loadable.settings,
            )

        return Loading(
            _base(self.language, self.limits),
            facts + vmm.sha256(self.code),
            request,
            _ADVICE.get(self.language, ""),
        )

    def _messages(self, codec: BatchCodec) -> tuple[bytes, ...]:
        """The Arrow messages in LOAD, for functions that answer batches."""
        return codec.schema_message, codec.result_schema_message, codec.result_template()

    def _load_settings(self, codec: BatchCodec) -> bytes:
        """The settings in LOAD: those that the function has from the start, and what follows from
        its signature.
        """
        return self.settings


def _rebuild(
    cls: type[CompiledUDF], language: str, code: bytes, symbol: str, options: bytes
) -> CompiledUDF:
    return cls(language, code, symbol, checked=True, **pickle.loads(options))


def _refuse_others_than_c_has(name: str, signature: Signature) -> None:
    for each in (Parameter("the result", *signature.result), *signature.parameters):
        if each.type.is_nested or each.type.name in _LARGE:
            advice = "text (JSON)" if each.type.is_nested else "text and blob"
            raise SignatureError(
                f"UDF {name!r}: {each.name} is {each.type}, which functions of shared objects have"
                f" not: use {advice}"
            )


def _base(language: str, limits: Limits) -> BaseSpec:
    from udfvm.images.build import BaseSpec

    return BaseSpec(memory=limits.memory, window=WINDOW, runtime=language)


# ---- Descriptions ----


class Description(NamedTuple):
    """What code says of a function in it. ``table``: it yields rows, of one column, which is the
    signature's result.
    """

    signature: Signature
    table: bool


def describe(
    language: str,
    code: bytes,
    symbol: str,
    settings: bytes,
    *,
    name: str,
    limits: Limits,
    pool: Pool | None,
    declared: Signature | None = None,
) -> Description:
    """What code says of its function, read by a micro-VM. ``declared`` chooses among functions of
    one name. Raises SignatureError where there is no such function, BuildError where it is a
    program that ends before it says.
    """
    from udfvm import vmm
    from udfvm.images.build import base_image, cached_reply

    base = base_image(_base(language, limits), limits.build_timeout_ns)
    slots = (Parameter("result", *declared.result), *declared.parameters) if declared else ()

    def ask() -> bytes:
        loadable = ahead(language, code, name=name, limits=limits, pool=pool)
        request = _load(loadable.code, symbol, slots, (), settings + loadable.settings)
        return _ask(_REQUEST_DESCRIBE, language, request, name, limits, pool)

    identity = (
        symbol.encode()
        + vmm.sha256(settings)
        + vmm.sha256(code)
        + (vmm.sha256(_slots(slots)) if slots else b"")
    )
    return cached_reply(
        base, identity, ".description", ask, functools.partial(_read_description, name)
    )


def _ask(
    request: int, language: str, payload: bytes, name: str, limits: Limits, pool: Pool | None
) -> bytes:
    """The reply of a language's runtime. Raises SignatureError where it has none."""
    from udfvm.images.build import base_image, load_call, load_limits

    base = base_image(_base(language, limits), limits.build_timeout_ns)
    with pool_of(name, pool).core(base).vm(base) as vm:
        reply = load_call(
            vm, request, payload, load_limits(limits), name, _ADVICE.get(language, "")
        )
        status, data = reply.status, bytes(reply.data)
    if status:
        error: Any = guest_exception(data, name)
        raise SignatureError(str(error)) from error
    return data


# ---- Compiling ahead ----


class Loadable(NamedTuple):
    """Code as a runtime is to load it, and settings that say so."""

    code: bytes
    settings: bytes


def ahead(language: str, code: bytes, *, name: str, limits: Limits, pool: Pool | None) -> Loadable:
    """Code in the form that loads soonest: large WebAssembly is compiled once, in a micro-VM, for
    all functions in it.

    What comes of that is as opaque to the host as the code was, and runs where the code would.
    Raises SignatureError for code that does not compile.
    """
    from udfvm import vmm
    from udfvm.images.build import base_image, cached_reply

    if language != "wasm" or len(code) < _COMPILED_ONCE:
        return Loadable(code, b"")

    def ask() -> bytes:
        compiled = _ask(_REQUEST_COMPILE, language, _load(code, "", (), ()), name, limits, pool)
        return vmm.sha256(compiled) + compiled

    try:
        compiled = cached_reply(
            base_image(_base(language, limits)), vmm.sha256(code), ".compiled", ask, _undamaged
        )
    except OutputLimitError:
        return Loadable(code, b"")  # it would not fit the window on its way back
    return Loadable(compiled, _COMPILED)


def _undamaged(kept: bytes) -> bytes:
    """What was kept behind its digest. Raises ProtocolError for anything else."""
    from udfvm import vmm

    digest, compiled = kept[:_DIGEST], kept[_DIGEST:]
    if vmm.sha256(compiled) != digest:
        raise ProtocolError("the compiled code in the cache is damaged")
    return compiled


# ---- Signatures ----


def parse_signature(name: str, text: str) -> Signature:
    """A signature as text, ``"(a: f64, b: i64?) -> text?"``; names of parameters may be left out,
    ``?`` allows null.

    Types are those of ``udfvm.h`` (``i8`` ... ``i64``, ``u8`` ... ``u64``, ``f32``, ``f64``,
    ``bool``, ``text``, ``blob``), and dates and timestamps by pyarrow's names, which are integers
    in the code; for WebAssembly also lists and structs of these, ``list<f64>`` and ``struct<x: f64,
    tags: list<text>>``, ``large_string`` and ``large_binary``. Raises SignatureError.

    >>> signature = parse_signature("score", "(f64, distance: f64?) -> f64")
    >>> [(each.name, str(each.type), each.nullable) for each in signature.parameters]
    [('a0', 'double', False), ('distance', 'double', True)]
    """
    match = _SIGNATURE.fullmatch(text)
    if match is None:
        raise SignatureError(
            f"UDF {name!r}: signature={text!r} is not of the form '(a: f64, b: i64?) -> f64'"
        )
    try:
        parts = split_at_commas(match[1])
    except ValueError as error:
        raise SignatureError(f"UDF {name!r}: signature=: {error}") from error
    parameters = []
    for index, part in enumerate(parts):
        label, colon, type_text = at_colon(part.strip())
        parameters.append((label.strip() if colon else f"a{index}", *_type(name, type_text)))
    return _signature(name, parameters, *_type(name, match[2]))


def _long_name(short: str) -> str:
    """The name of a type whose name, or those of types in it, may be short."""
    nested = take_apart(short)
    if nested is None:
        return _SHORT_NAMES.get(short, short)
    return str(
        nested._replace(
            fields=tuple(Field(field.name, _long_name(field.type)) for field in nested.fields)
        )
    )


def _type(name: str, text: str) -> tuple[Type, bool]:
    text = text.strip()
    nullable = text.endswith("?")
    try:
        type_ = declared(_long_name(text.rstrip("?").strip()))
    except ValueError as error:
        raise SignatureError(f"UDF {name!r}: signature=: {error}") from error
    _storage_of(name, type_)
    return type_, nullable


def _storage_of(name: str, type_: Type) -> int:
    if type_.kind in (Kind.DATE, Kind.DATETIME):
        return _STORAGES["int32" if type_.name == "date32[day]" else "int64"]
    if type_.is_nested:
        _check_held(name, type_.name)
        return next(number for number, kind in _NESTED.items() if kind is type_.kind)
    if type_.name not in _STORAGES:
        raise SignatureError(
            f"UDF {name!r}: compiled code takes no {type_}; use {', '.join(_STORAGES)}, dates and"
            " timestamps"
        )
    return _STORAGES[type_.name]


def _check_held(name: str, type_: str) -> None:
    nested = take_apart(type_)
    if nested is None and type_ not in _HELD:
        raise SignatureError(
            f"UDF {name!r}: lists and structs of compiled code hold no {type_}; use"
            f" {', '.join(sorted(_HELD))}"
        )
    if nested is not None and nested.container not in ("list", "struct"):
        raise SignatureError(f"UDF {name!r}: compiled code takes no {type_}; use list and struct")
    for field in nested.fields if nested else ():
        _check_held(name, field.type)


def _signature(
    name: str, parameters: list[tuple[str, Type, bool]], result: Type, result_nullable: bool
) -> Signature:
    if len(parameters) > _MOST_PARAMETERS:
        raise SignatureError(
            f"UDF {name!r}: {len(parameters)} parameters where compiled code has at most"
            f" {_MOST_PARAMETERS}"
        )
    if not all(label for label, _, _ in parameters):
        raise SignatureError(f"UDF {name!r}: a parameter has an empty name")
    import inspect

    try:
        python = inspect.Signature(
            [
                inspect.Parameter(label, inspect.Parameter.POSITIONAL_OR_KEYWORD)
                for label, _, _ in parameters
            ]
        )
    except ValueError as error:
        raise SignatureError(f"UDF {name!r}: the names of its parameters: {error}") from error
    made = tuple(
        Parameter(*parameter, position=position) for position, parameter in enumerate(parameters, 1)
    )
    return Signature(made, ResultType(result, result_nullable), lambda: python)


def _read_description(name: str, reply: bytes) -> Description:
    """What is in a ``struct udfvm_description``, which is the guest's word: all of it is checked.
    Raises ProtocolError.
    """
    try:
        count, flags = _DESCRIPTION.unpack_from(reply)
        names = _DESCRIPTION.size + (count + 1) * _SLOT.size
        if flags & ~_TABLE or count > _MOST_PARAMETERS or len(reply) < names:
            raise ValueError(f"{count} parameters in {len(reply)} bytes")
        slots = []
        for index in range(count + 1):
            storage, nullable, length, label = _SLOT.unpack_from(
                reply, _DESCRIPTION.size + index * _SLOT.size
            )
            type_ = _described_type(name, storage, reply[names : names + length], length)
            slots.append((label.partition(b"\0")[0].decode("ascii"), type_, bool(nullable)))
            names += length
        if len(reply) != names:
            raise ValueError(f"{len(reply) - names} bytes too many")
        return Description(_signature(name, slots[1:], *slots[0][1:]), bool(flags & _TABLE))
    except (struct.error, ValueError, KeyError, SignatureError) as error:
        raise ProtocolError(
            f"the guest's description of the function is not valid: {error}", name
        ) from error


def _described_type(name: str, storage: int, text: bytes, length: int) -> Type:
    if not length:
        return named(_NAMES[storage])
    if length > _TYPE_NAME or len(text) != length:
        raise ValueError(f"a name of {length} bytes for a type")
    type_ = named(text.decode())
    if _storage_of(name, type_) != storage:
        raise ValueError(f"{type_}, which is not stored as type {storage} is")
    return type_


# ---- Requests ----


def _slots(slots: Sequence[Parameter]) -> bytes:
    """The slots, and behind them the names of types that are structs or lists."""
    heads, names = [], []
    for each in slots:
        name = each.type.name.encode() if each.type.is_nested else b""
        heads.append(
            _SLOT.pack(
                _storage_of(each.name, each.type),
                each.nullable,
                len(name),
                each.name.encode()[:_LABEL],
            )
        )
        names.append(name)
    return b"".join((*heads, *names))


def _load(
    code: bytes,
    symbol: str,
    slots: Sequence[Parameter],
    messages: tuple[bytes, ...],
    settings: bytes = b"",
) -> bytes:
    text = symbol.encode()
    lengths = [len(message) for message in messages] or [0, 0, 0]
    head = _LOAD.pack(len(code), len(slots), len(text), *lengths, len(settings))
    return b"".join((head, _slots(slots), text, *messages, settings, code))
