"""The check of time zones that are declared by name."""

from __future__ import annotations

from udfvm.types.temporal import time_zone


def check_time_zone(name: str) -> None:
    """Raises ValueError unless a name is in the time zone database, or is an offset.

    >>> check_time_zone("Europe/Berln")
    Traceback (most recent call last):
    ...
    ValueError: 'Europe/Berln' is not a time zone: did you mean 'Europe/Berlin'?
    """
    try:
        time_zone(name)
    except (KeyError, ValueError, OSError):
        import difflib  # for errors alone
        import zoneinfo

        known = zoneinfo.available_timezones()
        close = difflib.get_close_matches(name, known, 1)
        if close:
            advice = f"did you mean {close[0]!r}?"
        elif known:
            advice = "pass a name such as 'Europe/Berlin', or an offset such as '+01:00'"
        else:
            advice = "this machine has no time zone database: pip install tzdata"
        raise ValueError(f"{name!r} is not a time zone: {advice}") from None
