"""Which state a fact leads to, and when an address is written to no more."""

import datetime as dt

import pytest

from chappe_sender.domain.bounces import BounceClass, Kind, ProviderEvent
from chappe_sender.domain.coming_back import consequence
from chappe_sender.domain.message import State
from chappe_sender.domain.suppressing import (
    Health,
    Judged,
    Reason,
    Rules,
    Site,
    is_spike,
    judge,
    site_of,
)

NOW = dt.datetime(2026, 11, 22, 9, 0, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def bounce(bounce_class: BounceClass, *, permanent: bool = False) -> ProviderEvent:
    return ProviderEvent(kind=Kind.BOUNCED, bounce_class=bounce_class, permanent=permanent)


def judged(
    event: ProviderEvent, *, foreign: bool = False, now: dt.datetime = NOW, **known: object
) -> Judged:
    given = {"health": Health(), "domain": Health(), "site": Site(), "rules": Rules()} | known
    return judge(event, foreign=foreign, now=now, **given)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("kind", "was", "becomes"),
    [
        (Kind.DELIVERED, State.ACCEPTED, State.DELIVERED),
        (Kind.DELIVERED, State.IN_DOUBT, State.DELIVERED),
        (Kind.DELIVERED, State.FAILED, State.DELIVERED),
        (Kind.DELIVERED, State.SCHEDULED, State.DELIVERED),
        (Kind.DELIVERED, State.BOUNCED, None),
        (Kind.BOUNCED, State.DELIVERED, State.BOUNCED),
        (Kind.BOUNCED, State.BOUNCED, None),
        (Kind.REJECTED, State.ACCEPTED, State.FAILED),
        (Kind.REJECTED, State.DELIVERED, None),
        (Kind.DEFERRED, State.IN_DOUBT, State.ACCEPTED),
        (Kind.OPENED, State.IN_DOUBT, State.DELIVERED),
        (Kind.OPENED, State.ACCEPTED, None),
        (Kind.COMPLAINED, State.DELIVERED, None),
        (Kind.DELIVERED, State.CANCELLED, None),
        (Kind.BOUNCED, State.SKIPPED, None),
        (Kind.OTHER, State.IN_DOUBT, None),
    ],
)
def test_one_verdict_whatever_the_order(kind: Kind, was: State, becomes: State | None) -> None:
    assert consequence(kind, was, attempts=1).state == becomes


def test_what_was_never_tried_cannot_have_arrived() -> None:
    assert consequence(Kind.DELIVERED, State.SCHEDULED, attempts=0).state is None
    assert consequence(Kind.DELIVERED, State.PENDING, attempts=0).event is None


@pytest.mark.parametrize(
    "blamed_on_us",
    [BounceClass.REPUTATION, BounceClass.SPAM, BounceClass.POLICY, BounceClass.AUTHENTICATION,
     BounceClass.RELAYING, BounceClass.TOO_LARGE, BounceClass.RATE_LIMITED, BounceClass.CONTENT],
)  # fmt: skip
def test_what_is_our_fault_is_never_held_against_an_address(blamed_on_us: BounceClass) -> None:
    found = judged(bounce(blamed_on_us))
    assert (found.reason, found.health) == (None, Health())


def test_a_4xx_never_closes_an_address() -> None:
    assert judged(bounce(BounceClass.INVALID_RECIPIENT)).reason is None


def test_an_unknown_user_closes_it_at_once_but_not_a_foreign_one() -> None:
    dead = bounce(BounceClass.INVALID_RECIPIENT, permanent=True)
    assert judged(dead).reason is Reason.BOUNCED
    found = judged(dead, foreign=True)
    assert (found.reason, found.health.soft) == (None, 1)


def test_full_mailboxes_count_within_a_month() -> None:
    health = Health()
    for at, reason in ((0, None), (10, None), (45, None), (50, None), (55, Reason.BOUNCED)):
        now = NOW + at * DAY
        found = judged(bounce(BounceClass.MAILBOX_FULL), health=health, now=now)
        health = found.health
        assert found.reason is reason, at


def test_a_dead_domain_is_forgotten_once_it_answers() -> None:
    dead = bounce(BounceClass.BAD_DOMAIN, permanent=True)
    first = judged(dead)
    assert first.reason is None
    again = judged(dead, domain=first.domain, now=NOW + 2 * DAY)
    assert again.reason is Reason.BOUNCED
    answered = judged(ProviderEvent(kind=Kind.DELIVERED), domain=first.domain)
    assert answered.domain == Health()


def test_a_spike_is_many_and_a_large_part() -> None:
    rules = Rules(spike_bounces=10, spike_percent=20)
    assert is_spike(Site(delivered=0, hard=10), rules)
    assert not is_spike(Site(delivered=0, hard=9), rules)
    assert not is_spike(Site(delivered=1_000, hard=100), rules)
    dead = bounce(BounceClass.INVALID_RECIPIENT, permanent=True)
    found = judged(dead, site=Site(hard=10), rules=rules)
    assert found.reason is Reason.QUARANTINED


def test_a_site_is_the_exchangers_domain() -> None:
    assert site_of("alt1.gmail-smtp-in.l.google.com.") == "google.com"
    assert site_of("hotmail-com.olc.protection.outlook.com") == "outlook.com"
    assert site_of("mx.provider.co.uk") == "provider.co.uk"
    assert site_of("localhost") == "localhost"
