"""Runs scripts of WebAssembly's specification in micro-VMs.

A module is linked with a driver, a module that is made of the assertions about it: ``run(n)`` does
all actions before the nth, and then the nth itself. It returns -1, or the number of the first
assertion that does not hold. An assertion of a trap is a call for it alone, since a trap ends a
call. So each assertion finds the state that the actions before it left. Modules that follow are
linked behind a driver that has done these actions when it was instantiated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import wast_text
from wast_text import Form, Tree

import udfvm
from udfvm import errors
from udfvm.types.nested import take_apart
from udfvm.types.signature_text import parse_signature

#: What scripts import (github.com/WebAssembly/spec, interpreter/host/spectest.ml).
SPECTEST: Final = """(module
  (func (export "print")) (func (export "print_i32") (param i32))
  (func (export "print_i64") (param i64)) (func (export "print_f32") (param f32))
  (func (export "print_f64") (param f64)) (func (export "print_i32_f32") (param i32 f32))
  (func (export "print_f64_f64") (param f64 f64))
  (global (export "global_i32") i32 (i32.const 666)) (global (export "global_i64") i64
    (i64.const 666)) (global (export "global_f32") f32 (f32.const 666.6))
  (global (export "global_f64") f64 (f64.const 666.6))
  (table (export "table") 10 20 funcref) (table (export "table64") i64 10 20 funcref)
  (memory (export "memory") 1 2))"""
_NUMBERS: Final = ("i32", "i64", "f32", "f64")
_BITS: Final = {"f32": "i32", "f64": "i64"}
_QUIET: Final = {
    "f32": ("0x7fffffff", "0x7fc00000"),
    "f64": ("0x7fffffffffffffff", "0x7ff8000000000000"),
}
_TYPES: Final = {
    "int32": "i32",
    "int64": "i64",
    "float": "f32",
    "double": "f64",
    "binary": "v128",
}
_REFUSED: Final = ("assert_invalid", "assert_malformed", "assert_unlinkable")


class NotDrivenError(Exception):
    """The driver does not do this: references, vectors with lanes that are NaN, exceptions."""


@dataclass
class Outcome:
    """How many assertions held, and which did not, or were not tried, by reason."""

    held: int = 0
    failed: list[str] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)


def _constant(tree: Tree) -> tuple[str, str]:
    """Returns type and text of a constant."""
    if isinstance(tree, list) and len(tree) >= 2:
        type_, dot, const = str(tree[0]).partition(".")
        if dot and const == "const" and type_ in (*_NUMBERS, "v128"):
            return type_, " ".join(map(str, tree[1:]))
    raise NotDrivenError("values that are no numbers")


def _check(type_: str, text: str) -> str:
    """Returns code that leaves 1 if the value on the stack is the expected one."""
    if type_ == "v128":
        if "nan" in text:
            raise NotDrivenError("vectors with NaN")
        return f"v128.const {text} v128.xor v128.any_true i32.eqz"
    if text not in ("nan:canonical", "nan:arithmetic"):
        same = f"{type_}.const {text}"
        if type_ in _BITS:
            bits = _BITS[type_]
            return f"{bits}.reinterpret_{type_} {same} {bits}.reinterpret_{type_} {bits}.eq"
        return f"{same} {type_}.eq"
    bits, (all_but_sign, quiet) = _BITS[type_], _QUIET[type_]
    mask = all_but_sign if text == "nan:canonical" else quiet
    return (
        f"{bits}.reinterpret_{type_} {bits}.const {mask} {bits}.and {bits}.const {quiet} {bits}.eq"
    )


@dataclass
class _Action:
    """An action, and what it is expected to do."""

    kind: str  # assert_return, assert_trap, assert_exhaustion, or invoke
    module: str
    export: str
    code: str  # the call, and what leaves 1 if the results are right
    parameters: tuple[str, ...]
    results: tuple[str, ...]
    message: str  # of a trap
    text: str


@dataclass
class _Script:
    #: In the order of the script. A list: actions that are done before the next module is linked.
    parts: dict[str, bytes | str | list[_Action]] = field(
        default_factory=lambda: {"spectest": SPECTEST}
    )
    named: dict[str, str] = field(default_factory=dict)  # $name -> key of `modules`
    current: str = ""
    over: bool = False  # what follows is not done
    unlike: bool = False  # the state may be another: an action since the module was not done
    actions: list[_Action] = field(default_factory=list)

    def key(self, name: str | None) -> str:
        return self.named[name] if name else self.current

    def modules(self) -> dict[str, bytes | str]:
        """What is linked, by name."""
        made: dict[str, bytes | str] = {}
        for name, part in self.parts.items():
            made[name] = _driver(part, made, starts=True) if isinstance(part, list) else part
        return made


def _invocation(script: _Script, tree: Tree) -> tuple[str, str, list[tuple[str, str]]]:
    words = list(tree) if isinstance(tree, list) else []
    if not words or words.pop(0) != "invoke":
        raise NotDrivenError("get of a global")
    name = str(words.pop(0)) if str(words[0]).startswith("$") else None
    return script.key(name), str(words[0]), [_constant(each) for each in words[1:]]


def _action(script: _Script, form: Form) -> _Action:
    tree: list[Tree] = [form.tree] if form.head == "invoke" else form.tree[1:]
    module, export, arguments = _invocation(script, tree[0])
    expected: list[tuple[str, str]] = []
    message = ""
    if form.head == "assert_return":
        expected = [_constant(each) for each in tree[1:]]
    elif len(tree) > 1:
        message = wast_text.unquoted(str(tree[1])).decode()
    code = " ".join(f"{type_}.const {text}" for type_, text in arguments)
    checks = "".join(
        f" local.set ${type_} {_check_of(type_, text)}" for type_, text in reversed(expected)
    )
    return _Action(
        form.head,
        module,
        export,
        f"{code} call $NAME{checks}",
        tuple(type_ for type_, _ in arguments),
        tuple(type_ for type_, _ in expected),
        message,
        form.text,
    )


def _check_of(type_: str, text: str) -> str:
    """Code that returns the number of the action unless the local has the expected value."""
    return f"local.get ${type_} {_check(type_, text)} i32.eqz if i32.const INDEX return end"


def _declared(code: bytes | str, export: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The types of an export, as udfvm lists them."""
    name = wast_text.unquoted(export).decode()
    found = next(each for each in udfvm.wasm.exports(code) if each.name == name)
    if found.signature is None:
        raise NotDrivenError("values that are no numbers")
    signature = parse_signature("run", found.signature)
    result, fields = signature.result.type.name, take_apart(signature.result.type.name)
    results = [field.type for field in fields.fields] if fields else [result]
    return (
        tuple(_TYPES[each.type.name] for each in signature.parameters),
        () if result == "bool" else tuple(_TYPES[each] for each in results),
    )


def _driver(actions: list[_Action], modules: dict[str, bytes | str], starts: bool = False) -> str:
    """The driver's text; of one that does all actions when it ``starts``. A trap does not show the
    types of its function.
    """
    names: dict[tuple[str, str], str] = {}
    types: dict[tuple[str, str], tuple[tuple[str, ...], tuple[str, ...]]] = {}
    for each in actions:
        key = (each.module, each.export)
        if each.kind == "assert_return":
            types[key] = (each.parameters, each.results)
        names.setdefault(key, f"$f{len(names)}")
    for key in names:
        if key not in types:
            types[key] = _declared(modules[key[0]], key[1])
    imports = [
        f'(import "{module}" {export} (func {names[module, export]}'
        f" (param {' '.join(types[module, export][0])})"
        f" (result {' '.join(types[module, export][1])})))"
        for module, export in names
    ]
    steps = []
    for index, each in enumerate(actions):
        code = each.code.replace("$NAME", names[each.module, each.export], 1)
        code = code.replace("INDEX", str(index))
        if each.kind != "assert_return":
            code += " drop" * len(types[each.module, each.export][1])
        traps = each.kind in ("assert_trap", "assert_exhaustion")
        when = "i32.eq" if traps else "i32.ge_s"
        steps.append(f"local.get $n i32.const {index} {when} if {code} end")
    locals_ = " ".join(f"(local ${type_} {type_})" for type_ in (*_NUMBERS, "v128"))
    start = f"(start $all) (func $all i32.const {len(actions)} call $run drop)" if starts else ""
    return (
        f"(module {' '.join(imports)} {start}"
        f' (func $run (export "run") (param $n i32) (result i32) {locals_}\n'
        + "\n".join(steps)
        + "\ni32.const -1))"
    )


def _run_actions(script: _Script, outcome: Outcome) -> None:
    """Runs the actions since the last module. If that works they become a part of the script."""
    actions, script.actions = script.actions, []
    if actions and _hold(script, actions, outcome):
        script.parts[f"actions{len(script.parts)}"] = actions


def _hold(script: _Script, actions: list[_Action], outcome: Outcome) -> bool:
    """Notes which assertions hold. Returns False if the actions cannot be done at all."""
    modules = script.modules()
    try:
        driver = _driver(actions, modules)
        if not any(each.kind.startswith("assert") for each in actions):
            return True
        run = udfvm.from_wasm(driver, "run", name="run", modules=modules)
    except NotDrivenError as error:
        outcome.skipped[str(error)] += len(actions)
        return False
    except errors.SignatureError as error:
        outcome.failed.append(f"{error}"[:400])
        return False
    done = _run_checks(run, actions, outcome)
    for index, each in enumerate(actions):
        if each.kind in ("assert_trap", "assert_exhaustion"):
            _run_trap(run, index, each, outcome)
    return done


def _run_checks(run: object, actions: list[_Action], outcome: Outcome) -> bool:
    assert callable(run)
    try:
        found = run(len(actions))
    except errors.UDFError as error:
        outcome.failed.append(f"{actions[0].text[:200]} or one after it: {error}"[:400])
        return False
    checks = [index for index, each in enumerate(actions) if each.kind == "assert_return"]
    if found == -1:
        outcome.held += len(checks)
        return True
    outcome.held += sum(index < found for index in checks)
    outcome.failed.append(actions[found].text[:200])
    return True


def _run_trap(run: object, index: int, action: _Action, outcome: Outcome) -> None:
    assert callable(run)
    try:
        run(index)
    except errors.UDFError as error:
        if error.guest_type == "Trap" and _means(str(error), action.message):
            outcome.held += 1
            return
        outcome.failed.append(f"{action.text[:200]}: {error}"[:400])
        return
    outcome.failed.append(f"{action.text[:200]} does not trap")


#: wasmtime's words for what the specification calls otherwise.
_WORDS: Final = {
    "undefined element": ("undefined element", "uninitialized element"),
    "uninitialized element": ("uninitialized element",),
    "integer overflow": ("integer overflow",),
    "null ": ("null reference",),
}


def _means(found: str, message: str) -> bool:
    words = next((them for key, them in _WORDS.items() if message.startswith(key)), (message,))
    return any(each in found for each in words)


def _refused(form: Form, script: _Script, outcome: Outcome) -> None:
    inner = form.tree[1]
    if not isinstance(inner, list):
        raise NotDrivenError("an assertion about no module")
    begin = form.text.index("(", 1)
    _, code = wast_text.module_code(next(wast_text.forms(form.text[begin:-1])))
    if form.head in ("assert_unlinkable", "assert_trap"):
        refused = "the module exports no function none" not in _build_error(code, script)
    else:
        refused = not _is_read(code) or "the module is not valid" in _build_error(code, script)
    if refused:
        outcome.held += 1
    else:
        outcome.failed.append(f"{form.text[:200]} is not refused")


def _is_read(code: bytes | str) -> bool:
    """Returns False where already the listing of a module, which looks at no bodies, refuses it."""
    try:
        udfvm.wasm.exports(code)
    except errors.SignatureError:
        return False
    return True


def _build_error(code: bytes | str, script: _Script) -> str:
    """The error of a function of a module that exports none such."""
    try:
        udfvm.from_wasm(code, "none", modules=script.modules())
    except errors.SignatureError as error:
        return str(error)
    raise AssertionError("a function that is not there")


def _module(form: Form, script: _Script) -> None:
    name, code = wast_text.module_code(form)
    script.unlike = False
    script.current = f"m{len(script.parts)}"
    script.parts[script.current] = code
    if name:
        script.named[name] = script.current


def _register(form: Form, script: _Script) -> None:
    words = form.tree[1:]
    key = script.key(str(words[1]) if len(words) > 1 else None)
    name = wast_text.unquoted(str(words[0])).decode()
    script.parts = {name if each == key else each: part for each, part in script.parts.items()}
    for part in script.parts.values():
        for action in part if isinstance(part, list) else ():
            action.module = name if action.module == key else action.module
    script.named = {each: name if at == key else at for each, at in script.named.items()}
    script.current = name if script.current == key else script.current


def _form(form: Form, script: _Script, outcome: Outcome) -> None:
    script.over |= form.head == "module" and form.tree[1:2] == ["instance"]
    if script.over or (form.head == "module" and form.tree[1:2] == ["definition"]):
        raise NotDrivenError("definitions and instances of modules, and what follows instances")
    if form.head == "module":
        _run_actions(script, outcome)
        _module(form, script)
    elif form.head == "register":
        _run_actions(script, outcome)
        _register(form, script)
    elif form.head in _REFUSED or (form.head == "assert_trap" and form.tree[1][0] == "module"):
        _refused(form, script, outcome)
    elif form.head in ("assert_return", "assert_trap", "assert_exhaustion", "invoke"):
        if script.unlike:
            raise NotDrivenError("what follows an action that is not done")
        script.actions.append(_action(script, form))
    else:
        raise NotDrivenError(form.head)


def run_script(text: str) -> Outcome:
    """Runs a script. For each group of assertions all is linked, and done, anew."""
    script, outcome = _Script(), Outcome()
    for form in _forms_until_unread(text, outcome):
        try:
            _form(form, script, outcome)
        except NotDrivenError as error:
            outcome.skipped[str(error)] += 1
            script.unlike |= form.head == "invoke"
    _run_actions(script, outcome)
    return outcome


def _forms_until_unread(text: str, outcome: Outcome) -> Iterator[Form]:
    try:
        yield from wast_text.forms(text)
    except ValueError as error:
        outcome.skipped[str(error)] += 1
