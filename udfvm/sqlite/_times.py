"""How dates and times are in SQL: the option ``times`` of ``register``."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

from udfvm.sqlite._extension import TimesForm
from udfvm.sqlite._offer import AS_DECLARED, OfferedTimes
from udfvm.types.arrow_types import Kind, Type

#: ``"text"``: ISO 8601 text. ``"integer"``: a count of the type's unit.
Times: TypeAlias = Literal["text", "integer"]

CHOICES: Final[tuple[Times, ...]] = get_args(Times)

_MILLISECONDS_PER_DAY: Final = 86_400_000
_PER_SECOND: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def offered_times(type_: Type, times: Times | None) -> OfferedTimes:
    """Returns the form that values of a type have in SQL. With None, dates and timestamps are
    INTEGER and times of day are TEXT, as in a row of the guest.
    """
    if times == "integer" and type_.kind is Kind.TIME:
        return OfferedTimes(TimesForm.TIME_COUNT, False, _PER_SECOND[type_.unit or "us"])
    if times != "text":
        return AS_DECLARED
    if type_.kind is Kind.DATE:
        units = _MILLISECONDS_PER_DAY if type_.name == "date64[ms]" else 1
        return OfferedTimes(TimesForm.DATE_TEXT, False, units)
    if type_.kind is Kind.DATETIME:
        zoned = type_.timezone is not None
        return OfferedTimes(TimesForm.MOMENT_TEXT, zoned, _PER_SECOND[type_.unit or "us"])
    return AS_DECLARED
