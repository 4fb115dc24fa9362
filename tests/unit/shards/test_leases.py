"""Who should own what: the lease keeper's plan."""

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from chappe.clock import UTC
from chappe.shards.rules import Lease, is_free, plan_leases

NOW = dt.datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
LATER = NOW + dt.timedelta(seconds=10)


def _lease(shard: int, owner: str | None, until: dt.datetime = LATER) -> Lease:
    return Lease(shard, owner, 1, until)


def test_a_lone_process_takes_every_shard() -> None:
    leases = [_lease(n, None) for n in range(8)]
    assert plan_leases(leases, "a", NOW, 1).claim == tuple(range(8))


def test_a_newcomer_waits_for_its_share_to_be_given_back() -> None:
    leases = [_lease(n, "a") for n in range(8)]
    assert plan_leases(leases, "b", NOW, 2).claim == ()
    assert len(plan_leases(leases, "a", NOW, 2).give_back) == 4


def test_a_dead_process_loses_its_shards_when_the_lease_ends() -> None:
    leases = [_lease(n, "a", NOW) for n in range(4)]
    assert plan_leases(leases, "b", NOW, 1).claim == (0, 1, 2, 3)


def test_the_one_box_takes_every_shard_at_once() -> None:
    leases = [_lease(n, "before the crash") for n in range(4)]
    assert plan_leases(leases, "me", NOW, 2, exclusive=True).claim == (0, 1, 2, 3)


@given(st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=64))
def test_everybody_following_the_plan_ends_with_an_even_share(owners: list[str | None]) -> None:
    leases = [_lease(n, owner) for n, owner in enumerate(owners)]
    for _ in range(4):
        for me in ("a", "b", "c"):
            plan = plan_leases(leases, me, NOW, 3)
            for shard in plan.give_back:
                leases[shard] = _lease(shard, None)
            for shard in plan.claim:
                assert is_free(leases[shard], NOW)
                leases[shard] = _lease(shard, me)
    counts = [sum(lease.owner == me for lease in leases) for me in ("a", "b", "c")]
    assert sum(counts) == len(leases)
    assert max(counts) <= -(-len(leases) // 3)
