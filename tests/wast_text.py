"""Reads scripts of WebAssembly's specification (``.wast``): modules, and assertions about them.

The format: github.com/WebAssembly/spec, interpreter/README.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

_TOKEN: Final = re.compile(
    r'\s+|;;[^\n]*|(?P<block>\(;)|(?P<open>\()|(?P<close>\))|(?P<text>"(?:[^"\\]|\\.)*")'
    r"|(?P<word>[^\s()\";]+)|;",
    re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\(u\{([0-9a-fA-F_]+)\}|[0-9a-fA-F]{2}|.)", re.DOTALL)
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", "'": "'", '"': '"'}
Tree = str | list["Tree"]


@dataclass
class Form:
    """A form at the top of a script: its words and forms, and its text."""

    tree: list[Tree]
    text: str

    @property
    def head(self) -> str:
        return str(self.tree[0])


@dataclass
class _Reader:
    stack: list[list[Tree]] = field(default_factory=list)
    begin: int = 0


def forms(text: str) -> Iterator[Form]:
    """Yields the forms of a script. Text keeps its quotes. Raises ValueError."""
    reader, at = _Reader(), 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValueError(f"no token at {text[at : at + 40]!r}")
        if match["block"]:
            at = _end_of_comment(text, at)
            continue
        if match["open"]:
            if not reader.stack:
                reader.begin = at
            reader.stack.append([])
        elif match["close"]:
            closed = reader.stack.pop()
            if not reader.stack:
                yield Form(closed, text[reader.begin : match.end()])
            else:
                reader.stack[-1].append(closed)
        elif (word := match["word"] or match["text"]) and reader.stack:
            reader.stack[-1].append(word)
        at = match.end()


def _end_of_comment(text: str, at: int) -> int:
    depth = 0
    for match in re.compile(r"\(;|;\)").finditer(text, at):
        depth += 1 if match[0] == "(;" else -1
        if depth == 0:
            return match.end()
    raise ValueError("a comment does not end")


def unquoted(text: str) -> bytes:
    """Returns the bytes of a string."""
    made, last = bytearray(), 0
    inner = text[1:-1]
    for match in _ESCAPE.finditer(inner):
        made += inner[last : match.start()].encode()
        last = match.end()
        if match[2]:
            made += chr(int(match[2].replace("_", ""), 16)).encode("utf-8", "surrogatepass")
        elif match[1] in _ESCAPES:
            made += _ESCAPES[match[1]].encode()
        else:
            made.append(int(match[1], 16))
    return bytes(made + inner[last:].encode())


def module_code(form: Form) -> tuple[str | None, bytes | str]:
    """Returns the name of a module, ``$name``, and its code."""
    words = form.tree[1:]
    if words and words[0] == "definition":
        words = words[1:]
    name = str(words.pop(0)) if words and str(words[0]).startswith("$") else None
    if words and words[0] in ("binary", "quote"):
        code = b"".join(unquoted(str(each)) for each in words[1:])
        is_whole = words[0] == "binary" or code.lstrip().startswith(b"(module")
        return name, code if is_whole else b"(module " + code + b")"
    return name, form.text
