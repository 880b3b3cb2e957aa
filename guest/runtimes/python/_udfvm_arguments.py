"""Arguments that cannot be what their parameters are declared."""

from __future__ import annotations

from typing import NamedTuple


class Parameter(NamedTuple):
    """A parameter, as errors name it. ``position`` counts from 1."""

    name: str
    position: int
    type: str

    def refuse(self, error: BaseException, row: int = -1) -> WrongArgument:
        """Returns the exception for an argument whose conversion raised an error."""
        return WrongArgument(self, error, row)


class WrongArgument(Exception):
    """An argument that cannot be made of what a request has, so that the function is not called.

    The host raises what it raises for arguments that it checks itself.

    Attributes:
        position: the argument's position, counted from 1.
        reason: what is wrong with it: continues a sentence whose subject is the argument.
        error: what its conversion raised.
        row: the row in the batch; -1 if that is not known.
    """

    def __init__(self, parameter: Parameter, error: BaseException, row: int) -> None:
        self.reason = vars(error).get("of_argument") or _reason(parameter.type, error)
        super().__init__(
            f"argument {parameter.name!r} (position {parameter.position}) {self.reason}"
        )
        self.position = parameter.position
        self.error = error
        self.row = row


def _reason(type_name: str, error: BaseException) -> str:
    article = "an" if type_name.startswith("i") else "a"
    return f"is not {article} {type_name}: {error}"
