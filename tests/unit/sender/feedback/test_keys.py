"""An endpoint's secret is changed without losing a webhook."""

import datetime as dt

from chappe_sender.domain.feedback.keys import OVERLAP, Keys, read, write

NOW = dt.datetime(2026, 11, 22, 9, 30, tzinfo=dt.UTC)


def test_the_secret_before_is_good_for_a_day() -> None:
    both = Keys("old").renewed("new", NOW)
    assert both.at(NOW + OVERLAP - dt.timedelta(seconds=1)) == ("new", "old")
    assert both.at(NOW + OVERLAP) == ("new",)


def test_saying_the_same_secret_again_does_not_push_the_old_one_out() -> None:
    both = Keys("old").renewed("new", NOW)
    assert both.renewed("new", NOW) == both


def test_only_the_last_two_are_good() -> None:
    last = Keys("a").renewed("b", NOW).renewed("c", NOW)
    assert last.at(NOW) == ("c", "b")


def test_what_was_stored_before_there_were_two_is_read_as_one() -> None:
    for text in ("plain", '{"secret": "x"}', "user:password"):
        assert read(text) == Keys(text)
        assert read(write(Keys(text))) == Keys(text)
    both = Keys("old").renewed('{"ne\\w"}', NOW)
    assert read(write(both)) == both
