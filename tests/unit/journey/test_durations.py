"""Durations as people write them."""

import datetime as dt

import pytest

from chappe.journey import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("20m", 1_200),
        ("1h", 3_600),
        ("2d", 172_800),
        ("1w", 604_800),
        ("1h30m", 5_400),
        ("90s", 90),
        ("PT4H", 14_400),
        ("P2D", 172_800),
        ("P1DT2H3M4S", 93_784),
    ],
)
def test_a_duration_is_read(text: str, seconds: int) -> None:
    assert parse_duration(text) == dt.timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "1", "h", "1 h", "-1h", "1.5h", "P", "PT", "1h1d", "P1M", "0m", "99999999999999d"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["20m", "1h", "2d", "7d", "1h30m", "1d1h1m1s"])
def test_a_duration_is_written_as_it_is_read(text: str) -> None:
    assert format_duration(parse_duration(text)) == text
