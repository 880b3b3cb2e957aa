"""What calls of a function need: its images, VMs and limits. Built when they are first needed,
forgotten when names in the function mean other objects, renewed in forked children.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from udfvm.backend import in_process
from udfvm.call.codecs import Codecs
from udfvm.forks import ForkLock
from udfvm.load._bindings import changed
from udfvm.static_typing import TYPE_CHECKING, Any, Protocol, Self
from udfvm.tuples import NamedTuple

if TYPE_CHECKING:
    from udfvm.call.pool import Pool
    from udfvm.call.reports import CallReport
    from udfvm.errors import ForkedError
    from udfvm.images.spec import BaseSpec
    from udfvm.limits import Limits
    from udfvm.load.bindings import Bindings
    from udfvm.load.declaration import Declaration
    from udfvm.vmm import Image, ImagePool
    from udfvm.vmm.callbacks import BoundHostFunctions, BoundLog
    from udfvm.vmm.data import Data

    class Loader(Protocol):
        """What knows the code of a function, in whatever language."""

        def capture(self, declaration: Declaration) -> Bindings:
            """Returns what names in the code mean now; empty where it refers to nothing here."""

        def loading(self, declaration: Declaration, codecs: Codecs, pool: Pool) -> Loading:
            """Returns what an image of the function is built from. ``pool`` has VMs where one is
            needed for that.
            """


class Runtime(NamedTuple):
    """What calls need once the images are built."""

    base: Image
    image: Image
    pool: ImagePool
    limits: Any  # struct udfvm_limits *
    host_functions: BoundHostFunctions | None  # what the limits point to, as is the next
    log: BoundLog
    first_call: Any = None  # uint64_t *, where the first call has time to import
    data: Data | None = None  # what its VMs have mapped

    @property
    def limits_address(self) -> int:
        """Address of the limits, for C code of this process."""
        from udfvm.vmm import address_of

        return address_of(self.limits)


class Loading(NamedTuple):
    """What an image is built from.

    Attributes:
        base: the base image that it is a layer of.
        identity: what tells the function from others.
        request: makes the payload of LOAD, where the image is not in the cache.
        advice: for an error, where the program ends before the function is loaded.
        imports_late: True if the function may import in calls, as nothing ran it before.
        is_own: True if it is a function of this program, and so may run in its process.
    """

    base: BaseSpec
    identity: bytes
    request: Callable[[], bytes]
    advice: str = ""
    imports_late: bool = False
    is_own: bool = False


class RuntimeKeeper:
    """Keeps the runtime of one function.

    May be used from several threads; a forked child begins with a runtime of its own.
    """

    def __init__(self, declaration: Declaration, pool: Pool, loader: Loader) -> None:
        self.declaration = declaration
        self.codecs = Codecs(declaration)
        self.pool = pool
        self._name = declaration.name
        self._limits = declaration.limits
        self._loader = loader
        self._guard = ForkLock()
        self._runtime: Runtime | None = None
        self._bindings: Bindings = ()  # that the image was made from; see udfvm/load/bindings.py
        self._small: Any = None  # SmallBatches, once a batch of arrays was seen
        self._call_numbers: Any = None  # NumberRows.call, once rows of numbers were seen
        self.pace: Any = None  # Pace, once a batch of many rows was seen
        self.account: Any = None  # udfvm_account *, once there is a runtime

    @property
    def limits(self) -> Limits:
        """The limits of the calls."""
        return self._limits

    def current(self) -> Runtime:
        """What calls need now: built, or taken from the cache, where names in the function mean
        other objects than before.

        Raises what building an image raises.
        """
        self.follow()
        return self.ready()

    def follow(self) -> None:
        """Forgets the runtime if a name in the function means another object than it did. Each call
        does so first.
        """
        bindings = self._bindings
        if bindings and changed(bindings):
            self._forget(bindings)

    def forget(self) -> None:
        """The next call builds another runtime, from what the function then refers to."""
        self._forget(self._bindings)

    def snapshot(self, timeout_ns: int | None = None, account: Any = None) -> Self:
        """Returns a copy that keeps what names in the function mean now, for calls of several
        threads that belong together; with another deadline, where one is given, and with another
        account (``udfvm_account *``).

        Raises what building an image raises.
        """
        import copy

        runtime = self.current()
        made = copy.copy(self)
        made._guard = ForkLock()
        made._bindings = ()
        made._small = made._call_numbers = None
        if account is not None:
            made.account = account
        if timeout_ns is not None:
            made._limits = self._limits._replace(timeout_ns=timeout_ns)
        if timeout_ns is not None or account is not None:
            limits = made.core_limits(
                made._limits.timeout_ns, runtime.host_functions, runtime.log, runtime.first_call
            )
            runtime = runtime._replace(limits=limits)
        made._runtime = runtime
        return made

    @contextmanager
    def batch(self) -> Iterator[Self]:
        """Gives a copy for calls that are the parts of one batch, which has one report then.

        Raises what building an image raises.
        """
        from udfvm.vmm.accounts import batch_of

        self.current()
        with batch_of(self.account) as account:
            yield self.snapshot(account=account)

    def ready(self) -> Runtime:
        """What calls need, as it was built; built now where it was not."""
        runtime = self._runtime
        if runtime is None:
            with self._guard.lock:
                if self._runtime is None:
                    self._bindings = self._loader.capture(self.declaration)
                    self._runtime = self._build()
                runtime = self._runtime
        return runtime

    def image_if_built(self) -> Image | None:
        """Returns the image that the last call had; None if there is none yet. Builds nothing."""
        runtime = self._runtime
        return None if runtime is None else runtime.image

    def imports_late(self) -> bool:
        """True if the function may import in calls, as nothing ran it before its image was sealed;
        False if there is no image yet.
        """
        runtime = self._runtime
        return runtime is not None and runtime.first_call is not None

    def last_call(self) -> CallReport | None:
        """Returns what the last call cost; None if there was none."""
        from udfvm.call.reports import last_report

        if self.pool.jail and (runtime := self._runtime) is not None:
            runtime.pool.settle()
        return last_report(self._name, self.account)

    def _forget(self, bindings: Bindings) -> None:
        with self._guard.lock:
            if self._bindings is bindings:  # else another thread was here before
                self._bindings = ()
                self._runtime = self._small = self._call_numbers = None

    def _renew(self, error: ForkedError, runtime: Runtime) -> None:
        """Drops a runtime that could not be used because its VMs are those of a parent process: the
        caller makes its call again, with the next one, which has the same images.

        Raises the error where the process was forked in the middle of the call.
        """
        if error.during_call:
            raise error
        with self._guard.lock:
            if self._runtime is runtime:
                self._runtime = self._small = self._call_numbers = None

    def _build(self) -> Runtime:
        from udfvm import vmm

        if not in_process():
            vmm.foresee_vm()  # the imports take as long
        from udfvm.call import output
        from udfvm.images.layer import udf_layer
        from udfvm.vmm.callbacks import bind_host_functions

        limits, host_functions = self._limits, self.declaration.host_functions
        loading = self._loader.loading(self.declaration, self.codecs, self.pool)
        base = self.pool._base(loading.base, limits, self._name, is_own=loading.is_own)
        data = self._open_data()
        pool = self.pool._for_base(base, data)
        identity = loading.identity if data is None else loading.identity + data.identity
        layer = udf_layer(base, pool, identity, loading.request, limits, self._name, loading.advice)
        bound = bind_host_functions(host_functions, limits.host_calls) if host_functions else None
        log = output.bind(limits.log)
        first_call = vmm.first_call(limits) if loading.imports_late else None
        if self.account is None:
            self.account = vmm.account_in(self.pool._accounts, self._name)
        core_limits = self.core_limits(limits.timeout_ns, bound, log, first_call)
        return Runtime(base, layer, pool, core_limits, bound, log, first_call, data)

    def _open_data(self) -> Data | None:
        """Opens the data files of the function; None if it has none. Raises DataFileError."""
        files = self.declaration.data
        if files is None:
            return None
        from udfvm.backend import refuse_in_process

        refuse_in_process(f"UDF {self._name!r}", "it has data files, which micro-VMs alone map")
        return files.opened(self._name)

    def core_limits(
        self,
        timeout_ns: int,
        host_functions: BoundHostFunctions | None,
        log: BoundLog | None,
        first_call: Any = None,
        *,
        noted: bool = True,
    ) -> Any:
        """Returns ``struct udfvm_limits *`` with another deadline: 0 for none. Calls are noted in
        the function's account, unless they are not those of its users.
        """
        from udfvm.vmm import core_limits

        limits = self._limits._replace(timeout_ns=timeout_ns)
        frame = self.codecs.reply_frame() if limits.max_output else 0
        account = self.account if noted else None
        return core_limits(limits, host_functions, log, frame, first_call, account)
