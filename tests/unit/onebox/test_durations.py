import datetime as dt

import pytest

from chappe_onebox.demo.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("PT1H", dt.timedelta(hours=1)),
        ("P1D", dt.timedelta(days=1)),
        ("PT26H30M", dt.timedelta(hours=26, minutes=30)),
        ("P2W", dt.timedelta(weeks=2)),
        ("P1DT2H3M4.5S", dt.timedelta(days=1, hours=2, minutes=3, seconds=4.5)),
        ("PT0S", dt.timedelta()),
    ],
)
def test_iso_durations_are_read(text: str, wanted: dt.timedelta) -> None:
    assert parse_duration(text) == wanted


@pytest.mark.parametrize("text", ["", "P", "PT", "1h", "-PT1H", "P1M", "P1Y", "PT1H ", "P1DT"])
def test_what_has_no_one_length_or_goes_back_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration: write PT1H"):
        parse_duration(text)
