"""Numbers as a person reads them: fixed digits, a real minus sign, units."""

import math
from datetime import datetime

_MINUS = "\N{MINUS SIGN}"
_MINUTE_S, _HOUR_S = 60, 3600
NONE = "\N{EN DASH}"


def number(value: float | None, digits: int = 3) -> str:
    """Fixed digits with separated thousands; a dash for nothing."""
    return NONE if value is None else f"{value:,.{digits}f}".replace("-", _MINUS)


def signed(value: float | None, digits: int = 3) -> str:
    """The same with its sign."""
    return NONE if value is None else f"{value:+,.{digits}f}".replace("-", _MINUS)


def count(value: int | None) -> str:
    """A whole number with separated thousands."""
    return number(value, 0)


def percent(share: float | None, digits: int = 1) -> str:
    """A share as a percentage."""
    return NONE if share is None else f"{share:.{digits}%}".replace("%", "\N{NO-BREAK SPACE}%")


def money(value: float | None, currency: str | None) -> str:
    """A price with its currency; a small one keeps two digits that say something."""
    if value is None:
        return NONE
    digits = 2 if value >= 1 or value == 0 else max(4, 1 - math.floor(math.log10(value)))
    return f"{currency or ''} {number(value, digits)}".strip().replace(" ", "\N{NO-BREAK SPACE}")


def interval(low: float | None, high: float | None, digits: int = 3) -> str:
    """Both bounds, or a dash where one is missing."""
    if low is None or high is None:
        return NONE
    return f"{number(low, digits)} to {number(high, digits)}"


def duration(seconds: float | None) -> str:
    """Seconds in the two units that matter."""
    if seconds is None:
        return NONE
    if round(seconds, 1) < _MINUTE_S:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min {whole % _MINUTE_S:02d} s"
    return f"{whole // _HOUR_S:,} h {whole % _HOUR_S // _MINUTE_S:02d} min"


def moment(at: datetime) -> str:
    """A minute in UTC."""
    return f"{at:%Y-%m-%d %H:%M} UTC"


def words_of_name(name: str) -> str:
    """A name of a role, reason or stage with spaces."""
    return name.replace("_", " ").replace(":", ": ")


def plural(value: int, one: str, many: str | None = None) -> str:
    """The count with its noun."""
    return f"{count(value)} {one if value == 1 else many or one + 's'}"


def glued(sentence: str) -> str:
    """The sentence with each per cent sign kept on the line of its number."""
    return sentence.replace(" %", "\N{NO-BREAK SPACE}%")
