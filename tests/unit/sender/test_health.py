"""A route that fails rests, is tried with one load, and is stopped after too many doubts."""

from dataclasses import dataclass

from chappe_sender.application.health import (
    FAILURES_MAX,
    REST_SECONDS,
    REST_SECONDS_MAX,
    Health,
    Standing,
)


@dataclass
class Watch:
    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


def opened(watch: Watch) -> Health:
    health = Health(seconds=watch)
    for _ in range(FAILURES_MAX):
        health.failed("away")
    return health


def test_one_failure_is_no_reason_to_rest() -> None:
    health = Health(seconds=Watch())
    health.failed("away")
    assert health.usable
    health.answered()
    health.failed("away")
    assert health.standing is Standing.CLOSED


def test_failures_in_a_row_open_the_breaker_for_a_while() -> None:
    watch = Watch()
    health = opened(watch)
    assert not health.usable
    assert health.seconds_left == REST_SECONDS
    watch.now += REST_SECONDS
    assert health.usable


def test_while_one_load_tries_it_no_other_goes() -> None:
    watch = Watch()
    health = opened(watch)
    watch.now += REST_SECONDS
    health.begin()
    assert health.standing is Standing.TRYING
    assert not health.usable
    health.answered()
    assert health.usable


def test_a_trial_that_was_not_given_away_can_be_made_again() -> None:
    watch = Watch()
    health = opened(watch)
    watch.now += REST_SECONDS
    health.begin()
    health.abandoned()
    assert health.usable


def test_each_failed_trial_makes_the_rest_longer_up_to_a_bound() -> None:
    watch = Watch()
    health = opened(watch)
    rests: list[float] = []
    for _ in range(12):
        rests.append(health.seconds_left or 0)
        watch.now += rests[-1]
        health.begin()
        health.failed("still away")
    assert rests == sorted(rests)
    assert rests[1] == 2 * REST_SECONDS
    assert rests[-1] == REST_SECONDS_MAX


def test_what_was_on_its_way_when_it_opened_does_not_make_the_rest_longer() -> None:
    watch = Watch()
    health = opened(watch)
    for _ in range(10):
        health.failed("away")
    assert health.seconds_left == REST_SECONDS


def test_doubts_in_a_row_stop_it_and_an_answer_in_between_does_not() -> None:
    health = Health(in_doubt_max=2, seconds=Watch())
    health.doubted("silence")
    health.answered()
    health.doubted("silence")
    assert not health.must_stop
    health.doubted("silence")
    assert health.must_stop
    assert health.why == "silence"
