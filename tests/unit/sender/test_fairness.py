"""Whose turn it is: counted in messages, not in time."""

import datetime as dt

import pytest

from chappe.clock import UTC
from chappe.ids import WorkspaceId
from chappe_sender.domain.fairness import Lane, Share, shares

NOW = dt.datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
RECEIPTS, MARKETING, BULK = 0, 1, 2


def lane(workspace: str, priority: int = MARKETING, shard: int = 0, minutes: int = 0) -> Lane:
    """``minutes``: how long its first message has waited."""
    return Lane(shard, priority, WorkspaceId(workspace), NOW - dt.timedelta(minutes=minutes))


def by_workspace(found: list[Share]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for each in found:
        counts[each.lane.workspace] = counts.get(each.lane.workspace, 0) + each.messages
    return counts


def test_a_workspace_in_many_shards_gets_no_more_than_one_in_a_single_shard() -> None:
    large = [lane("large", shard=shard, minutes=100) for shard in range(16)]
    found = shares([*large, lane("small", shard=3)], 64)
    assert by_workspace(found) == {"large": 32, "small": 32}


def test_receipts_come_before_all_marketing_of_anybody() -> None:
    found = shares([lane("a", MARKETING, minutes=99), lane("b", BULK), lane("c", RECEIPTS)], 64)
    assert [(each.lane.workspace, each.messages) for each in found] == [
        ("c", 64), ("a", 64), ("b", 64),
    ]  # fmt: skip


@pytest.mark.parametrize("limit", [1, 7, 64])
def test_one_priority_is_given_the_claim_exactly(limit: int) -> None:
    lanes = [lane(f"w{n}", shard=shard, minutes=n) for n in range(5) for shard in range(3)]
    assert sum(each.messages for each in shares(lanes, limit)) == limit


def test_with_more_workspaces_than_turns_those_that_waited_longest_go_first() -> None:
    lanes = [lane(f"w{n}", minutes=n) for n in range(100)]
    found = shares(lanes, 64)
    assert {each.lane.workspace for each in found} == {f"w{n}" for n in range(36, 100)}
    assert {each.messages for each in found} == {1}


def test_where_nothing_waits_nobody_has_a_turn() -> None:
    assert shares([], 64) == []
