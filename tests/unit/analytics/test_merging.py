"""Which of the two contacts of a merge goes."""

import pytest

from chappe.events import rename
from chappe_analytics.domain.merging import merged_into
from tests.unit.analytics.facts import NOON, ZOE, event


@pytest.mark.parametrize(
    ("data", "into"),
    [
        ({"from": ZOE, "into": "c_new"}, "c_new"),
        ({"from": "c_old", "into": ZOE}, None),
        ({"from": ZOE, "into": ZOE}, None),
        ({"from": ZOE, "into": 7}, None),
        ({}, None),
    ],
)
def test_only_the_one_that_goes_is_another_now(data: dict[str, object], into: str | None) -> None:
    said = rename(event("contact.merged", at=NOON), contact=ZOE, data=data)
    assert merged_into(said) == into


def test_another_event_of_the_same_shape_is_no_merge() -> None:
    said = rename(event("order.placed", at=NOON), contact=ZOE, data={"from": ZOE, "into": "c_n"})
    assert merged_into(said) is None
