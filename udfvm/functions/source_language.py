"""The language of a source for ``udfvm.from_c``, and the command that compiles it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import Final

from udfvm.checks import check_choice, options_of
from udfvm.errors import OptionError
from udfvm.tuples import NamedTuple

COMPILERS: Final = {"c": ("gcc", "-std=gnu17"), "c++": ("g++", "-std=gnu++20")}
#: How messages call languages that ``-x`` names.
LANGUAGES: Final = {"c": "C", "c++": "C++"}

_OPTION: Final = "-x"
# Compilers of C++ have such names: g++, clang++-19, x86_64-linux-gnu-g++, `zig c++`.
_CPP_COMPILER: Final = re.compile(r"(.*[^\w+])?(g|c|clang)\+\+(-[\d.]+)?")
# Comments, texts and characters, which say nothing about the language.
_SILENT: Final = re.compile(
    r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL
)
# What C++ has and no version of C.
_ONLY_CPP: Final = re.compile(
    r"""
    ^[ \t]*\#[ \t]*include[ \t]*<[^.>\n]+>   # its library's headers have names without a dot
    | \bstd\s*::
    | \bnamespace\b[\s\w:]*\{ | \busing\s+namespace\b
    | \btemplate\s*<\s*(?:typename|class|int|auto)\b
    | \bclass\s+\w+\s*(?:final\s*)?[:{]
    | \bextern\s*"
    | \b(?:static|dynamic|reinterpret|const)_cast\s*<
    """,
    re.MULTILINE | re.VERBOSE,
)


class Compiler(NamedTuple):
    """A compiler's command without the language, that language, and what follows the source.

    ``chosen``: the command is the default one of its language. ``guessed``: nothing said that the
    source is C, nor that it is not.
    """

    command: list[str]
    language: str
    flags: list[str]
    chosen: bool
    guessed: bool = False

    def for_cpp(self) -> Compiler:
        """Returns the compiler for the case that a guess was wrong."""
        return Compiler(list(COMPILERS["c++"]), "c++", self.flags, chosen=True)


def is_cpp(source: str) -> bool:
    """Whether a source is certainly C++. A source for both says so by ``__cplusplus``.

    >>> is_cpp("#include <vector>"), is_cpp("#include <math.h>"), is_cpp('char *a = "std::";')
    (True, False, False)
    """
    if "__cplusplus" in source:
        return False
    return _ONLY_CPP.search(_SILENT.sub(lambda part: part[0][0] * 2, source)) is not None


def compiler_for(
    name: str,
    source: str,
    language: str | None,
    compiler: Sequence[str] | None,
    flags: Sequence[str],
) -> Compiler:
    """Returns the compiler of a source, and the language that is declared, or that the compiler or
    else the source has. ``name`` is the UDF's name in errors. Raises OptionError.

    ``-x LANGUAGE`` is taken out of both lists: it applies to the source, and must not apply to
    objects in the flags.

    >>> compiler_for("f", "", None, ["clang++"], ["-x", "c", "a.o"])
    Compiler(command=['clang++'], language='c', flags=['a.o'], chosen=False, guessed=False)
    """
    if language is not None:
        with options_of(f"UDF {name!r}"):
            check_choice("language", language, tuple(COMPILERS))
    others, named = _without_language(name, flags)
    if compiler is None:
        said = language or named or ("c++" if is_cpp(source) else None)
        found = said or "c"
        command = list(COMPILERS.get(found, COMPILERS["c"]))
        return Compiler(command, found, others, chosen=True, guessed=said is None)
    command, own = _without_language(name, compiler)
    if not command:
        raise OptionError(f"UDF {name!r}: compiler= is empty")
    cpp = any(_CPP_COMPILER.fullmatch(PurePath(word).name) for word in command)
    found = language or named or own or ("c++" if cpp else "c")
    return Compiler(command, found, others, chosen=False)


def _without_language(name: str, words: Sequence[str]) -> tuple[list[str], str | None]:
    """Returns words without ``-x LANGUAGE``, and the language."""
    if isinstance(words, str) or not isinstance(words, Iterable):
        raise OptionError(
            f"UDF {name!r}: compiler= and flags= must be lists of texts; got {words!r}"
        )
    kept, language = list(words), None
    if wrong := [word for word in kept if not isinstance(word, str)]:
        raise OptionError(
            f"UDF {name!r}: compiler= and flags= must be lists of texts; got {wrong[0]!r} in one"
        )
    while _OPTION in kept:
        index = kept.index(_OPTION)
        language = kept[index + 1] if index + 1 < len(kept) else language
        del kept[index : index + 2]
    return kept, language
