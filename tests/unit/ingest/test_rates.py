import pytest

from chappe_ingest.domain.rates import Buckets, Rate


def test_a_burst_passes_and_then_the_rate() -> None:
    buckets = Buckets(Rate(per_second=2, burst=4))
    assert [buckets.take("a", 1, 0.0) for _ in range(4)] == [0, 0, 0, 0]
    assert buckets.take("a", 1, 0.0) == pytest.approx(0.5)
    assert buckets.take("a", 1, 0.5) == 0
    assert buckets.take("a", 1, 0.5) > 0


def test_one_sender_costs_another_nothing() -> None:
    buckets = Buckets(Rate(per_second=1, burst=1))
    assert buckets.take("a", 1, 0.0) == 0
    assert buckets.take("a", 1, 0.0) > 0
    assert buckets.take("b", 1, 0.0) == 0


def test_what_is_larger_than_the_burst_passes_when_nothing_else_was_sent() -> None:
    buckets = Buckets(Rate(per_second=10, burst=10))
    assert buckets.take("a", 25, 0.0) == 0
    assert buckets.take("a", 1, 0.5) > 0
    assert buckets.take("a", 1, 2.5) == 0
