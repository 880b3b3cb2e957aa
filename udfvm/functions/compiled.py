"""Functions in compiled code, native or WebAssembly.

The code is opaque bytes on the host. A micro-VM parses it: to describe the function's signature
(DESCRIBE), and to be sealed with it (LOAD).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from udfvm.call.runtime import Loading
from udfvm.errors import ProtocolError, SignatureError
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
from udfvm.tuples import NamedTuple
from udfvm.types.arrow_types import Parameter
from udfvm.types.signature_text import parse_signature

if TYPE_CHECKING:
    from udfvm.call.codecs import Codecs
    from udfvm.call.pool import Pool
    from udfvm.codec.record_batches import BatchCodec
    from udfvm.limits import Limits
    from udfvm.load.bindings import Bindings
    from udfvm.load.declaration import Declaration
    from udfvm.types.signatures import Signature

TABLE_ARROW: Final = "->>"  # of table functions, as modules for arrow-udf write it
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

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (type(self), {**self.__dict__, "_checked": True})

    @property
    def default_name(self) -> object:
        """The name of the function in the code."""
        return self.symbol

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


class Grouping(NamedTuple):
    """What an aggregate in compiled code can do with its groups."""

    has_inverse: bool
    has_merge: bool


class NativeProgram(CompiledProgram):
    """A shared object or an executable."""

    language = "native"
    options = NativeOptions

    def __init__(
        self, code: bytes, symbol: str, *, signature: str | None, elementwise: bool
    ) -> None:
        """``elementwise``: a function that sees a batch as a whole works row by row."""
        super().__init__(code, symbol, signature=signature)
        self._elementwise = elementwise
        self._group: Grouping | None = None  # of an aggregate, once the code was asked

    def interface(self, name: str, limits: Limits, pool: Pool) -> Interface:
        """Reads the signature, or else asks the code."""
        if TABLE_ARROW in (self._signature or ""):
            raise SignatureError(
                f"UDF {name!r}: signature={self._signature!r} is that of a table function, which"
                " native code cannot be: write it in Python, or as a module for arrow-udf"
            )
        declared = None if self._signature is None else parse_signature(name, self._signature)
        if declared is not None:
            _refuse_others_than_c_has(name, declared)
            if self._checked:
                return self._interface(declared)
        described = self._described(name, limits, pool, declared)
        _refuse_others_than_c_has(name, described.signature)
        if described.table:
            raise ProtocolError(
                "the guest described a table function, which native code cannot be",
                name,
            )
        self._elementwise = self._elementwise or not described.whole
        if described.aggregate:
            self._group = Grouping(described.inverse, described.merge)
        return self._interface(declared or described.signature)

    def _interface(self, signature: Signature) -> Interface:
        if self._group is None:
            return Interface("scalar", signature, elementwise=self._elementwise)
        return Interface(
            "aggregate",
            signature,
            has_inverse=self._group.has_inverse,
            has_merge=self._group.has_merge,
        )


def _restored(cls: type[CompiledProgram], state: dict[str, object]) -> CompiledProgram:
    program = object.__new__(cls)
    program.__dict__.update(state)
    return program


def _refuse_others_than_c_has(name: str, signature: Signature) -> None:
    for each in (Parameter("the result", *signature.result), *signature.parameters):
        if each.type.name in _LARGE:
            raise SignatureError(
                f"UDF {name!r}: {each.name} is {each.type}, which native functions do not"
                " support: use text and blob"
            )
