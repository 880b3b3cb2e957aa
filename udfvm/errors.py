"""Exceptions: one for each failure that a user can cause. All derive from ``Error``.

The text of each says what happened, to which UDF, at which row if that is known, and what to do.

>>> issubclass(CallTimeoutError, CallError) and issubclass(CallError, Error)
True
"""

# Long because each class has an example.

from __future__ import annotations

import enum
import functools
import os
from collections.abc import Callable
from errno import EDEADLK

from udfvm.guest_text import visible
from udfvm.static_typing import Any, Final, Self, TypeVar, cast

_Function = TypeVar("_Function", bound=Callable[..., Any])


class Code(enum.IntEnum):
    """The numbers of ``enum udfvm_code``, in ``udfvm/vmm/core/api.h``."""

    OK = 0
    NO_KVM = 1
    PERMISSION = 2
    SYSTEM = 3
    ARGUMENT = 4
    IMAGE = 5
    TIMEOUT = 6
    INTERRUPTED = 7
    CRASH = 8
    EXIT = 9
    DEADLOCK = 10
    PROTOCOL = 11
    OUTPUT = 12
    LOG = 13
    INPUT = 14
    FORKED = 15
    BUSY = 16
    HOST_FUNCTION = 17
    HOST_CALLS = 18
    CACHE = 19
    CLOSED = 20
    JAIL = 21
    HARDEN = 22
    DATA = 23


def shows_whole_errors() -> bool:
    """Whether the variable ``UDFVM_DEBUG`` asks for errors as a whole, with the frames of udfvm."""
    return os.environ.get("UDFVM_DEBUG", "0") not in ("", "0")


class Error(Exception):
    """The base of all errors that udfvm raises itself.

    Errors of all classes can be pickled, with their attributes.

    >>> try:
    ...     udfvm.udf(lambda x: x)
    ... except udfvm.Error as error:
    ...     type(error).__name__
    'SignatureError'
    """

    def __reduce__(self) -> tuple[object, ...]:
        return _restored, (type(self), self.args, self.__dict__)

    def drop_frames(self) -> None:
        """Forgets the frames so far, where users call, and those of udfvm in the errors that this
        one came of: they tell users nothing. They stay if errors are shown as a whole.
        """
        if shows_whole_errors():
            return
        self.__traceback__ = None
        if self.__cause__ is not None or self.__context__ is not None:
            from udfvm.tracebacks import drop_own_frames

            drop_own_frames(self)

    def _render_traceback_(self) -> list[str]:
        """Returns what IPython shows instead of a traceback with udfvm's frames."""
        from udfvm.tracebacks import traceback_lines, whole_traceback_lines

        return whole_traceback_lines(self) if shows_whole_errors() else traceback_lines(self)

    def _repr_html_(self) -> str:
        """Returns what a notebook shows if a cell has the error as its value."""
        from html import escape

        return f"<pre>{escape(chr(10).join(self._render_traceback_()))}</pre>"


def drop_frames(error: Exception) -> None:
    """Drops the frames of an error of udfvm, as its method does, and that of a call whose arguments
    do not fit a function that users call.
    """
    if isinstance(error, Error):
        error.drop_frames()
    elif isinstance(error, TypeError) and not shows_whole_errors():
        frames = error.__traceback__
        if frames is not None and frames.tb_next is None:
            error.__traceback__ = None


def hides_frames(function: _Function) -> _Function:
    """Makes a function that users call raise errors without the frames of udfvm."""

    @functools.wraps(function)
    def called(*arguments: Any, **keywords: Any) -> Any:
        try:
            return function(*arguments, **keywords)
        except Exception as error:
            drop_frames(error)
            raise

    return cast(_Function, called)


def _restored(
    cls: type[Error], arguments: tuple[object, ...], attributes: dict[str, object]
) -> Error:
    """Returns an error as it was, without a call of ``__init__``: the arguments that the text was
    made from are not kept.
    """
    error = cls.__new__(cls)
    error.args = arguments
    for name, value in attributes.items():
        setattr(error, name, value)
    return error


# ---- Before a call ----


class KVMUnavailableError(Error):
    """``/dev/kvm`` does not exist, or is a KVM that micro-VMs cannot use."""


class KVMPermissionError(KVMUnavailableError):
    """``/dev/kvm`` exists, but this user may not open it."""


class UnsafeBackendError(Error):
    """With ``UDFVM_BACKEND=unsafe-inprocess`` functions run without micro-VMs, and what was asked
    for needs one: compiled code, and whatever may be a stranger's.
    """


class HostError(Error):
    """A system call of the host failed.

    Attributes:
        errno: its error number, as in the module ``errno``; 0 if there is none.
    """

    def __init__(self, message: str, errno: int = 0) -> None:
        super().__init__(message)
        self.errno = errno


class JailError(Error):
    """VMs of a pool are to run in jails, and a process for one cannot be had.

    Nothing runs outside of a jail instead.

    >>> udfvm.Pool(jail=True, cgroup="/").walls()
    Traceback (most recent call last):
    udfvm.errors.JailError: the process of a micro-VM did not begin. ...
    """


class HardenError(Error):
    """``udfvm.harden()`` cannot filter system calls here. Nothing has changed."""


class ObserveError(Error):
    """A program cannot be observed: ``udfvm.observe()`` can make no socket, or ``udfvm top`` finds
    no program, or gets no answer.
    """


class EngineError(Error, ImportError):
    """The package of an engine is not installed, too old, or broken. It is also an ``ImportError``.

    >>> from udfvm.engines.packages import load_package
    >>> load_package("pyarrow", engine="arrow", package="pyarrow", oldest="1000.0")
    Traceback (most recent call last):
    udfvm.errors.EngineError: udfvm.arrow needs version 1000.0 of the package pyarrow or ...
    """


class SignatureError(Error, TypeError):
    """A function cannot become a UDF as it is declared. It is also a ``TypeError``.

    >>> udfvm.udf(lambda x: x, name="same")
    Traceback (most recent call last):
    udfvm.errors.SignatureError: UDF 'same': parameter 'x' has no type: annotate it, or pass ...
    """


class OptionError(SignatureError, ValueError):
    """There is no such option, or it has a value that it cannot have.

    It is also a ``SignatureError``, which is a ``TypeError``, and a ``ValueError``.

    >>> udfvm.Pool(size=0)
    Traceback (most recent call last):
    udfvm.errors.OptionError: udfvm.Pool: size=0 must be from 1 to 4096
    """


class _FileError(Error, OSError):
    """An error of the system about a file, or of what reads and writes it."""

    def __str__(self) -> str:
        return str(self.args[0])

    def __reduce__(self) -> tuple[object, ...]:
        of_file = {"errno": self.errno, "filename": self.filename}
        return _restored, (type(self), self.args, {**self.__dict__, **of_file})


class CodeFileError(_FileError):
    """A file of compiled code cannot be read. It is also an ``OSError``.

    >>> try:
    ...     udfvm.from_elf("absent.so", "half")
    ... except udfvm.CodeFileError as error:
    ...     print(error)
    UDF 'half': absent.so cannot be read: No such file or directory
    """


class CodeFileNotFoundError(CodeFileError, FileNotFoundError):
    """A file of compiled code does not exist. It is also a ``FileNotFoundError``.

    >>> udfvm.from_elf("absent.so", "half")
    Traceback (most recent call last):
    udfvm.errors.CodeFileNotFoundError: UDF 'half': absent.so cannot be read: No such file or ...
    """


class DataFileError(_FileError):
    """A file of ``data=`` cannot be used. It is also an ``OSError``.

    It is a directory or empty, for example, this user cannot read it, or it is another file than
    where the function came from.

    >>> udfvm.udf(lambda: 1, name="one", output_type="int64", data={"model": "/"})
    Traceback (most recent call last):
    udfvm.errors.DataFileError: UDF 'one': data file 'model' (/) is a directory: name its files ...
    """


class DataFileNotFoundError(DataFileError, FileNotFoundError):
    """A file of ``data=`` does not exist. It is also a ``FileNotFoundError``.

    >>> udfvm.udf(lambda: 1, name="one", output_type="int64", data={"model": "absent.bin"})
    Traceback (most recent call last):
    udfvm.errors.DataFileNotFoundError: UDF 'one': data file 'model' (.../absent.bin) cannot be ...
    """


class DataFileChangedError(DataFileError):
    """A file of ``data=`` was written, or became shorter, since the function opened it.

    ``function.refresh()`` opens the files anew.

    >>> import os, tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     length = file.write(b"abc")
    ...     file.flush()
    ...     @udfvm.udf(data={"model": file.name})
    ...     def size() -> int:
    ...         return len(open("/data/model", "rb").read())
    ...     size()
    ...     os.truncate(file.name, 2)
    ...     size()
    Traceback (most recent call last):
    udfvm.errors.DataFileChangedError: UDF 'size': data file 'model' had 3 bytes when the ...
    """


class SourceError(_FileError):
    """The source of ``map`` cannot be read. It is also an ``OSError``.

    What the system, pyarrow or the source raised is the ``__cause__``.

    >>> @udfvm.udf
    ... def half(x: float) -> float:
    ...     return x / 2
    >>> half.map(udfvm.__file__)
    Traceback (most recent call last):
    udfvm.errors.SourceError: UDF 'half': map() cannot read ... as Parquet: ...
    """


class SourceNotFoundError(SourceError, FileNotFoundError):
    """The file that ``map`` should read does not exist. It is also a ``FileNotFoundError``.

    ``udfvm demo`` raises it, too, if the package with its flights is not installed.

    >>> @udfvm.udf
    ... def half(x: float) -> float:
    ...     return x / 2
    >>> half.map("absent.parquet")
    Traceback (most recent call last):
    udfvm.errors.SourceNotFoundError: UDF 'half': map() cannot read absent.parquet: No such file ...
    """


class OutputFileError(_FileError):
    """The file of ``output=`` cannot be written. It is also an ``OSError``.

    What the system, or pyarrow, said of it is the ``__cause__``.

    >>> import pyarrow as pa
    >>> @udfvm.udf
    ... def half(x: float) -> float:
    ...     return x / 2
    >>> half.map(pa.table({"x": [1.0]}), output="absent/half.parquet")
    Traceback (most recent call last):
    udfvm.errors.OutputFileError: UDF 'half': map() cannot write absent/half.parquet: No such ...
    """


class TypeMappingError(Error, TypeError):
    """A value or column does not fit the declared type. It is also a ``TypeError``.

    Attributes:
        argument: the argument's name; None if the error is not about one.
        position: the argument's position, counted from 1; None if the error is not about one.
        column: the column of the source of ``map`` that the argument is; None elsewhere.
        row: the row's index in the argument; None for a single value, and for an error about its
            type.
        reason: what is wrong with the value; the whole text if nothing shorter is known.

    >>> @udfvm.udf
    ... def half(x: float) -> float:
    ...     return x / 2
    >>> half("3")
    Traceback (most recent call last):
    udfvm.errors.TypeMappingError: UDF 'half': argument 'x' (position 1) ...
    """

    argument: str | None = None
    position: int | None = None
    column: str | None = None
    row: int | None = None
    reason: str = ""
    _udf: str = ""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self.reason = str(self)

    @classmethod
    def of_argument(
        cls, udf: str, argument: str, position: int | None, reason: str, row: int | None = None
    ) -> Self:
        """Returns the error for an argument, or for one row of it. ``reason`` continues a sentence
        whose subject is the argument.

        >>> print(TypeMappingError.of_argument("half", "x", 1, "is not valid JSON", row=3))
        UDF 'half', row 3: argument 'x' (position 1) is not valid JSON
        """
        error = cls()
        error.argument, error.position, error.reason = argument, position, reason
        error._udf = udf
        error.locate(row)
        return error

    def locate(self, row: int | None, *, of: str | None = None) -> None:
        """Sets the row of an error about an argument, and says it in the text. Other errors stay as
        they are.

        ``of`` is what ``row`` counts in, "batch" or "group", if its place among all rows is not
        known.
        """
        if self.argument is None or not self._udf:
            return
        at = "" if row is None else f", row {row}{_of_its(of)}"
        places = [f"position {self.position}"] if self.position else []
        if self.column is not None and self.column != self.argument:
            places.append(f"column {self.column!r}")
        place = f" ({', '.join(places)})" if places else ""
        self.args = (f"UDF {self._udf!r}{at}: argument {self.argument!r}{place} {self.reason}",)
        self.row = row

    def of_column(self, name: str | None) -> None:
        """Sets the column that the argument is, and says it in the text if it has another name."""
        self.column = name
        self.locate(self.row)


class UnknownUDFError(Error, LookupError):
    """No UDF of that name is registered. It is also a ``LookupError``.

    >>> udfvm.arrow.unregister(None, "absent")
    Traceback (most recent call last):
    udfvm.errors.UnknownUDFError: udfvm.arrow.unregister: no UDF named 'absent' is registered in ...
    """


class PolicyError(Error):
    """The policy of an SQLite connection does not allow what a statement asks for.

    It is the cause of an ``apsw.SQLError``. See ``udfvm.sqlite.Policy``.

    >>> import apsw, udfvm.sqlite
    >>> connection = apsw.Connection(":memory:")
    >>> udfvm.sqlite.register(connection)
    >>> try:
    ...     connection.execute("SELECT vm_create('f', 'python', 'def f(x): ...', '(int) -> int')")
    ... except apsw.SQLError as error:
    ...     print(type(error.__cause__))
    <class 'udfvm.errors.PolicyError'>
    """


class SQLConnectionError(Error):
    """A connection of SQLite is in a state in which it cannot do what was asked for.

    It is closed, for example, or has statements that run.

    >>> import apsw, udfvm.sqlite
    >>> connection = apsw.Connection(":memory:")
    >>> connection.close()
    >>> udfvm.sqlite.register(connection)
    Traceback (most recent call last):
    udfvm.errors.SQLConnectionError: udfvm.sqlite.register: The connection has been closed
    """


class SealError(Error):
    """A function cannot be sealed, or its file cannot be written (``udfvm seal``).

    >>> from udfvm.sqlite import sealed
    >>> @udfvm.udf
    ... def total(*xs: float) -> float:
    ...     return sum(xs)
    >>> sealed.seal(total)
    Traceback (most recent call last):
    udfvm.errors.SealError: UDF 'total': *xs takes any number of arguments, and a sealed function...
    """


class ImageError(Error):
    """An image is damaged, or was written by another program or version."""


class CacheError(ImageError):
    """A file or directory of the image cache cannot be used.

    Another file is in its place, other users can write it, or this user cannot.
    """


class BuildError(Error):
    """An image could not be built.

    Attributes:
        report: what the guest wrote to its standard output and error, or a compiler to its own.

    >>> udfvm.from_c("int half(int x) { return x / 2 }", "half", signature="(i32) -> i32")
    Traceback (most recent call last):
    udfvm.errors.BuildError: UDF 'half' does not compile...
    """

    def __init__(self, message: str, report: str = "") -> None:
        super().__init__(f"{message}\n{report}".rstrip() if report else message)
        self.report = report


class BusyError(Error):
    """All VMs of a pool stayed busy for the time that the call waits (``Pool(wait=...)``)."""


class PoolClosedError(Error):
    """A function was called after its pool was closed.

    >>> with udfvm.Pool() as pool:
    ...     @udfvm.udf(pool=pool)
    ...     def half(x: float) -> float:
    ...         return x / 2
    >>> half(3.0)
    Traceback (most recent call last):
    udfvm.errors.PoolClosedError: ...
    """


class ForkedError(Error):
    """A VM or pool of the parent process was used in a forked child.

    Attributes:
        during_call: True if the process was forked during the call, by a host function or a signal
            handler. The call goes on in the parent.
    """

    during_call: bool = False


# ---- In a call ----


class CallError(Error):
    """A call failed. The VM is restored, and the next call is not affected.

    The text has at most 64 KiB. Much of it may come from the guest: control characters are written
    out.

    Attributes:
        udf: the UDF's name; None if the core was used without one.
        row: the row's index in all that the caller passed, or in the batch if the text says so;
            None if it is not known.
        output: what the function printed in the call, to standard output and error in order, with
            control characters written out.

    >>> @udfvm.udf
    ... def inverse(x: float) -> float:
    ...     return 1 / x
    >>> try:
    ...     inverse(0.0)
    ... except udfvm.CallError as error:
    ...     error.udf, error.output
    ('inverse', '')
    """

    output: str = ""

    def __init__(self, message: str, udf: str | None = None, row: int | None = None) -> None:
        self.udf = udf
        self._message = message
        self.locate(row)

    def extend(self, text: str) -> None:
        """Adds a text to the end."""
        self._message += text
        self.args = (self.args[0] + text,)

    def locate(self, row: int | None, *, of: str | None = None, of_sample: bool = False) -> None:
        """Sets the row that failed, and adds it to the text.

        ``of`` is what ``row`` counts in, "batch" or "group", if its place among all rows is not
        known. ``of_sample`` says that the call was the one with ``sample=``.
        """
        where = f"UDF {self.udf!r}" if self.udf else ""
        if row is not None or of_sample:
            place = "called with its sample" if of_sample else f"row {row}{_of_its(of)}"
            where = f"{where}, {place}" if where else place
        self.args = (visible(f"{where}: {self._message}" if where else self._message),)
        self.row = row


class UDFError(CallError):
    """The function raised an exception.

    Attributes:
        guest_type: the name of the exception's type, qualified unless it is built in.
        guest_message: its text.
        guest_traceback: the traceback, as Python prints it, from the user's first frame on.

    >>> @udfvm.udf
    ... def inverse(x: float) -> float:
    ...     return 1 / x
    >>> try:
    ...     inverse(0.0)
    ... except udfvm.UDFError as error:
    ...     error.guest_type, error.guest_message
    ('ZeroDivisionError', 'float division by zero')
    """

    def __init__(
        self,
        guest_type: str,
        guest_message: str,
        guest_traceback: str,
        udf: str | None = None,
        row: int | None = None,
    ) -> None:
        summary = f"{guest_type}: {guest_message}" if guest_message else guest_type
        super().__init__(
            f"{summary}\n{guest_traceback}".rstrip() if guest_traceback else summary, udf, row
        )
        self.guest_type = guest_type
        self.guest_message = guest_message
        self.guest_traceback = guest_traceback


class CallTimeoutError(CallError, TimeoutError):
    """The call did not end by its deadline: ``timeout=``, or ``timeout_per_row=`` of ``map``. It is
    also a ``TimeoutError``.

    >>> @udfvm.udf(timeout=0.1)
    ... def endless() -> int:
    ...     while True:
    ...         pass
    >>> endless()
    Traceback (most recent call last):
    udfvm.errors.CallTimeoutError: UDF 'endless': the call did not end within 0.1 s; ...
    """

    _option = "timeout"  # what has the deadline

    def of_rows(self, rows: int) -> None:
        """Says that the call had so many rows, whose results are lost."""
        if rows > 1:
            message = self._message.removesuffix(_timeout_advice(self._option))
            lost = f": none of its {rows} rows has a result"
            self._say(message.removesuffix(lost) + lost)

    def of_option(self, option: str) -> None:
        """Says which option has the deadline, if it is not ``timeout=``."""
        message = self._message.removesuffix(_timeout_advice(self._option))
        self._option = option
        self._say(message)

    def within(self, seconds: float, option: str = "timeout") -> CallTimeoutError:
        """Returns the error of the whole that the call was a part of: that had so many seconds."""
        made = CallTimeoutError("", self.udf, self.row)
        made.output, made._option = self.output, option
        made._say(f"the call did not end within {seconds:.3g} s")
        return made

    def _say(self, message: str) -> None:
        self._message = message + _timeout_advice(self._option)
        self.locate(self.row)


class OutputLimitError(CallError):
    """The result is larger than ``max_output=``, or than the function's memory allows.

    Attributes:
        size: bytes of the result, as far as the guest reported them.

    >>> @udfvm.udf(max_output=100)
    ... def long() -> str:
    ...     return "x" * 1000
    >>> long()
    Traceback (most recent call last):
    udfvm.errors.OutputLimitError: UDF 'long': ...
    """

    size = 0

    @classmethod
    def of_bytes(cls, size: int, limit: int, udf: str, row: int) -> Self:
        """Returns the error for what a row gives, of more bytes than ``max_output=`` allows."""
        from udfvm.texts import format_size

        error = cls(
            f"the result of {format_size(size)} is larger than the limit of {format_size(limit)}"
            f"{_OUTPUT_ADVICE}",
            udf,
            row,
        )
        error.size = size
        return error


class LogLimitError(CallError):
    """A function with ``log="strict"`` printed more than ``max_log=`` bytes.

    >>> @udfvm.udf(log="strict", max_log=4)
    ... def talks() -> int:
    ...     print("hello, world")
    ...     return 1
    >>> talks()
    Traceback (most recent call last):
    udfvm.errors.LogLimitError: UDF 'talks': ...
    """


class HostFunctionError(CallError):
    """A host function that the function called (``host_functions=``) raised.

    Its exception is the ``__cause__``. The guest learns nothing of it.

    >>> def price(item: str) -> float:
    ...     raise LookupError(item)
    >>> @udfvm.udf(host_functions=[price])
    ... def cost(item: str, count: int) -> float:
    ...     return price(item) * count
    >>> cost("nail", 3)
    Traceback (most recent call last):
    udfvm.errors.HostFunctionError: UDF 'cost': ...
    """


class HostCallLimitError(CallError):
    """The function called host functions more often than ``host_calls=`` allows.

    >>> def price(item: str) -> float:
    ...     return 0.1
    >>> @udfvm.udf(host_functions=[price], host_calls=1)
    ... def sum_of_two(item: str) -> float:
    ...     return price(item) + price(item)
    >>> sum_of_two("nail")
    Traceback (most recent call last):
    udfvm.errors.HostCallLimitError: UDF 'sum_of_two': ...
    """


class InputTooLargeError(CallError):
    """The arguments do not fit into the input window."""


class GuestCrashError(CallError):
    """The interpreter, or compiled code, crashed: a signal ended the guest program.

    Attributes:
        signal: the signal's number, as in the module ``signal``.
        address: the address whose access failed; 0 if the signal has none.
        rip: the address of the instruction.

    >>> crash = udfvm.from_c(
    ...     "int crash(int x) { return *(volatile int *)0 + x; }", "crash", signature="(i32) -> i32"
    ... )
    >>> try:
    ...     crash(1)
    ... except udfvm.GuestCrashError as error:
    ...     error.signal, error.address
    (11, 0)
    """

    def __init__(
        self, message: str, udf: str | None, row: int | None, signal: int, address: int, rip: int
    ) -> None:
        super().__init__(message, udf, row)
        self.signal = signal
        self.address = address
        self.rip = rip


class GuestExitError(CallError):
    """The guest program ended itself.

    Attributes:
        status: its exit status.

    >>> import os
    >>> @udfvm.udf
    ... def leaves() -> int:
    ...     os._exit(3)
    >>> try:
    ...     leaves()
    ... except udfvm.GuestExitError as error:
    ...     error.status
    3
    """

    def __init__(self, message: str, udf: str | None, row: int | None, status: int) -> None:
        super().__init__(message, udf, row)
        self.status = status


class GuestDeadlockError(CallError):
    """Every thread of the guest program waits for an event that cannot happen any more.

    >>> import threading
    >>> @udfvm.udf
    ... def waits() -> bool:
    ...     return threading.Event().wait()
    >>> waits()
    Traceback (most recent call last):
    udfvm.errors.GuestDeadlockError: UDF 'waits': ...
    """


class ProtocolError(CallError):
    """The guest broke the rules of its boundary.

    It sent a reply or hypercall that an honest guest cannot send.
    """


KVM_ADVICE = (
    "udfvm runs functions in KVM micro-VMs. On a machine of your own, load the module (modprobe"
    " kvm_intel or kvm_amd) and switch virtualisation on in the firmware; in a virtual machine, ask"
    " for nested virtualisation; in a container, pass the device (--device=/dev/kvm). `udfvm"
    " doctor --fix` says what to type. As a last resort, for tests of your own functions:"
    " UDFVM_BACKEND=unsafe-inprocess runs them without isolation (docs/without_kvm.md)."
)
PERMISSION_ADVICE = (
    "Add the user to the group that owns the device (usually: sudo usermod -aG kvm $USER, then log"
    " in again), or in a container pass --device=/dev/kvm with that group."
)


_JAIL_ADVICE: Final = (
    "A jail needs Linux 5.9 with seccomp, and the program udfvm-jail beside libudfvm.so: reinstall"
    " udfvm if it is not there. `udfvm doctor` shows what was found"
)
_HARDEN_ADVICE: Final = (
    "It needs a kernel with seccomp, and room for one more thread; where a container or sandbox"
    " forbids filters, use udfvm.Pool(jail=True), or run without"
)
# The exceptions for failures that the core reports by a code and a message alone, and advice.
_OF_HOST: Final[dict[Code, tuple[type[Exception], str]]] = {
    Code.NO_KVM: (KVMUnavailableError, f". {KVM_ADVICE}"),
    Code.PERMISSION: (KVMPermissionError, f". {PERMISSION_ADVICE}"),
    Code.IMAGE: (ImageError, ""),
    Code.CACHE: (CacheError, ""),
    Code.BUSY: (
        BusyError,
        "; call from fewer threads at once, or bind the function to a larger pool"
        " (udfvm.Pool(size=...)), or to one that waits longer (wait=...). A host function that"
        " calls a UDF needs one more VM",
    ),
    Code.CLOSED: (
        PoolClosedError,
        ": bind the function to another pool, or call it before the pool is closed",
    ),
    Code.ARGUMENT: (ValueError, ""),
    Code.JAIL: (JailError, f". {_JAIL_ADVICE}"),
    Code.HARDEN: (HardenError, f". {_HARDEN_ADVICE}"),
}
_NESTED_ADVICE: Final = (
    "; a host function that calls a UDF needs one more VM: bind the functions to a larger pool"
    " (udfvm.Pool(size=...)), or to different ones"
)


def _of_its(part: str | None) -> str:
    return f" of its {part}" if part else ""


def _timeout_advice(option: str) -> str:
    return f"; raise {option}= if it needs longer"


_DATA_ADVICE: Final = (
    ": call refresh() of the function for the file as it is now, and replace files by a rename"
)
_OUTPUT_ADVICE: Final = "; raise max_output= or return less"
_OF_CALL: Final[dict[Code, tuple[type[CallError], str]]] = {
    Code.TIMEOUT: (CallTimeoutError, _timeout_advice("timeout")),
    Code.DEADLOCK: (GuestDeadlockError, ""),
    Code.PROTOCOL: (ProtocolError, ""),
    Code.LOG: (LogLimitError, "; raise max_log= or print less"),
    Code.HOST_FUNCTION: (HostFunctionError, ""),
    Code.HOST_CALLS: (HostCallLimitError, "; raise host_calls= if it needs more"),
    Code.INPUT: (InputTooLargeError, "; pass fewer or smaller values"),
}


def from_core(
    code: int,
    message: str,
    *,
    errno: int = 0,
    signal: int = 0,
    address: int = 0,
    rip: int = 0,
    udf: str | None = None,
    row: int | None = None,
) -> BaseException:
    """Returns the exception for a failure that the core reported.

    Returns ``KeyboardInterrupt`` for an interrupted call.

    >>> from_core(Code.TIMEOUT, "the call did not end within 1 s", udf="score")
    CallTimeoutError("UDF 'score': the call did not end within 1 s; ...")
    """
    if code in _OF_HOST:
        cls, advice = _OF_HOST[Code(code)]
        if code == Code.BUSY and errno == EDEADLK:
            advice = _NESTED_ADVICE
        of_udf = udf is not None and code in (Code.BUSY, Code.CLOSED)
        return cls(f"UDF {udf!r}: {message}{advice}" if of_udf else message + advice)
    if code in _OF_CALL:
        of_call, advice = _OF_CALL[Code(code)]
        return of_call(message + advice, udf, row)
    failure: BaseException
    match code:
        case Code.INTERRUPTED:
            failure = KeyboardInterrupt()
        case Code.CRASH:
            failure = GuestCrashError(message, udf, row, signal, address, rip)
        case Code.EXIT:
            failure = GuestExitError(message, udf, row, signal)
        case Code.OUTPUT:
            failure = OutputLimitError(message + _OUTPUT_ADVICE, udf, row)
            failure.size = address
        case Code.DATA:
            owner = "" if udf is None else f"UDF {udf!r}: "
            failure = DataFileChangedError(f"{owner}{message}{_DATA_ADVICE}")
        case Code.FORKED:
            failure = ForkedError(f"{message}; make pools and VMs after the fork")
            failure.during_call = signal != 0
        case _:
            failure = HostError(message, errno)
    return failure
