"""Whole scripts in micro-VMs: text of a stranger, or of a language model, over tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from udfvm.call.guest_exceptions import guest_exception
from udfvm.call.output import pass_on
from udfvm.call.pool import Pool, pool_of
from udfvm.call.windows import call_with_windows
from udfvm.checks import shown
from udfvm.errors import OptionError, ProtocolError, hides_frames
from udfvm.functions.function_names import checked_name
from udfvm.functions.given import data_files_of, host_functions_of
from udfvm.functions.options import PythonOptions, parsed_options
from udfvm.functions.script_reply import Left, read_reply
from udfvm.keywords import option_names
from udfvm.limits import WINDOW, Limits
from udfvm.protocol import REQUEST_LOAD

if TYPE_CHECKING:
    import pyarrow as pa

    from udfvm.images.spec import BaseSpec
    from udfvm.load.data_files import DataFiles
    from udfvm.vmm.windows import Windows


class ScriptResult(NamedTuple):
    """What a script left: see ``udfvm.run``.

    Attributes:
        text: what it printed, on standard output and error, in order.
        value: the value of an expression at its end, None without one: as it is if JSON has it, a
            ``pyarrow.Table`` for a table or column, and otherwise the text of its ``repr``.
        tables: tables, frames, Series and arrays in variables, by the variables' names.
        outputs: the values of variables that ``outputs=`` named, as for ``value``.
        state: the variables, for ``state=`` of another run; None unless it was asked for. Only a
            micro-VM may read it: what is in it is the script's.
        dropped: names of variables that ``state`` has not, because they cannot be pickled.

    >>> udfvm.run("print('hello')\\n1 + 1")
    ScriptResult(text='hello\\n', value=2, tables={}, outputs={}, state=None, dropped=())
    """

    text: str
    value: Any
    tables: dict[str, pa.Table]
    outputs: dict[str, Any]
    state: bytes | None
    dropped: tuple[str, ...]


@hides_frames
def run(
    source: str,
    tables: Mapping[str, object] | None = None,
    /,
    *,
    outputs: Iterable[str] | None = None,
    state: bytes | None = None,
    **keywords: Any,
) -> ScriptResult:
    """Runs a whole Python script in a micro-VM that nothing else uses, before or after.

    Nothing of the script, and nothing that it leaves, is evaluated, imported or unpickled in this
    process.

    Args:
        source: the script.
        tables: what the script finds in its variables, by name. Frames of pandas and polars are
            frames there, and everything else with Arrow data a ``pyarrow.Table``. Other values are
            pickled. Variables with the names of options must be here.
        outputs: names of variables whose values are wanted, of any kind. Default: tables in all
            variables that the script has set, but for those that begin with ``_``.
        state: the ``state`` of an earlier result, whose variables the script finds; ``b""`` to
            begin with none. Default: the result has no state.
        keywords: further variables, ``flights=table``; and the options of ``udfvm.udf``: ``name``
            (default: "script"), ``memory``, ``timeout``, ``max_output``, ``max_log``, ``log``
            (default: "drop", since the result has the text), ``files``, ``deterministic``,
            ``packages``, ``pool``, ``host_functions``, ``host_calls``, ``build_timeout``,
            ``data``.

    Returns:
        What the script printed and left.

    Raises:
        UDFError: the script raised, or is no Python; ``output`` is what it had printed. ``exit()``
            without an error is no exception.
        CallError: the script passed a limit, such as ``timeout``, or crashed.
        OptionError: a value cannot be sent, or an option has an impossible value.

    >>> import pyarrow as pa
    >>> flights = pa.table({"carrier": ["UA", "AA", "UA"], "delay": [12.0, 3.0, -6.0]})
    >>> script = '''
    ... late = flights.filter(flights["delay"].to_numpy() > 0)
    ... print(late.num_rows, "are late")
    ... '''
    >>> result = udfvm.run(script, flights=flights, timeout=5)
    >>> result.text, result.tables["late"].column("carrier").to_pylist()
    ('2 are late\\n', ['UA', 'AA'])
    """
    known = option_names(PythonOptions)
    options = {key: value for key, value in keywords.items() if key in known}
    variables = {**(tables or {}), **{k: v for k, v in keywords.items() if k not in known}}
    name = checked_name(options.get("name") or "script")
    parsed = parsed_options(name, {"log": "drop", **options})
    if not isinstance(source, str):
        raise OptionError(f"script {name!r}: source must be text, of a str; got {shown(source)}")
    if state is not None and not isinstance(state, bytes):
        raise OptionError(f"script {name!r}: state= must be that of a result; got {shown(state)}")
    script = _Script(name, parsed["limits"], pool_of(name, options.get("pool")), options)
    wanted = _wanted(name, outputs)
    given = _Given.of(name, variables)
    return script.run(source, given, wanted, state)


class _Given(NamedTuple):
    """Variables: pickled values, and the Arrow stream of each table, by name and library."""

    values: bytes
    tables: list[tuple[str, str]]
    streams: list[bytes]

    @classmethod
    def of(cls, name: str, variables: Mapping[str, object]) -> _Given:
        import cloudpickle

        plain, tables, streams = {}, [], []
        for label, value in variables.items():
            if not isinstance(label, str) or not label.isidentifier():
                raise OptionError(f"script {name!r}: {label!r} cannot be the name of a variable")
            found = _as_table(name, label, value)
            if found is None:
                plain[label] = value
                continue
            tables.append((label, found[0]))
            streams.append(_stream(found[1]))
        from udfvm.load.pickling import UNPICKLABLE

        try:
            return cls(cloudpickle.dumps(plain), tables, streams)
        except UNPICKLABLE as error:
            raise OptionError(
                f"script {name!r}: a variable cannot be sent to a micro-VM: {error}"
            ) from error


def _as_table(name: str, label: str, value: Any) -> tuple[str, pa.Table] | None:
    """Returns a table, and the library whose frame the script gets; None for other values."""
    import pyarrow as pa

    library = type(value).__module__.partition(".")[0]
    is_frame = type(value).__name__ in ("DataFrame", "LazyFrame")
    try:
        table = _table_of(library, value) if is_frame else _arrow_table(value)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise OptionError(
            f"script {name!r}: variable {label!r} has no form in Arrow: {error}"
        ) from error
    if table is None:
        return None
    return library if is_frame and library in ("pandas", "polars") else "pyarrow", table


def _table_of(library: str, frame: Any) -> pa.Table | None:
    import pyarrow as pa

    if library == "pandas":
        return pa.Table.from_pandas(frame)
    if library == "polars":
        return (frame.collect() if hasattr(frame, "collect") else frame).to_arrow()
    return _arrow_table(frame)


def _arrow_table(value: Any) -> pa.Table | None:
    import pyarrow as pa

    if isinstance(value, pa.Table):
        return value
    if hasattr(value, "to_table") and hasattr(value, "schema"):  # a dataset
        return value.to_table()
    if hasattr(value, "to_struct_array"):  # a record batch
        return pa.Table.from_batches([value])
    if hasattr(value, "__arrow_c_stream__") and not hasattr(value, "__len__"):
        return pa.RecordBatchReader.from_stream(value).read_all()
    return None


def _stream(table: pa.Table) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    made: bytes = sink.getvalue().to_pybytes()
    return made


def _wanted(name: str, outputs: Iterable[str] | None) -> list[str] | None:
    if outputs is None:
        return None
    wanted = [outputs] if isinstance(outputs, str) else list(outputs)
    for each in wanted:
        if not isinstance(each, str) or not each.isidentifier():
            raise OptionError(f"script {name!r}: outputs= has {shown(each)}, no name of a variable")
    return wanted


class _Script:
    """How a script runs."""

    def __init__(self, name: str, limits: Limits, pool: Pool, options: Mapping[str, Any]) -> None:
        self._name = name
        self._limits = limits
        self._pool = pool
        self._packages = _packages(name, options.get("packages", ()))
        self._host_functions = host_functions_of(name, options.get("host_functions", ()))
        self._data = _data(name, options.get("data"))

    def run(
        self, source: str, given: _Given, outputs: list[str] | None, state: bytes | None
    ) -> ScriptResult:
        request = self._request(source, given, outputs, state)
        base = self._base(source, given)
        printed: list[tuple[int, bytes]] = []
        reply = call_with_windows(
            self._name,
            self._limits,
            len(request),
            lambda windows: self._call(base, windows, request, printed),
            may_repeat=self._host_functions is None,
        )
        left: Left = read_reply(self._name, reply)
        from udfvm.guest_text import shown as visible

        text = "".join(visible(part) for _, part in printed)
        kept = None if state is None else left.state
        return ScriptResult(text, left.value, left.tables, left.outputs, kept, left.dropped)

    def _request(
        self, source: str, given: _Given, outputs: list[str] | None, state: bytes | None
    ) -> bytes:
        from udfvm.load.pickling import load_payload

        offered = self._host_functions
        script = {
            "filename": f"<{self._name}>",
            "outputs": outputs,
            "state": state is not None,
            "tables": given.tables,
        }
        return load_payload(
            {"script": script, "host_functions": offered.descriptions() if offered else []},
            source.encode("utf-8", "surrogatepass"),
            given.values,
            state or b"",
            *given.streams,
        )

    def _base(self, source: str, given: _Given) -> BaseSpec:
        """Returns the base image: with the libraries of frames that the script is given, and those
        that its text mentions, whose import would take longer than most scripts.
        """
        from udfvm.images.spec import BaseSpec
        from udfvm.load.libraries import is_installed, packages_of

        libraries = {library for _, library in given.tables}
        libraries |= {
            each for each in ("pandas", "polars") if each in source and is_installed(each)
        }
        packages = packages_of((), (*self._packages, *sorted(libraries)), arrow=True)
        return BaseSpec(memory=self._limits.memory, packages=packages, window=WINDOW)

    def _call(
        self,
        spec: BaseSpec,
        windows: Windows,
        request: bytes,
        printed: list[tuple[int, bytes]],
    ) -> bytes:
        """Makes the one call. ``printed`` gets what the script prints."""
        from udfvm import vmm
        from udfvm.vmm.callbacks import bind_host_functions, bind_log

        limits, offered = self._limits, self._host_functions
        printed.clear()

        def take(parts: Any) -> None:
            for stream, text in parts:
                printed.append((stream, text))
                pass_on(limits.log, stream, text)

        log = bind_log(take)
        bound = bind_host_functions(offered, limits.host_calls) if offered else None
        base = self._pool._base(spec, limits, self._name)
        files = None if self._data is None else self._data.opened(self._name)
        pool = self._pool._for_base(base, files)
        vm = pool.take(base, windows, limits.timeout_ns, self._name)
        try:
            reply = vm.call(REQUEST_LOAD, request, vmm.core_limits(limits, bound, log), self._name)
            if reply.sealed:
                raise ProtocolError("the guest asked to be sealed in a call", self._name)
            status, data = reply.status, bytes(reply.data)
        finally:
            pool.give(vm)
        if status:
            raise guest_exception(data, self._name)
        return data


def _data(name: str, given: Any) -> DataFiles | None:
    try:
        return data_files_of(name, given)
    except OptionError as error:
        raise OptionError(
            f"{error}. A variable with the name of an option goes into a mapping:"
            " udfvm.run(source, {'data': ...})"
        ) from None


def _packages(name: str, packages: Any) -> tuple[str, ...]:
    from udfvm.load.libraries import checked_packages

    try:
        return checked_packages(packages)
    except OptionError as error:
        raise OptionError(f"script {name!r}: {error}") from None
