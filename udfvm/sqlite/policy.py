"""The policy of a connection: which functions stored in the database run, whether SQL may store
some, and their limits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from udfvm.call.output import bind
from udfvm.call.pool import Pool
from udfvm.checks import check_count, check_seconds, check_switch, options_of, shown
from udfvm.errors import BuildError, OptionError
from udfvm.keywords import checks_options
from udfvm.limits import DEFAULT_LOG, DEFAULT_MEMORY, DEFAULT_TIMEOUT, WINDOW, Limits
from udfvm.load.libraries import checked_packages
from udfvm.log import Log
from udfvm.sqlite import _offer
from udfvm.sqlite._extension import Language
from udfvm.texts import listed

if TYPE_CHECKING:
    from udfvm.vmm.callbacks import BoundLog

LanguageName = Literal["python", "wasm", "native"]

_LANGUAGES: Final = {
    "python": Language.PYTHON,
    "wasm": Language.WASM,
    "native": Language.NATIVE,
}
_NAME: Final = "udfvm.sqlite.Policy"
_NANOSECONDS: Final = 1e9
_MIN_TIMEOUT: Final = 1e-6  # seconds of a timeout

# Modules of the standard library that the source of a function is likely to import. They are in the
# base image, because a stored function reads no file of the host unless the policy allows it.
STANDARD_MODULES: Final = (
    "base64",
    "binascii",
    "bisect",
    "calendar",
    "collections",
    "colorsys",
    "csv",
    "dataclasses",
    "datetime",
    "decimal",
    "difflib",
    "enum",
    "fractions",
    "functools",
    "hashlib",
    "heapq",
    "hmac",
    "html",
    "io",
    "ipaddress",
    "itertools",
    "json",
    "math",
    "operator",
    "random",
    "re",
    "secrets",
    "statistics",
    "string",
    "struct",
    "textwrap",
    "time",
    "typing",
    "unicodedata",
    "urllib.parse",
    "uuid",
    "zlib",
    "zoneinfo",
)


@dataclass(frozen=True, kw_only=True)
class Policy:
    """The policy of a connection. ``udfvm.sqlite.register`` takes it.

    Attributes:
        languages: the languages of stored functions that may run: ``"python"``, ``"wasm"``,
            ``"native"``. If it is empty, no stored function runs.
        allow_create: True if SQL may use ``vm_create`` and ``vm_drop``.
        packages: modules that stored Python functions may import, besides common ones of the
            standard library.
        memory: guest memory of stored functions: bytes, or text such as ``"512MiB"``.
        row_timeout: seconds that a row of a stored function may take; None for no limit. A stored
            function may set a lower limit.
        max_output: bytes that a result of a stored function may have; None for the size of the
            output window.
        max_source: bytes that a stored function's source may have.
        load_timeout: seconds that compiling and loading a stored function may take.
        files: True if stored functions may read the files of the interpreter and its packages, as
            late imports do.
        statement_timeout: seconds that a statement may take from its first row in a micro-VM on,
            whatever functions it uses; None for no limit.
        idle_spin: seconds, at most 1, that a micro-VM waits for the next row of a running statement
            before it gives up its processor. With 0 it never waits, and each row costs an exit.
        log: what happens to the output of stored functions, and of registered functions that have
            no ``log=`` of their own; as for ``udfvm.udf``.
        pool: the pool that the VMs of stored functions come from; None for the default one. With a
            tenant's pool, the connection takes no function that is bound to another tenant's pool,
            or to one of none.

    Raises ``OptionError``, a ValueError, for a value that makes no sense.

    >>> udfvm.sqlite.Policy(languages=["python"], allow_create=True, row_timeout=0.5).languages
    ('python',)
    """

    languages: Iterable[LanguageName] = ("python", "wasm", "native")
    allow_create: bool = False
    packages: Iterable[str] = ()
    memory: int | str = DEFAULT_MEMORY
    row_timeout: float | None = DEFAULT_TIMEOUT
    max_output: int | str | None = None
    max_source: int = 16 << 20
    load_timeout: float = 30.0
    files: bool = False
    statement_timeout: float | None = None
    idle_spin: float = 100e-6
    log: Log = "forward"
    pool: Pool | None = None

    def __post_init__(self) -> None:
        if isinstance(self.languages, str) or not isinstance(self.languages, Iterable):
            raise OptionError(
                f"{_NAME}: languages= must be a list of names of languages, such as ['python']; got"
                f" {shown(self.languages)}"
            )
        object.__setattr__(self, "languages", tuple(self.languages))
        unknown = [language for language in self.languages if language not in _LANGUAGES]
        if unknown:
            raise OptionError(
                f"{_NAME}: languages= has {unknown[0]!r}; the languages are"
                f" {listed(_LANGUAGES, 'and')}"
            )
        self._check_options()
        if self.pool is not None and not isinstance(self.pool, Pool):
            raise OptionError(f"{_NAME}: pool= takes a udfvm.Pool; got {shown(self.pool)}")
        limits_of(self)

    def _check_options(self) -> None:
        with options_of(_NAME):
            checked: dict[str, object] = {
                "packages": checked_packages(self.packages),
                "allow_create": check_switch("allow_create", self.allow_create),
                "max_source": check_count("max_source", self.max_source, 1),
                "load_timeout": check_seconds("load_timeout", self.load_timeout, _MIN_TIMEOUT),
                "idle_spin": check_seconds("idle_spin", self.idle_spin, 0, 1),
            }
            for name in ("row_timeout", "statement_timeout"):
                if (seconds := getattr(self, name)) is not None:
                    checked[name] = check_seconds(name, seconds, _MIN_TIMEOUT)
        for name, value in checked.items():
            object.__setattr__(self, name, value)


Policy.__init__ = checks_options(_NAME)(Policy.__init__)  # type: ignore[method-assign]

# The sinks of policies, by the identity of log=. They are never removed: connections do not report
# when they are closed.
_sinks: Final[dict[int, tuple[Log, BoundLog]]] = {}


def _sink(log: Log) -> BoundLog:
    return _sinks.setdefault(id(log), (log, bind(log)))[1]


def limits_of(policy: Policy) -> Limits:
    """Returns the limits of a stored function's rows. Raises OptionError."""
    with options_of(_NAME):
        return Limits.parse(
            memory=policy.memory,
            timeout=policy.row_timeout,
            max_output=policy.max_output,
            max_log=DEFAULT_LOG,
            files=policy.files,
            log=policy.log,
        )


def offered_policy(policy: Policy) -> _offer.OfferedPolicy:
    """Returns the policy as the extension takes it."""
    languages = Language(0)
    for language in policy.languages:
        languages |= _LANGUAGES[language]
    return _offer.OfferedPolicy(
        languages=languages,
        allow_create=policy.allow_create,
        max_source=policy.max_source,
        limits=limits_of(policy),
        load_timeout_ns=int(policy.load_timeout * _NANOSECONDS),
        statement_timeout_ns=int((policy.statement_timeout or 0) * _NANOSECONDS),
        idle_spin_us=round(policy.idle_spin * 1e6),
        log_sink=_sink(policy.log).address,
        tenant=0 if policy.pool is None else policy.pool._tenant_number,
    )


def runtimes_of(policy: Policy) -> list[_offer.OfferedRuntime]:
    """Returns what loads the functions of each language. Builds images that are missing.

    WebAssembly is left out if the package wasmtime is missing.
    """
    return [
        runtime(language, limits_of(policy).memory, policy.packages, policy.pool)
        for language in policy.languages
        if language != "wasm" or wasm_is_there()
    ]


def wasm_is_there() -> bool:
    """Returns True if stored functions in WebAssembly can run: the package ``wasmtime`` is
    installed, in the version that is needed.
    """
    from udfvm.images.spec import wasmtime_library

    try:
        wasmtime_library()
    except BuildError:
        return False
    return True


def runtime(
    language: LanguageName,
    memory: int = DEFAULT_MEMORY,
    packages: Iterable[str] = (),
    pool: Pool | None = None,
) -> _offer.OfferedRuntime:
    """Returns the base image and VMs, of a pool, for stored functions of a language."""
    pool = pool or Pool.default()
    base: Any = stored_base(language, memory, packages, pool)
    vms = pool._for_base(base)
    return _offer.OfferedRuntime(
        _LANGUAGES[language], vms.address, base.address, vms.limit, (base, vms)
    )


def stored_base(language: LanguageName, memory: int, packages: Iterable[str], pool: Pool) -> Any:
    """Returns the base image for stored functions of a language, built if it is missing.

    ``packages`` are for Python. The image boots as VMs of the pool run.
    """
    from udfvm.images.spec import BaseSpec

    if language != "python":
        return pool._base(BaseSpec(memory=memory, window=WINDOW, runtime=language))
    return pool._base(
        BaseSpec(
            memory=memory, packages=tuple(sorted({*STANDARD_MODULES, *packages})), window=WINDOW
        )
    )
