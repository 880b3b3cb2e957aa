"""Exceptions of the function, as the host gets them: struct udfvm_guest_error and its texts, in the
output window.
"""

from __future__ import annotations

import os
import traceback
from typing import Final

import _udfvm_advice
import _udfvm_agent
from _udfvm_agent import (
    MAX_ERROR_MESSAGE,
    MAX_ERROR_TRACEBACK,
    MAX_ERROR_TYPE,
    ROW_OF_SAMPLE,
    STATUS_ERROR,
)
from _udfvm_arguments import WrongArgument
from _udfvm_conversions import Loss, Refused
from _udfvm_layouts import GUEST_ERROR
from _udfvm_texts import format_size

RUNTIME_DIRECTORY: Final = os.path.dirname(os.path.abspath(__file__)) + os.sep  # noqa: PTH100, PTH120 - compared with file names of code


def report(exception: BaseException, row: int = -1) -> tuple[int, int]:
    """Writes the report. Returns status and length of the reply."""
    output = _udfvm_agent.output()
    capacity = max(0, len(output) - GUEST_ERROR.size)
    argument = 0
    if type(exception) is WrongArgument:
        of_sample = row == ROW_OF_SAMPLE  # the host does not yet know the parameters
        parts = [_type_name(type(_of_users_class(exception.error))), exception.reason, ""]
        if of_sample:
            parts[1] = str(exception)
        else:
            argument, row = exception.position, exception.row if row < 0 else row
    else:
        exception = _of_users_class(exception)
        parts = [_type_name(type(exception)), _message(exception), _traceback(exception)]
    texts = []
    limits = MAX_ERROR_TYPE, MAX_ERROR_MESSAGE, MAX_ERROR_TRACEBACK
    for text, limit in zip(parts, limits, strict=True):
        cut = _cut(text.encode("utf-8", "backslashreplace"), min(limit, capacity))
        capacity -= len(cut)
        texts.append(cut)
    reply = GUEST_ERROR.pack(*map(len, texts), 0, argument, row) + b"".join(texts)
    output[: len(reply)] = reply
    return STATUS_ERROR, len(reply)


def _of_users_class(exception: BaseException) -> BaseException:
    """Returns an exception of a class of the runtime as one of a class that users know."""
    if type(exception) not in (Loss, Refused):
        return exception
    shown: BaseException = (ValueError if isinstance(exception, Loss) else TypeError)(
        str(exception)
    ).with_traceback(exception.__traceback__)
    shown.__cause__, shown.__context__ = exception.__cause__, exception.__context__
    shown.__suppress_context__ = exception.__suppress_context__
    return shown


def _cut(encoded: bytes, limit: int) -> bytes:
    """Returns head and tail of UTF-8 text, cut between characters, with a mark between them."""
    if len(encoded) <= limit:
        return encoded
    mark = f"\n[... cut: the whole has {format_size(len(encoded))} ...]\n".encode()
    half = max(0, limit - len(mark)) // 2
    head, tail = (
        part.decode("utf-8", "ignore").encode()
        for part in (encoded[:half], encoded[len(encoded) - half :])
    )
    return (head + mark + tail)[:limit]


def _type_name(cls: type[BaseException]) -> str:
    try:
        return (
            cls.__qualname__
            if cls.__module__ in ("builtins", "__main__")
            else f"{cls.__module__}.{cls.__qualname__}"
        )
    except BaseException:  # noqa: BLE001 - the user's class may lack __module__ or define it as a property
        return type.__dict__["__qualname__"].__get__(cls)


def _message(exception: BaseException) -> str:
    try:
        text = str.__str__(str(exception))  # ignores methods of a subclass of str
    except BaseException:  # noqa: BLE001 - the user's __str__
        return "<str() of the exception failed>"
    if not text and issubclass(type(exception), MemoryError):
        if _udfvm_advice.limits_itself():
            return "the function exceeds its own limit of its address space (RLIMIT_AS)"
        return "the micro-VM has no more memory: raise memory="
    return text


def _traceback(exception: BaseException) -> str:
    """Returns the traceback as Python prints it, without frames of ours; without any frames, only
    what the message does not say.
    """
    # The real traceback, even if the user's class overrides the attribute.
    frames = BaseException.__dict__["__traceback__"].__get__(exception)
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(RUNTIME_DIRECTORY):
        frames = frames.tb_next
    advice = _udfvm_advice.of(exception)
    try:
        # Lines are read when they are printed: none of the frames that are left out.
        made = traceback.TracebackException(type(exception), exception, frames, lookup_lines=False)
        _leave_out_ours(made)
        text = "".join(made.format())
    except BaseException:  # noqa: BLE001 - code of the user's classes runs while formatting
        text = "".join(
            (
                "Traceback (most recent call last):\n",
                *traceback.format_tb(frames),
                _type_name(type(exception)),
                "\n",
            )
        )
    message = _message(exception)
    summary = f"{_type_name(type(exception))}{message and ': '}{message}"
    return advice if text.rstrip("\n") == summary else text + advice


def _leave_out_ours(made: traceback.TracebackException) -> None:
    """Removes the frames of the runtime, such as those of a host function's stand-in."""
    waiting, seen = [made], set()
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if each.stack:
            each.stack[:] = [
                frame for frame in each.stack if not frame.filename.startswith(RUNTIME_DIRECTORY)
            ]
        inner = (each.__cause__, each.__context__, *(getattr(each, "exceptions", None) or ()))
        waiting += [other for other in inner if other is not None]
