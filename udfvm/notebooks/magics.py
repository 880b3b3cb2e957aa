"""``%%udf`` makes the functions of a cell UDFs. ``%udfvm`` shows functions and pools."""

from __future__ import annotations

import ast
import builtins
import sys
from argparse import ArgumentTypeError
from collections.abc import Callable, Sequence
from typing import Any, Final

from IPython.core import magic, magic_arguments
from IPython.core.error import UsageError

from udfvm.errors import SignatureError
from udfvm.functions.declaring import udf
from udfvm.functions.function import Function
from udfvm.functions.text import from_source
from udfvm.notebooks.errors import of_cell
from udfvm.notebooks.overview import Overview

_DECORATOR: Final = "__udfvm_udf__"  # the name that the functions of a cell are decorated with
_DEFINITIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)


def _seconds(text: str) -> float | None:
    try:
        return None if text.lower() == "none" else float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is neither a number of seconds nor none") from None


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _data_file(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise ArgumentTypeError(f"{text!r} is not NAME=PATH")
    return name, path


@magic.magics_class
class Magics(magic.Magics):
    """The magics of udfvm."""

    @magic_arguments.magic_arguments()
    @magic_arguments.argument("--memory", help="guest memory, such as 1GiB")
    @magic_arguments.argument("--timeout", type=_seconds, help="seconds of a call, or none")
    @magic_arguments.argument("--build-timeout", type=_seconds, help="seconds of a build, or none")
    @magic_arguments.argument("--max-output", help="bytes of a call's result")
    @magic_arguments.argument("--max-log", help="bytes that a call may print")
    @magic_arguments.argument("--log", choices=["forward", "drop", "strict"])
    @magic_arguments.argument("--isolation", choices=["statement", "row"])
    @magic_arguments.argument("--packages", type=_names, help="modules to import: pandas,scipy")
    @magic_arguments.argument(
        "--data", type=_data_file, action="append", help="a file, found as /data/NAME: NAME=PATH"
    )
    @magic_arguments.argument("--host-functions", type=_names, help="names of host functions")
    @magic_arguments.argument("--host-calls", type=int, help="how many of them a call may call")
    @magic_arguments.argument("--pool", help="the name of a udfvm.Pool")
    @magic_arguments.argument("--vectorized", action="store_true", default=None)
    @magic_arguments.argument("--elementwise", action="store_true", default=None)
    @magic_arguments.argument("--deterministic", action="store_true", default=None)
    @magic_arguments.argument("--no-files", dest="files", action="store_false", default=None)
    @magic_arguments.argument(
        "--untrusted",
        action="store_true",
        help="run nothing of the cell here: a micro-VM reads its text, as udfvm.from_source does",
    )
    @magic_arguments.argument(
        "--functions",
        type=_names,
        help="which functions: a,b. Default: all; with --untrusted the last",
    )
    @magic.cell_magic("udf")
    def declare(self, line: str, cell: str) -> None:
        """Makes the functions of a cell UDFs, with the options of ``udfvm.udf``.

        The rest of the cell runs as usual: imports, constants, and functions whose names begin with
        an underscore, which UDFs may call. With ``--untrusted`` nothing of the cell runs in this
        process, and its functions see no names of the notebook. They take the place of other
        functions of udfvm, and of no other name unless ``--functions`` has it.
        """
        given = vars(magic_arguments.parse_argstring(self.declare, line))
        untrusted, functions = given.pop("untrusted"), given.pop("functions")
        options = {name: value for name, value in given.items() if value is not None}
        for name in ("pool", "host_functions"):
            if name in options:
                options[name] = self._named(options[name])
        if "data" in options:
            options["data"] = dict(options["data"])
        if untrusted:
            self._from_text(cell, functions, options)
        else:
            self._run(cell, functions, options)

    @magic.line_magic("udfvm")
    def overview(self, line: str) -> Overview:
        """Shows the functions of the notebook with their limits and images, and pools."""
        if line.strip():
            raise UsageError("%udfvm takes no arguments")
        return Overview(self._namespace)

    @property
    def _namespace(self) -> dict[str, Any]:
        return self._shell.user_ns

    @property
    def _shell(self) -> Any:
        return self.shell

    def _named(self, names: str | list[str]) -> Any:
        """Returns the objects that names mean in the notebook."""
        if isinstance(names, list):
            return [self._named(name) for name in names]
        if names not in self._namespace:
            raise UsageError(f"%%udf: the notebook has no {names!r}")
        return self._namespace[names]

    def _run(self, cell: str, names: list[str] | None, options: dict[str, Any]) -> None:
        """Runs a cell, whose functions are decorated."""
        text = "\n" + self._shell.transform_cell(cell)  # the line of %%udf counts, too
        number = len(self._shell.history_manager.input_hist_raw) - 1  # of this cell
        file = self._shell.compile.cache(text, number, raw_code=cell)
        try:
            tree = ast.parse(text, file)
            compile(tree, file, "exec")  # which finds more than the parser
        except SyntaxError as error:
            raise of_cell(error) from None
        chosen = _functions(tree, names)
        if not chosen and not any(isinstance(each, ast.ClassDef) for each in tree.body):
            print(
                "%%udf: the cell has no function that becomes a UDF: define one by def, with a name"
                " that does not begin with an underscore",
                file=sys.stderr,
            )
        for each in chosen:
            decorator = ast.Name(_DECORATOR, ast.Load())
            each.decorator_list.insert(0, ast.copy_location(decorator, each))
        namespace = self._namespace
        namespace[_DECORATOR] = _decorator(options)
        try:
            exec(compile(tree, file, "exec"), namespace)
        finally:
            del namespace[_DECORATOR]

    def _from_text(
        self, cell: str, names: Sequence[str | None] | None, options: dict[str, Any]
    ) -> None:
        """Makes functions of the text of a cell, and binds names of the notebook to them."""
        chosen = names or [None]
        made = [from_source(cell, function=name, **options) for name in chosen]
        if chosen == [None]:
            self._check_unused(made[0].name)
        self._namespace.update({each.name: each for each in made})

    def _check_unused(self, name: str) -> None:
        """Raises SignatureError for a name that a stranger chose, and that means something else
        here: such as ``print``, ``get_ipython``, or a frame of the user.
        """
        if name not in self._namespace and not hasattr(builtins, name):
            return
        if isinstance(self._namespace.get(name), Function):
            return
        raise SignatureError(
            f"UDF {name!r}: the notebook has a {name!r} that is no UDF, and an untrusted cell does"
            f" not take its place: rename the function, or pass --functions {name} if you mean it"
        )


def _functions(
    tree: ast.Module, names: list[str] | None
) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Returns the functions of a cell that become UDFs: these, or all but helpers."""
    defined = [each for each in tree.body if isinstance(each, _DEFINITIONS)]
    missing = set(names or ()).difference(each.name for each in defined)
    if missing:
        raise UsageError(f"%%udf: the cell has no function {min(missing)!r}")
    if names:
        return [each for each in defined if each.name in names]
    return [each for each in defined if not each.name.startswith("_")]


def _decorator(options: dict[str, Any]) -> Callable[[Any], Function]:
    def decorate(function: Any) -> Function:
        if isinstance(function, Function):
            return function  # it has a decorator of udfvm
        try:
            return udf(function, **options)
        except SignatureError as error:
            raise type(error)(
                f"{error}. If it is a helper of others, let its name begin with an underscore"
            ) from None

    return decorate
