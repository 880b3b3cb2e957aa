"""Functions in compiled code, native or WebAssembly.

The code is opaque bytes on the host. A micro-VM parses it: to describe the function's signature
(DESCRIBE), and to be sealed with it (LOAD).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from udfvm.call.runtime import Loading
from udfvm.errors import SignatureError
from udfvm.functions.compiled_requests import (
    ADVICE,
    Description,
    ahead,
    compiled_base,
    describe,
    load_payload,
    slot_bytes,
)
from udfvm.functions.options import NativeOptions
from udfvm.functions.program import Interface, Program
from udfvm.load.declaration import Column, Form
from udfvm.types.arrow_types import Kind, Parameter, ResultType, named
from udfvm.types.nested import take_apart
from udfvm.types.signature_text import parse_signature

if TYPE_CHECKING:
    from udfvm.call.codecs import Codecs
    from udfvm.call.host_functions import HostFunctions
    from udfvm.call.pool import Pool
    from udfvm.codec.record_batches import BatchCodec
    from udfvm.limits import Limits
    from udfvm.load.bindings import Bindings
    from udfvm.load.data_files import DataFiles
    from udfvm.load.declaration import Declaration
    from udfvm.types.signatures import Signature

TABLE_ARROW: Final = "->>"  # of table functions, as modules for arrow-udf write it
_LENGTH: Final = struct.Struct("<I")
_LENGTHS: Final = struct.Struct("<II")
_LARGE: Final = ("large_string", "large_binary")  # udfvm.h does not have them


class CompiledProgram(Program):
    """Compiled code, and the name of the function in it."""

    def __init__(
        self, code: bytes, symbol: str, *, signature: str | None, checked: bool = False
    ) -> None:
        """``signature``: the types, if they differ from those in the code. ``checked``: the code is
        known to have the function, with that signature.
        """
        self.code = code
        self.symbol = symbol
        self.settings = b""  # more for the runtime than the code
        self._signature = signature
        self._checked = checked
        self._elementwise = True
        self._form: Form = "scalar"  # and the next two: once the code was asked
        self._has_inverse = self._has_merge = False
        self._known: tuple[object, Interface] | None = None  # and for which limits and pool
        self._data: DataFiles | None = None

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (type(self), {**self.__dict__, "_checked": True, "_known": None})

    def giving(self, data: DataFiles | None) -> CompiledProgram:
        """Returns the program with files that it finds when it is described, too: an executable
        runs then until it serves.
        """
        if data == self._data:
            return self
        return _restored(type(self), {**self.__dict__, "_data": data, "_known": None})

    @property
    def default_name(self) -> object:
        """The name of the function in the code."""
        return self.symbol

    def interface(self, name: str, limits: Limits, pool: Pool) -> Interface:
        """Reads the signature, or else asks the code, once for the same limits and pool."""
        key = (limits, pool)
        if self._known is None or self._known[0] != key:
            self._known = key, self._read_interface(name, limits, pool)
        return self._known[1]

    def _read_interface(self, name: str, limits: Limits, pool: Pool) -> Interface:
        text = self._signature
        declared = None if text is None else parse_signature(name, text.replace(TABLE_ARROW, "->"))
        signature = declared
        if signature is not None:
            self._check(name, signature)
        if signature is None or not self._checked:
            described = self._described(name, limits, pool, declared)
            signature = declared or described.signature
            self._check(name, signature)
            if described.aggregate or described.table:
                self._form = "aggregate" if described.aggregate else "table"
            self._has_inverse, self._has_merge = described.inverse, described.merge
            self._elementwise = self._elementwise or not described.whole
        if text is not None and TABLE_ARROW in text and self._form != "table":
            raise SignatureError(
                f"UDF {name!r}: signature={text!r} is that of a table function, but"
                f" {self.symbol!r} is none in the code: use ->"
            )
        return Interface(
            self._form,
            signature,
            elementwise=self._elementwise,
            columns=_columns(name, signature.result) if self._form == "table" else (),
            has_inverse=self._has_inverse,
            has_merge=self._has_merge,
        )

    def _check(self, name: str, signature: Signature) -> None:
        """Raises SignatureError for types that the language has not."""

    def capture(self, declaration: Declaration) -> Bindings:
        """Returns no bindings: compiled code refers to no objects of this process."""
        return ()

    def loading(self, declaration: Declaration, codecs: Codecs, pool: Pool) -> Loading:
        """Returns what the image is built from: the code as it is, or compiled ahead."""
        from udfvm import vmm

        slots = (Parameter("result", *declaration.result), *declaration.parameters)
        limits = declaration.limits
        facts = repr((declaration.name, self.symbol, slot_bytes(slots))).encode() + vmm.sha256(
            self.settings
        )

        def request() -> bytes:
            codec = codecs.batches
            loadable = ahead(
                self.language, self.code, name=declaration.name, limits=limits, pool=pool
            )
            return load_payload(
                loadable.code,
                self.symbol,
                slots,
                self._messages(declaration, codec),
                self._load_settings(declaration, codec) + loadable.settings,
            )

        return Loading(
            compiled_base(self.language, limits),
            facts + vmm.sha256(self.code),
            request,
            ADVICE.get(self.language, ""),
        )

    def _described(
        self, name: str, limits: Limits, pool: Pool, declared: Signature | None
    ) -> Description:
        """Asks a micro-VM to describe the function."""
        return describe(
            self.language,
            self.code,
            self.symbol,
            self.settings,
            name=name,
            limits=limits,
            pool=pool,
            declared=declared,
            data=self._data,
        )

    def _messages(self, declaration: Declaration, codec: BatchCodec) -> tuple[bytes, ...]:
        """Returns the Arrow messages in LOAD: of batches; or of the columns that travel as streams,
        for functions that answer in columns.
        """
        if declaration.form in ("table", "aggregate"):
            from udfvm.codec.column_batches import stream_formats

            return b"", *stream_formats([each.type for each in declaration.made])
        return codec.schema_message, codec.result_schema_message, codec.result_template()

    def _load_settings(self, declaration: Declaration, codec: BatchCodec) -> bytes:
        """Returns the settings in LOAD: the function's own, and those that follow from its
        signature.
        """
        return self.settings


class NativeProgram(CompiledProgram):
    """A shared object or an executable."""

    language = "native"
    options = NativeOptions

    def __init__(
        self,
        code: bytes,
        symbol: str,
        *,
        signature: str | None,
        elementwise: bool,
        environment: bytes = b"",
    ) -> None:
        """``elementwise``: a function that sees a batch as a whole works row by row.
        ``environment``: texts ``NAME=value``, each with a NUL.
        """
        super().__init__(code, symbol, signature=signature)
        self._elementwise = elementwise
        # guest/runtimes/native/loading.c reads them.
        self._with_environment = _LENGTH.pack(len(environment)) + environment
        self.settings = self._with_environment

    def offering(self, host_functions: HostFunctions | None) -> CompiledProgram:
        """Returns the program, which knows the types of host functions with lists and structs."""
        slots = host_functions.slots(streams_only=True) if host_functions else ()
        described = b"".join(
            _LENGTHS.pack(len(name), len(slot)) + name + slot
            for name, slot in ((name.encode(), slot) for name, slot in slots)
        )
        settings = self._with_environment + described
        if settings == self.settings:
            return self
        return _restored(type(self), {**self.__dict__, "settings": settings, "_known": None})

    def _check(self, name: str, signature: Signature) -> None:
        for each in (Parameter("the result", *signature.result), *signature.parameters):
            if each.type.name in _LARGE:
                raise SignatureError(
                    f"UDF {name!r}: {each.name} is {each.type}, which native functions do not"
                    " support: use text and blob"
                )


def _restored(cls: type[CompiledProgram], state: dict[str, object]) -> CompiledProgram:
    program = object.__new__(cls)
    program.__dict__.update(state)
    return program


def _columns(name: str, result: ResultType) -> tuple[Column, ...]:
    """Returns the columns of a table function, of the type of its rows: the fields of a struct, or
    one, ``value``.
    """
    if result.type.kind is not Kind.STRUCT:
        return (Column("value", *result),)
    fields = take_apart(result.type.name)
    types = {field.name: named(field.type) for field in fields.fields} if fields else {}
    if len({column.lower() for column in types}) < len(types):
        raise SignatureError(
            f"UDF {name!r}: two of its columns {', '.join(types)} have the same name (SQL ignores"
            " case)"
        )
    return tuple(Column(column, type_, True) for column, type_ in types.items())
