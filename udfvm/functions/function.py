"""UDFs: functions that run in micro-VMs, called with Python values or with arrays."""

from __future__ import annotations

import contextlib
import datetime
import functools
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol, TypeVar, overload

from udfvm.call.chunks import TooLargeForWindowError, call_in_pieces
from udfvm.call.forks import ForkLock
from udfvm.call.output import Log
from udfvm.call.pool import Pool, pool_of
from udfvm.codec.rows import RowCodec
from udfvm.errors import (
    CallError,
    ForkedError,
    InputTooLargeError,
    OptionError,
    OutputLimitError,
    SignatureError,
    TypeMappingError,
)
from udfvm.functions.keywords import checks_options
from udfvm.limits import (
    DEFAULT_BUILD_TIMEOUT,
    DEFAULT_HOST_CALLS,
    DEFAULT_LOG,
    DEFAULT_MEMORY,
    DEFAULT_TIMEOUT,
    WINDOW,
    Limits,
)
from udfvm.load._bindings import changed
from udfvm.types.arrow_types import Parameter, ResultType
from udfvm.types.signatures import Signature, refuse_generators, signature_of

if TYPE_CHECKING:
    import pyarrow as pa

    from udfvm.call.chunks import TooLarge
    from udfvm.call.fast_path import SmallBatches
    from udfvm.call.host_functions import HostFunctions
    from udfvm.call.windows import Windows
    from udfvm.codec.arrow_ipc import BatchCodec, BatchReply
    from udfvm.codec.columns import Form
    from udfvm.codec.fixed_width import NumberBatches, NumberColumns
    from udfvm.images.build import BaseSpec
    from udfvm.load.bindings import Places
    from udfvm.load.pickling import PickledFunction
    from udfvm.vmm import VM, Image
    from udfvm.vmm import Pool as Core
    from udfvm.vmm.callbacks import BoundHostFunctions, BoundLog

_Result = TypeVar("_Result")
Isolation = Literal["statement", "row"]

_REQUEST_ROW: Final = 3
_REQUEST_BATCH: Final = 4
_PLAIN_TYPES: Final = frozenset(
    {type(None), bool, int, float, str, bytes, datetime.date, datetime.datetime}
)
_LONGEST_NAME: Final = 255


class Runtime(NamedTuple):
    """What calls need once the images are built."""

    base: Image
    image: Image
    pool: Core
    limits: Any  # struct udfvm_limits *
    host_functions: BoundHostFunctions | None  # what the limits point to, as is the next
    log: BoundLog

    @property
    def limits_address(self) -> int:
        """Address of the limits, for C code of this process."""
        from udfvm.vmm import address_of

        return address_of(self.limits)


class Loading(NamedTuple):
    """What an image is built from: its base, what tells the function from others, and the payload
    of LOAD.
    """

    base: BaseSpec
    identity: bytes
    request: Callable[[], bytes]
    advice: str = ""  # for whose program ends before the function is loaded


class Writer(Protocol):
    """What writes requests with rows of one kind: ``BatchCodec`` record batches, ``NumberBatches``
    columns of numbers.
    """

    def size(self, batch: Any, /) -> int:
        """Bytes of the request."""

    def write(self, window: memoryview, batch: Any, /) -> int:
        """Writes the request to the beginning of the window; returns its length in bytes."""


class UDF:
    """A function whose every call runs in a fresh micro-VM. Made by ``udfvm.udf``,
    ``udfvm.from_c``, ``udfvm.from_elf`` and ``udfvm.from_wasm``.

    Called with Python values it makes one call and returns a Python value. Called with arrays
    (pyarrow ``Array`` or ``ChunkedArray``, one-dimensional numpy arrays; values among them are
    repeated) it makes one call for the batch, or several where the function is elementwise and a
    batch or its result is larger than 128 MiB. It returns what it was given: ``ChunkedArray`` if
    any argument is one, else ``Array``, else numpy.

    A null argument makes the result null without a call of the function, unless the parameter's
    annotation allows None.

    Attributes:
        function: the Python function, where it is one.
        language: what it is written in: "python", "native" or "wasm".
        name: its name in SQL, in pyarrow and in errors.
        parameters, result: its types.
        vectorized: it takes arrays.
        elementwise: each row of the result depends on the same row of the arguments alone, so large
            batches may be cut.
        limits: what a call may use.
        pool: where its VMs come from.
        isolation: in SQL, whether an execution of a statement ("statement") or each row ("row") is
            a call.
        host_functions: what it may call of this process; None: nothing.

    May be used from several threads. A call raises ``UDFError`` where the function raised, with the
    guest's type, message and traceback; ``TypeMappingError`` for arguments that are not of the
    declared types; and the errors of the limits.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        vectorized: bool = False,
        elementwise: bool | None = None,
        input_types: Sequence[object] | Mapping[str, object] | None = None,
        output_type: object = None,
        sample: object = None,
        limits: Limits | None = None,
        isolation: Isolation = "statement",
        packages: Iterable[str] = (),
        pool: Pool | None = None,
        host_functions: Iterable[Callable[..., Any]] = (),
    ) -> None:
        if isinstance(function, UDF):
            raise SignatureError(f"UDF {function.name!r} is a UDF already")
        if not callable(function):
            raise SignatureError(f"@udfvm.udf decorates functions, not {type(function).__name__}")
        self.function = function
        self.name: str = checked_name(
            name if name is not None else getattr(function, "__name__", None)
        )
        self.vectorized = bool(vectorized)
        self.elementwise = not vectorized if elementwise is None else bool(elementwise)
        if not (self.elementwise or self.vectorized):
            raise SignatureError(
                f"UDF {self.name!r}: elementwise=False is for vectorised functions: others are"
                " called row by row"
            )
        self.packages = _checked_packages(self.name, packages)
        self.sample = sample
        functions = function_list(self.name, host_functions)
        self._declare(
            self._signature(input_types, output_type),
            limits or Limits(),
            isolation,
            pool,
            functions,
        )
        self._options: dict[str, object] = {
            "name": self.name,
            "vectorized": vectorized,
            "elementwise": elementwise,
            "input_types": input_types,
            "output_type": output_type,
            "sample": sample,
            "limits": self.limits,
            "isolation": isolation,
            "packages": self.packages,
            "host_functions": functions,
        }
        functools.update_wrapper(self, function)

    def _declare(
        self,
        signature: Signature,
        limits: Limits,
        isolation: Isolation,
        pool: Pool | None,
        host_functions: tuple[Callable[..., Any], ...] = (),
    ) -> None:
        """Sets what does not depend on the language of the function."""
        self.host_functions: HostFunctions | None = None
        if host_functions:
            from udfvm.call.host_functions import HostFunctions

            self.host_functions = HostFunctions(self.name, host_functions)
        self.parameters: tuple[Parameter, ...] = signature.parameters
        self.result: ResultType = signature.result
        self.limits = limits
        if isolation not in ("statement", "row"):
            raise SignatureError(
                f"UDF {self.name!r}: isolation={isolation!r} must be 'statement' or 'row'"
            )
        self.isolation: Isolation = isolation
        self.pool = pool_of(self.name, pool)
        self._python_signature = signature.python
        self._arity = len(self.parameters)
        types = [*(parameter.type for parameter in self.parameters), self.result.type]
        in_rows = not self.vectorized and all(
            type_.row is not None and not type_.is_nested for type_ in types
        )
        self._rows = RowCodec(self.name, self.parameters, self.result) if in_rows else None
        self._guard = ForkLock()
        self._runtime: Runtime | None = None
        self._places: Places = ()  # that the image was made from; see udfvm/load/bindings.py
        self._batch_codec: BatchCodec | None = None
        self._numbers: NumberBatches | None = None
        self._small: SmallBatches | None = None  # once a batch of numpy arrays was seen

    def __repr__(self) -> str:
        parameters = ", ".join(
            f"{each.name}: {each.type}{' | null' if each.nullable else ''}"
            for each in self.parameters
        )
        kind = "vectorized " if self.vectorized else ""
        return f"<{kind}UDF {self.name}({parameters}) -> {self.result.type}>"

    def __reduce__(self) -> str | tuple[object, ...]:
        from udfvm.load.transfer import reduced

        return reduced(self)

    def options(self) -> dict[str, object]:
        """What it was declared with, besides the function and the pool, which is this process's."""
        return self._options

    language = "python"

    @property
    def kind(self) -> str:
        """What runs in the guest: "scalar" or "vectorized"; other kinds are classes of their
        own.
        """
        return "vectorized" if self.vectorized else "scalar"

    def _signature(
        self, input_types: Sequence[object] | Mapping[str, object] | None, output_type: object
    ) -> Signature:
        refuse_generators(self.function, self.name)
        return signature_of(
            self.function,
            self.name,
            vectorized=self.vectorized,
            input_types=input_types,
            output_type=output_type,
        )

    # ---- Images ----

    def prepare(self) -> UDF:
        """Builds the image, or takes it from the cache, ahead of the first call. Returns the
        UDF.
        """
        self.current()
        return self

    def current(self) -> Runtime:
        """What calls need now: built, or taken from the cache, where names in the function mean
        other objects than before.
        """
        self.follow()
        return self._ready()

    def refresh(self) -> UDF:
        """Forgets the image: the next call captures anew what the function refers to. Needed where
        an object that it refers to was changed in place; a name that means another object is
        noticed without. Returns the UDF.

        >>> table = {"a": 1}
        >>> look = udfvm.udf(
        ...     lambda key: table[key], name="look", input_types=["string"], output_type="int64"
        ... )
        >>> look("a")
        1
        >>> table["a"] = 2
        >>> look.refresh()("a")
        2
        """
        self._forget(self._places)
        return self

    def follow(self) -> None:
        """Forgets the image if a name in the function means another object than it did. Each call
        does so first.
        """
        places = self._places
        if places and changed(places):
            self._forget(places)

    def _forget(self, places: Places) -> None:
        with self._guard.lock:
            if self._places is places:  # else another thread was here before
                self._places = ()
                self._runtime = self._small = None

    @property
    def image(self) -> Image:
        """The image of the function, built or taken from the cache now if it was not before."""
        return self._ready().image

    @property
    def base(self) -> Image:
        """The base image that the function's image is a layer of."""
        return self._ready().base

    @property
    def bound_host_functions(self) -> BoundHostFunctions | None:
        """Its host functions as the core calls them, which whoever calls the core with them must
        keep; None without any.
        """
        return self._ready().host_functions

    @property
    def bound_log(self) -> BoundLog:
        """What the core calls with what it prints, which whoever calls the core with it must
        keep.
        """
        return self._ready().log

    def _ready(self) -> Runtime:
        runtime = self._runtime
        if runtime is None:
            with self._guard.lock:
                if self._runtime is None:
                    self._places = self._capture()
                    self._runtime = self._build()
                runtime = self._runtime
        return runtime

    def _capture(self) -> Places:
        """What names in the function mean now."""
        from udfvm.load.bindings import capture

        return capture(
            self.function, self.host_functions.functions() if self.host_functions else ()
        )

    def _build(self) -> Runtime:
        from udfvm import vmm
        from udfvm.call import output
        from udfvm.images.build import base_image, udf_layer
        from udfvm.vmm.callbacks import bind_host_functions

        loading = self._loading()
        base = base_image(loading.base, self.limits.build_timeout_ns)
        pool = self.pool.core(base)
        layer = udf_layer(
            base, pool, loading.identity, loading.request, self.limits, self.name, loading.advice
        )
        bound = (
            bind_host_functions(self.host_functions, self.limits.host_calls)
            if self.host_functions
            else None
        )
        log = output.bind(self.limits.log)
        return Runtime(base, layer, pool, vmm.core_limits(self.limits, bound, log), bound, log)

    def _loading(self) -> Loading:
        from udfvm.images.build import BaseSpec
        from udfvm.load.identity import of_pickled, of_plain
        from udfvm.load.libraries import packages_of

        @functools.cache
        def pickled() -> PickledFunction:
            from udfvm.load.pickling import pickle_function

            return pickle_function(self.name, self.function, self.host_functions)

        def request() -> bytes:
            from udfvm.load.request import load_request

            return load_request(self, pickled(), self._rows, self._codec())

        identity = of_plain(self)
        modules = pickled().modules if identity is None else ()
        types = [*(parameter.type for parameter in self.parameters), self.result.type]
        packages = packages_of(
            modules, self.packages, arrow=self.vectorized or any(type_.is_nested for type_ in types)
        )
        base = BaseSpec(memory=self.limits.memory, packages=packages, window=WINDOW)
        return Loading(base, identity or of_pickled(self, pickled()), request)

    def warm_up(self, vm: VM) -> None:
        """Calls the function in a VM of its image, with a row of zeros, for the pages that a call
        touches.
        """
        from udfvm import vmm

        limits = vmm.core_limits(
            self.limits, self._ready().host_functions
        )  # what it prints of zeros goes nowhere
        if self._rows is not None:
            request, data = _REQUEST_ROW, self._rows.default()
        else:
            codec = self._codec()
            request, data = _REQUEST_BATCH, codec.stream(codec.null_and_zero())
        with contextlib.suppress(CallError):  # what it makes of zeros does not matter
            vm.call(request, data, limits, self.name)

    def _codec(self) -> BatchCodec:
        codec = self._batch_codec
        if codec is None:
            from udfvm.codec.arrow_ipc import BatchCodec

            codec = self._batch_codec = BatchCodec(self.name, self.parameters, self.result)
        return codec

    # ---- Calls ----

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Calls the function with values, or with arrays; see the class."""
        self.follow()
        if keywords or len(arguments) != self._arity:
            arguments = self._bind(arguments, keywords)
        small = self._small
        if small is not None:
            result = small.call(arguments)
            if result is not NotImplemented:
                return result
        if self._rows is None or not _PLAIN_TYPES.issuperset(map(type, arguments)):
            return self._call_with_any(arguments)
        return self._call_row(self._rows, arguments)

    def _bind(self, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> tuple[Any, ...]:
        try:
            bound = self._python_signature().bind(*arguments, **keywords)
        except TypeError as error:
            count = "1 argument" if self._arity == 1 else f"{self._arity} arguments"
            raise TypeMappingError(f"UDF {self.name!r}: {error}; it takes {count}") from None
        bound.apply_defaults()
        return bound.args

    def encoded_defaults(self) -> list[bytes | None]:
        """The defaults of the parameters, encoded as values of a row (lists and structs as JSON);
        None where there is none, and before a parameter that has none.
        """
        from udfvm.codec.defaults import encoded_default

        python = self._python_signature().parameters
        found = [
            encoded_default(self.name, each, python[each.name].default) for each in self.parameters
        ]
        last = max((index for index, default in enumerate(found) if default is None), default=-1)
        return [default if index > last else None for index, default in enumerate(found)]

    def _call_row(self, rows: RowCodec, arguments: Sequence[Any]) -> object:
        if rows.is_null(arguments):
            return None
        payload = rows.encode(arguments)
        status, reply = self._fresh_call(_REQUEST_ROW, payload)
        if status:
            raise guest_exception(reply, self.name)
        return rows.decode(reply)

    def take_vm(self, windows: Windows | None = None) -> tuple[Runtime, VM]:
        """A VM of the function's image, and what calls need. Give it back to the pool."""
        runtime = self._ready()
        try:
            return runtime, runtime.pool.take(runtime.image, windows, runtime.limits.timeout_ns)
        except ForkedError:
            runtime = self._renew(runtime)
            return runtime, runtime.pool.take(runtime.image, windows, runtime.limits.timeout_ns)

    def _fresh_call(self, request: int, payload: bytes) -> tuple[int, bytes]:
        """A whole call; returns the status and the reply."""
        runtime = self._runtime or self._ready()
        if self._wide_at_once:
            return self._fresh_wide_call(request, payload, None)
        try:
            return runtime.pool.fresh_call(
                runtime.image, request, payload, runtime.limits, self.name
            )
        except ForkedError as error:
            if error.during_call:
                raise
            runtime = self._renew(runtime)
            return runtime.pool.fresh_call(
                runtime.image, request, payload, runtime.limits, self.name
            )
        except (InputTooLargeError, OutputLimitError) as error:
            return self._fresh_wide_call(request, payload, error)

    def _fresh_wide_call(
        self, request: int, payload: bytes, failure: InputTooLargeError | OutputLimitError | None
    ) -> tuple[int, bytes]:
        """A whole call in larger windows."""

        def call(windows: Windows | None) -> tuple[int, bytes]:
            runtime, vm = self.take_vm(windows)
            try:
                reply = vm.call(request, payload, runtime.limits, self.name)
                return reply.status, bytes(reply.data)
            finally:
                runtime.pool.give(vm)

        return self._call_in_windows(call, len(payload), failure)

    def _call_in_windows(
        self,
        call: Callable[[Windows | None], _Result],
        size: int,
        failure: TooLarge | InputTooLargeError | None,
    ) -> _Result:
        """A call whose request, of so many bytes, or whose result does not fit the usual
        windows.
        """
        from udfvm.call.windows import call_with_windows

        output = failure if isinstance(failure, OutputLimitError) else None
        advice = (
            ""
            if self.elementwise
            else "; or declare elementwise=True, if the function works row by row"
        )
        return call_with_windows(
            self.name,
            self.limits,
            size,
            call,
            failure=output,
            again=not self.host_functions,
            advice=advice,
        )

    @property
    def _wide_at_once(self) -> bool:
        """The result may need a larger window, and no call can be made again to find that out."""
        return self.limits.max_output > WINDOW and self.host_functions is not None

    def _renew(self, runtime: Runtime) -> Runtime:
        """In a forked child: VMs are the parent's, images are shared."""
        with self._guard.lock:
            if self._runtime is runtime:
                self._runtime = self._small = None
        return self._ready()

    def _call_with_any(self, arguments: Sequence[Any]) -> Any:
        if arguments and isinstance(arguments[0], _loaded_arrays()):
            return self.call_columns(arguments)
        from udfvm.codec.columns import Form, form_of_result, python_value

        form = form_of_result(arguments)
        if form is not Form.SCALAR or self._rows is None:
            return self.call_columns(arguments, form)
        values = [
            python_value(self.name, *each) for each in zip(self.parameters, arguments, strict=True)
        ]
        return self._call_row(self._rows, values)

    def _number_batches(self) -> NumberBatches:
        batches = self._numbers
        if batches is None:
            from udfvm.codec.fixed_width import NumberBatches

            batches = self._numbers = NumberBatches(self._codec(), times=self.vectorized)
        return batches

    def call_columns(self, arguments: Sequence[Any], form: Form | None = None) -> Any:
        """Calls the function with a column, or a value to repeat, for each parameter. ``form`` is
        what to return.
        """
        batches = self._number_batches()
        numbers = batches.take(arguments)
        if numbers is not None:
            if self._small is None and type(arguments[0]).__module__ == "numpy":
                self._keep_small(batches, self._ready())
            return batches.result(
                form or numbers.form, self._in_pieces(numbers, self._call_with_numbers)
            )

        import pyarrow as pa

        from udfvm.codec.columns import as_declared, columns_of, form_of_result, in_form

        columns, rows = columns_of(
            self.name, self.parameters, arguments, vectorized=self.vectorized
        )
        codec = self._codec()
        pieces: list[pa.Array] = []
        if rows:
            whole: pa.RecordBatch | pa.Table
            if any(isinstance(column, pa.ChunkedArray) for column in columns):
                whole = pa.table(columns, schema=codec.schema)
            else:
                whole = codec.batch(columns)
            pieces = self._in_pieces(whole, self._call_with_batch)
        result = self.result.type
        return in_form(
            self.name,
            form or form_of_result(arguments),
            result.as_declared,
            as_declared(self.name, result, pieces),
        )

    def _keep_small(self, batches: NumberBatches, runtime: Runtime) -> None:
        small = batches.small(self.name, runtime, self._call_renewed)
        with self._guard.lock:
            if self._runtime is runtime:  # else names changed meanwhile
                self._small = small

    def _in_pieces(self, whole: Any, call: Callable[[Any, int, TooLarge | None], Any]) -> list[Any]:
        return call_in_pieces(
            whole, call, cut=self.elementwise, cut_results=not self.limits.max_output
        )

    def _call_renewed(self, arguments: tuple[Any, ...]) -> Any:
        """A call in a forked child, whose runtime is still the parent's."""
        runtime = self._runtime
        if runtime is not None:
            self._renew(runtime)
        return self._call_with_any(arguments)

    def _call_with_numbers(
        self, numbers: NumberColumns, first_row: int, failure: TooLarge | None
    ) -> BatchReply:
        return self._call_with_rows(self._number_batches(), numbers, first_row, failure)

    def _call_with_batch(
        self, rows: pa.RecordBatch | pa.Table, first_row: int, failure: TooLarge | None
    ) -> pa.Array:
        from udfvm.codec.columns import one_batch

        codec = self._codec()
        return codec.array(self._call_with_rows(codec, one_batch(rows), first_row, failure))

    def _call_with_rows(
        self, writer: Writer, rows: Any, first_row: int, failure: TooLarge | None
    ) -> BatchReply:
        if failure is None and not self._wide_at_once:
            return self._call_batch(writer, rows, first_row)
        return self._call_in_windows(
            functools.partial(self._call_batch, writer, rows, first_row), writer.size(rows), failure
        )

    def _call_batch(
        self, writer: Writer, batch: Any, first_row: int, windows: Windows | None = None
    ) -> BatchReply:
        """One call. ``writer`` writes the request with the rows of ``batch``."""
        codec, rows = self._codec(), batch.num_rows
        size = writer.size(batch)
        runtime, vm = self.take_vm(windows)
        try:
            if size > vm.room:
                raise TooLargeForWindowError(size, vm.room)
            length = writer.write(vm.input(size), batch)
        except BaseException:
            runtime.pool.give(vm)
            raise
        status, reply, is_data = runtime.pool.call_and_give(
            vm,
            _REQUEST_BATCH,
            length,
            runtime.limits,
            self.name,
            lambda reply: codec.numbers_in(reply, rows),
        )
        if status:
            raise guest_exception(reply, self.name, first_row, rows)
        return codec.reply(reply, rows, is_data)


def _loaded_arrays() -> tuple[type, ...]:
    """The classes of arrays, of the libraries that are loaded: no value can be of another's."""
    numpy, pyarrow = sys.modules.get("numpy"), sys.modules.get("pyarrow")
    arrays: tuple[type, ...] = () if numpy is None else (numpy.ndarray,)
    return arrays if pyarrow is None else (*arrays, pyarrow.Array, pyarrow.ChunkedArray)


def guest_exception(
    reply: bytes | memoryview, name: str, first_row: int = 0, rows: int = 0
) -> CallError:
    """The exception in a reply with status ERROR."""
    from udfvm.codec import guest_error

    return guest_error.parse(reply, name, first_row, rows)


def check_udf(caller: str, udf: object) -> None:
    """Raises SignatureError for what is no UDF."""
    if isinstance(udf, UDF):
        return
    if isinstance(udf, (list, tuple)):
        raise SignatureError(
            f"{caller} takes UDFs one by one; got a {type(udf).__name__}: write a * before it"
        )
    advice = ": decorate it with @udfvm.udf" if callable(udf) else ""
    raise SignatureError(f"{caller} takes UDFs; got {udf!r:.100}{advice}")


def checked_name(name: object) -> str:
    """The name, if a UDF can have it; else raises SignatureError."""
    if not isinstance(name, str) or not name.isidentifier():
        raise SignatureError(f"{name!r} is no name for a UDF: pass name=, an identifier")
    if len(name.encode()) > _LONGEST_NAME:
        raise SignatureError(
            f"the name {name[:32]!r}... is longer than {_LONGEST_NAME} bytes: pass name="
        )
    return name


def function_list(name: str, functions: object) -> tuple[Callable[..., Any], ...]:
    """The functions in ``host_functions=``. Raises SignatureError for what is no collection."""
    if isinstance(functions, (str, Mapping)) or not isinstance(functions, Iterable):
        shown = f"[{getattr(functions, '__name__', 'price')}]"
        raise SignatureError(
            f"UDF {name!r}: host_functions= must be a list of functions, such as {shown}; got"
            f" {functions!r:.100}"
        )
    return tuple(functions)


def _checked_packages(name: str, packages: Iterable[str]) -> tuple[str, ...]:
    if not packages and isinstance(packages, tuple):
        return ()  # most have none, and need no module for it
    from udfvm.load.libraries import checked_packages

    try:
        return checked_packages(packages)
    except OptionError as error:
        raise SignatureError(f"UDF {name!r}: {error}") from error


@overload
def udf(function: Callable[..., object], /) -> UDF: ...
@overload
def udf(
    function: None = None,
    /,
    *,
    vectorized: bool = False,
    elementwise: bool | None = None,
    input_types: Sequence[object] | Mapping[str, object] | None = None,
    output_type: object = None,
    sample: object = None,
    memory: int | str = DEFAULT_MEMORY,
    timeout: float | None = DEFAULT_TIMEOUT,
    max_output: int | str | None = None,
    max_log: int | str = DEFAULT_LOG,
    log: Log = "forward",
    files: bool = True,
    deterministic: bool = False,
    name: str | None = None,
    isolation: Isolation = "statement",
    packages: Iterable[str] = (),
    pool: Pool | None = None,
    host_functions: Iterable[Callable[..., Any]] = (),
    host_calls: int = DEFAULT_HOST_CALLS,
    build_timeout: float | None = DEFAULT_BUILD_TIMEOUT,
) -> Callable[[Callable[..., object]], UDF]: ...
@overload
def udf(
    function: Callable[..., object],
    /,
    *,
    vectorized: bool = False,
    elementwise: bool | None = None,
    input_types: Sequence[object] | Mapping[str, object] | None = None,
    output_type: object = None,
    sample: object = None,
    memory: int | str = DEFAULT_MEMORY,
    timeout: float | None = DEFAULT_TIMEOUT,
    max_output: int | str | None = None,
    max_log: int | str = DEFAULT_LOG,
    log: Log = "forward",
    files: bool = True,
    deterministic: bool = False,
    name: str | None = None,
    isolation: Isolation = "statement",
    packages: Iterable[str] = (),
    pool: Pool | None = None,
    host_functions: Iterable[Callable[..., Any]] = (),
    host_calls: int = DEFAULT_HOST_CALLS,
    build_timeout: float | None = DEFAULT_BUILD_TIMEOUT,
) -> UDF: ...
@checks_options
def udf(
    function: Callable[..., object] | None = None,
    /,
    *,
    vectorized: bool = False,
    elementwise: bool | None = None,
    input_types: Sequence[object] | Mapping[str, object] | None = None,
    output_type: object = None,
    sample: object = None,
    memory: int | str = DEFAULT_MEMORY,
    timeout: float | None = DEFAULT_TIMEOUT,
    max_output: int | str | None = None,
    max_log: int | str = DEFAULT_LOG,
    log: Log = "forward",
    files: bool = True,
    deterministic: bool = False,
    name: str | None = None,
    isolation: Isolation = "statement",
    packages: Iterable[str] = (),
    pool: Pool | None = None,
    host_functions: Iterable[Callable[..., Any]] = (),
    host_calls: int = DEFAULT_HOST_CALLS,
    build_timeout: float | None = DEFAULT_BUILD_TIMEOUT,
) -> UDF | Callable[[Callable[..., object]], UDF]:
    """Makes a function a UDF, which runs in a fresh micro-VM for every call.

    Args:
        vectorized: the function takes columns and returns a column: pyarrow arrays, or numpy arrays
            for parameters annotated ``numpy.ndarray``. Its types come from ``input_types`` and
            ``output_type``, from annotations of element types (``x: float``), from
            ``numpy.typing.NDArray[numpy.float64]`` or from classes such as ``pyarrow.DoubleArray``.
            Arrays are read-only views of the batch. Rows with a null in a parameter that does not
            allow None are taken out before the call and are null in the result. Where None is
            allowed, numpy arrays have NaN (floats), NaT (times) or, in an array of objects, None.
        elementwise: each row of the result depends on the same row of the arguments alone. So it is
            for functions that are not vectorised; a vectorised function sees its whole batch in one
            call, however large, unless this says that large batches may be cut.
        input_types: a type for each parameter, in order or by name: pyarrow types, their names
            ("double", "int64", "string", "timestamp[us, tz=UTC]"), or Python types.
        output_type: the type of the result.
        sample: a tuple with the arguments of one call (values, or for vectorised functions arrays),
            or a mapping by parameter. The function runs on it a few times while its image is built,
            so that what it sets up on first use is in the image.
        memory: guest memory, interpreter and packages included: bytes, or text such as "512MiB".
        timeout: wall-clock seconds that a call may take; None for no limit.
        max_output: bytes that the result of a call may have; None for as many as the memory.
        max_log: bytes that a call may write to its standard output and error; what comes after is
            cut, with a note in its place.
        log: where that goes when the call ends (in SQL, with every row): "forward", to this
            program's ``sys.stdout`` and ``sys.stderr``; "drop"; a ``logging.Logger``, which gets
            lines of standard output as INFO, of standard error as WARNING; or what is called with
            each piece of text and "stdout" or "stderr". "strict" is "forward" where more than
            ``max_log`` ends the call with ``LogLimitError``. Control characters but newlines and
            tabs are written out. ``error.output`` of a failed call has it, too.
        files: a call may read files of the interpreter and of packages, as imports in the
            function's body do.
        deterministic: same arguments, same result: clock and randomness are fixed, and SQLite is
            told so.
        name: the UDF's name; the function's, if not given.
        isolation: what a call is in SQL: "statement", one execution of a statement, whose rows
            share state; or "row".
        packages: modules to import into the base image, ahead of what the function is seen to use.
        pool: where VMs come from; the default pool, if not given.
        host_functions: functions of this process that the function may call: it refers to them as
            if they were in its reach, and each call leaves the micro-VM. Annotated with bool, int,
            float, str, bytes, ``| None``. Only these can be called, so what they do for any
            arguments of their types is what you allow. One that raises ends the call with
            ``HostFunctionError``.
        host_calls: how often a call may call them; more ends it with ``HostCallLimitError``.
        build_timeout: wall-clock seconds that building the image may take, for the base image and
            for loading the function each; None for no limit. More is a ``BuildError``.

    Raises ``SignatureError`` for a function that cannot be a UDF, saying what to do.

    >>> @udfvm.udf
    ... def score(dep_delay: float, distance: float) -> float | None:
    ...     return None if distance == 0 else dep_delay / distance * 100
    >>> score(12.0, 300.0)
    4.0
    """

    def decorate(target: Callable[..., object]) -> UDF:
        limits = Limits.of(
            getattr(target, "__name__", "?"),
            memory=memory,
            timeout=timeout,
            max_output=max_output,
            max_log=max_log,
            log=log,
            files=files,
            deterministic=deterministic,
            host_calls=host_calls,
            build_timeout=build_timeout,
        )
        return UDF(
            target,
            name=name,
            vectorized=vectorized,
            elementwise=elementwise,
            input_types=input_types,
            output_type=output_type,
            sample=sample,
            limits=limits,
            isolation=isolation,
            packages=packages,
            pool=pool,
            host_functions=host_functions,
        )

    return decorate if function is None else decorate(function)
