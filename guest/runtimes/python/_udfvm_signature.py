"""The signature of a function, as the host sends it in LOAD."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

from _udfvm_arguments import Parameter


class Parameters(NamedTuple):
    """Parameters, by position."""

    types: list[str]
    nullable: list[bool]
    names: list[str]

    @classmethod
    def of(cls, descriptions: Sequence[Mapping[str, Any]]) -> Self:
        """Returns the parameters in a request."""
        types, nullable, names = (
            [each[key] for each in descriptions] for key in ("type", "nullable", "name")
        )
        return cls(types, nullable, names)

    @property
    def in_errors(self) -> list[Parameter]:
        """Returns the parameters as errors name them."""
        return [
            Parameter(name, position, type_)
            for position, (name, type_) in enumerate(zip(self.names, self.types, strict=True), 1)
        ]


class Signature(NamedTuple):
    """Parameters and the result."""

    parameters: Parameters
    result: str
    result_nullable: bool

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> Self:
        """Returns the signature in a request. For source text the result may be null, since nothing
        declares it.
        """
        nullable = "source" in metadata or metadata["result_nullable"]
        return cls(Parameters.of(metadata["parameters"]), metadata["result"], nullable)

    def with_nulls(self) -> Signature:
        """Returns the same signature with everything nullable, for functions that warm up the code
        of calls.
        """
        nullable = [True] * len(self.parameters.types)
        return Signature(self.parameters._replace(nullable=nullable), self.result, True)
