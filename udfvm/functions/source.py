"""Functions that are given as source text, which nothing on the host parses: a micro-VM does."""

from __future__ import annotations

import functools
import inspect
import json
import keyword
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from udfvm.call.guest_exceptions import guest_exception
from udfvm.call.runtime import Loading
from udfvm.errors import ProtocolError, SignatureError
from udfvm.functions.options import ScalarPythonOptions
from udfvm.functions.program import Interface, Program
from udfvm.limits import WINDOW
from udfvm.protocol import REQUEST_DESCRIBE
from udfvm.types.arrow_types import Parameter, Type, named

if TYPE_CHECKING:
    from udfvm.call.codecs import Codecs
    from udfvm.call.pool import Pool
    from udfvm.limits import Limits
    from udfvm.load.bindings import Bindings
    from udfvm.load.declaration import Declaration

SourceForm = Literal["module", "expression"]
# Types that a guest may say that a function has: those of _udfvm_inference.py.
_TYPES: Final = frozenset(
    ["bool", "int64", "double", "string", "binary", "date32[day]", "timestamp[us]", "null"]
)
_MAX_PARAMETERS: Final = 1000
MAX_REPLY: Final = 1 << 20  # bytes of a description


class Source(NamedTuple):
    """Source text. ``entry``: the function in a module; empty for the last that it defines."""

    form: SourceForm
    text: str
    entry: str = ""


class Declared(NamedTuple):
    """A type that source text says; ``type`` is None where it does not."""

    type: Type | None
    nullable: bool


class Description(NamedTuple):
    """What source text says of its function."""

    name: str
    result: Declared
    parameters: tuple[tuple[str, Declared], ...]


def describe(
    source: Source,
    name: str,
    limits: Limits,
    pool: Pool,
    parameters: Sequence[Parameter] = (),
    *,
    has_result: bool = False,
) -> Description:
    """Asks a micro-VM what source text says of its function. It parses the text, and runs none.

    ``name`` is what errors call the function. ``parameters`` are those of an expression. With
    ``has_result`` its type is known, and an expression's is not told; a module need not define its
    function by ``def`` then. Raises UDFError: of the type ``SyntaxError`` where the text is
    no Python.
    """
    request = {
        "form": source.form,
        "name": name,
        "entry": source.entry,
        "source": source.text,
        "parameters": [(each.name, each.type.name) for each in parameters],
        "result": has_result,
    }
    return read_description(name, ask(request, name, limits, pool))


def ask(request: Mapping[str, object], name: str, limits: Limits, pool: Pool) -> bytes:
    """Returns the reply of a micro-VM to DESCRIBE, at most a byte more than ``MAX_REPLY``. Raises
    UDFError.
    """
    from udfvm.images.loading import load_call, load_limits
    from udfvm.images.spec import BaseSpec

    base = pool._base(BaseSpec(memory=limits.memory, window=WINDOW), limits, name)
    payload = json.dumps(request).encode()
    with pool._for_base(base).vm(base) as vm:
        reply = load_call(vm, REQUEST_DESCRIBE, payload, load_limits(limits), name)
        status, data = reply.status, bytes(reply.data[: MAX_REPLY + 1])
    if status:
        raise guest_exception(data, name)
    return data


def read_description(name: str, reply: bytes) -> Description:
    """Parses the reply of DESCRIBE. The guest wrote it, so all of it is checked.

    Raises ProtocolError.

    >>> read_description("f", b"half\\0double?\\0x\\0double\\0").parameters[0][0]
    'x'
    """
    try:
        if len(reply) > MAX_REPLY or reply[-1:] != b"\0":
            raise ValueError(f"{len(reply)} bytes without an end")
        function, result, *rest = reply[:-1].decode().split("\0")
        names = rest[::2]
        if len(rest) % 2 or len(names) > _MAX_PARAMETERS or len(set(names)) != len(names):
            raise ValueError(f"{len(rest)} texts for parameters")
        for each in (function, *names):
            if not each.isidentifier() or keyword.iskeyword(each):
                raise ValueError(f"{each[:64]!r} is no name")
        parameters = zip(names, map(_declared, rest[1::2]), strict=True)
        return Description(function, _declared(result), tuple(parameters))
    except ValueError as error:
        raise ProtocolError(
            f"the guest's description of the function is not valid: {error}", name
        ) from error


def _declared(text: str) -> Declared:
    type_ = text.removesuffix("?")
    if type_ and type_ not in _TYPES:
        raise ValueError(f"the type {type_[:64]!r}")
    return Declared(named(type_) if type_ else None, text.endswith("?"))


def python_signature(
    name: str, parameters: Sequence[str], defaults: Mapping[str, object] | None = None
) -> inspect.Signature:
    """Returns the signature that binds arguments, by the names of the parameters, some of which may
    have defaults. Raises SignatureError for names that they cannot have.
    """
    known = defaults or {}
    for label in parameters:
        _check_as_read(name, label)
    try:
        return inspect.Signature(
            [
                inspect.Parameter(
                    label,
                    inspect.Parameter.POSITIONAL_OR_KEYWORD,
                    default=known.get(label, inspect.Parameter.empty),
                )
                for label in parameters
            ]
        )
    except ValueError as error:
        raise SignatureError(f"UDF {name!r}: {error}") from error


def _check_as_read(name: str, label: str) -> None:
    """Python reads a name as its normal form, so no text could have another."""
    if label.isascii():
        return
    from unicodedata import normalize

    if (read := normalize("NFKC", label)) != label:
        raise SignatureError(
            f"UDF {name!r}: Python reads the name of the parameter {label!r} as {read!r}: pass that"
        )


class SourceProgram(Program):
    """Source text, and the interface that it was declared with."""

    language = "python"
    options = ScalarPythonOptions

    def __init__(
        self,
        source: Source,
        name: str,
        interface: Interface,
        sample: Any,
        *,
        defaults: Mapping[str, object] | None = None,
        imports: Sequence[str] = (),
    ) -> None:
        """Makes a program of source text.

        Args:
            source: the text.
            name: the function's own.
            interface: what it takes and returns.
            sample: the arguments of a call, as users write them; for an aggregate those of some.
            defaults: those of parameters, by name.
            imports: packages that the text imports, which the base image has if they are installed.

        Raises SignatureError for names that parameters cannot have.
        """
        self._source = source
        self._name = name
        self._imports = tuple(imports)
        labels = tuple(each.name for each in interface.signature.parameters)
        python = functools.partial(python_signature, name, labels, dict(defaults or {}))
        python()
        self._interface = interface._replace(signature=interface.signature._replace(python=python))
        self.sample = sample

    @property
    def default_name(self) -> object:
        """The name of the function in the text."""
        return self._name

    def interface(self, name: str, limits: Limits, pool: Pool) -> Interface:
        """Returns the interface, which was read when the function was declared."""
        if self.sample is not None:
            from udfvm.functions.samples import checked_group, checked_sample

            check: Any = checked_group if self._interface.form == "aggregate" else checked_sample
            self.sample = check(name, self._interface.signature.parameters, self.sample)
        return self._interface

    def capture(self, declaration: Declaration) -> Bindings:
        """Returns no bindings: text refers to no objects of this process."""
        return ()

    def loading(self, declaration: Declaration, codecs: Codecs, pool: Pool) -> Loading:
        """Returns what the image is built from: the text, as it is."""
        from udfvm.images.spec import BaseSpec
        from udfvm.load.identity import of_source
        from udfvm.load.libraries import packages_of
        from udfvm.load.pickling import PickledFunction
        from udfvm.load.request import load_request

        form, text, entry = self._source
        shipped = PickledFunction(data=text.encode(), code={"form": form, "entry": entry})
        series = filter(None, (each.container.package for each in declaration.parameters))
        packages = packages_of(
            self._imports, (*declaration.packages, *series), arrow=declaration.needs_pyarrow
        )
        return Loading(
            BaseSpec(memory=declaration.limits.memory, packages=packages, window=WINDOW),
            of_source(declaration, self.sample, shipped),
            lambda: load_request(declaration, self.sample, shipped, codecs.rows, codecs.batches),
            imports_late=self.sample is None,
        )
