"""Durations as ISO 8601 writes them: ``PT1H``, ``P1D``, ``PT26H30M``, ``P2W``."""

import datetime as dt
import re

_SHAPE = re.compile(
    r"P(?!$)(?:(?P<weeks>\d{1,6})W)?(?:(?P<days>\d{1,6})D)?"
    r"(?:T(?!$)(?:(?P<hours>\d{1,6})H)?(?:(?P<minutes>\d{1,6})M)?"
    r"(?:(?P<seconds>\d{1,6}(?:\.\d{1,6})?)S)?)?"
)


def parse_duration(text: str) -> dt.timedelta:
    """Raises ``ValueError`` with what to write instead; months and years have no one length."""
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:40]!r} is no duration: write PT1H, P1D or PT26H30M")
    return dt.timedelta(**{name: float(value) for name, value in match.groupdict("0").items()})
