"""How long: ``1h``, ``2d``, ``1h30m`` or ISO 8601's ``PT4H``. A day is 24 hours."""

import datetime as dt
import re

LONGEST = dt.timedelta(days=3660)

PATTERN = (
    r"^(?=\d)(\d+w)?(\d+d)?(\d+h)?(\d+m)?(\d+s)?$"
    r"|^P(?=.)(\d+W)?(\d+D)?(T(?=.)(\d+H)?(\d+M)?(\d+S)?)?$"
)
"""What the published JSON Schema says of a duration."""

_SHORT = re.compile(r"(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_ISO = re.compile(r"P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")
_UNITS = (("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def parse_duration(text: str) -> dt.timedelta:
    """Read a duration of more than nothing and at most ten years; raises ``ValueError``."""
    found = _SHORT.fullmatch(text) or _ISO.fullmatch(text)
    numbers = found.groups() if found else ()
    if not any(numbers):
        raise ValueError(f"{text!r} is not a duration; write 20m, 1h, 2d, 1h30m or PT4H")
    # Ten digits are three centuries of seconds: longer ones need not be multiplied out.
    seconds = sum(
        min(int(number[:10]), 10**10) * size
        for number, (_, size) in zip(numbers, _UNITS, strict=True)
        if number
    )
    if not 0 < seconds <= LONGEST.total_seconds():
        raise ValueError(f"{text!r} is not between 1 second and {LONGEST.days} days")
    return dt.timedelta(seconds=seconds)


def format_duration(duration: dt.timedelta) -> str:
    """The short form that ``parse_duration`` reads back: ``1d``, ``1h30m``. Weeks read as days."""
    rest = int(duration.total_seconds())
    text = ""
    for unit, size in _UNITS[1:]:
        count, rest = divmod(rest, size)
        if count:
            text += f"{count}{unit}"
    return text
