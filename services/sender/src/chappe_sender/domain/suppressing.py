"""When an address is written to no more (DECISIONS 37, 44). Pure: counts in, counts out.

Only what the receiver says of the address itself counts: a blocked sender, spam, a policy and a
failed authentication are our faults, and never an address's.
"""

import datetime as dt
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from chappe_sender.domain.bounces.events import BounceClass, Kind, ProviderEvent

HARD: Final = frozenset({BounceClass.INVALID_RECIPIENT, BounceClass.INACTIVE_MAILBOX})
_SOFT: Final = frozenset(
    {
        BounceClass.INVALID_RECIPIENT, BounceClass.INACTIVE_MAILBOX, BounceClass.CONNECTION,
        BounceClass.EXPIRED, BounceClass.SERVER_ERROR, BounceClass.UNKNOWN,
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rules:
    """A workspace's policy.

    Suppressed are: at once, who is unknown or gone; after ``soft_bounces`` soft ones in a row over
    at least ``soft_days``; after ``full_bounces`` full mailboxes within ``full_days``; who is at a
    domain that was dead twice, ``bad_domain_hours`` apart. At a site where within ``spike_minutes``
    there were ``spike_bounces`` hard bounces or more, and they are ``spike_percent`` of all
    verdicts, addresses are quarantined instead, for ``quarantine_hours``.
    """

    soft_bounces: int = 5
    soft_days: int = 7
    full_bounces: int = 3
    full_days: int = 30
    bad_domain_hours: int = 24
    spike_bounces: int = 50
    spike_percent: int = 20
    spike_minutes: int = 60
    quarantine_hours: int = 24


@dataclass(frozen=True, slots=True)
class Health:
    """What is held against an address, or a domain (``bad_since`` alone)."""

    soft: int = 0
    soft_since: dt.datetime | None = None
    full: int = 0
    full_since: dt.datetime | None = None
    bad_since: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """The verdicts of one MX site within the spike's window."""

    delivered: int = 0
    hard: int = 0


class Reason(StrEnum):
    """Why an address is suppressed, as the suppression says it."""

    BOUNCED = "bounced"
    QUARANTINED = "quarantined"
    COMPLAINED = "complained"


@dataclass(frozen=True, slots=True)
class Judged:
    """What becomes of the address, the address's health and its domain's."""

    reason: Reason | None
    health: Health
    domain: Health


def judge(
    event: ProviderEvent,
    *,
    foreign: bool,
    health: Health,
    domain: Health,
    site: Site,
    rules: Rules,
    now: dt.datetime,
) -> Judged:
    """One fact about an address. ``foreign``: a server reported of another recipient than ours,
    which may only be where the mail was forwarded to.
    """
    match event.kind:
        case Kind.DELIVERED:
            return Judged(None, Health(), Health())
        case Kind.OPENED | Kind.CLICKED if not event.machine:
            return Judged(None, Health(), domain)
        case Kind.COMPLAINED:
            return Judged(Reason.COMPLAINED, health, domain)
        case Kind.BOUNCED | Kind.REJECTED:
            return _failed(event, health, domain, site, rules, now, foreign=foreign)
        case _:
            return Judged(None, health, domain)


def is_spike(site: Site, rules: Rules) -> bool:
    """Whether so many hard bounces at one site say more about the site than about addresses."""
    every = site.hard + site.delivered
    return site.hard >= rules.spike_bounces and 100 * site.hard >= rules.spike_percent * every


def is_hard(event: ProviderEvent, *, foreign: bool) -> bool:
    """Whether it says that the address is dead, for good, and of the address itself."""
    return event.permanent and not foreign and event.bounce_class in HARD


def _failed(
    event: ProviderEvent,
    health: Health,
    domain: Health,
    site: Site,
    rules: Rules,
    now: dt.datetime,
    *,
    foreign: bool,
) -> Judged:
    if is_hard(event, foreign=foreign):
        reason = Reason.QUARANTINED if is_spike(site, rules) else Reason.BOUNCED
        return Judged(reason, health, domain)
    if event.kind is Kind.REJECTED:
        return Judged(None, health, domain)
    if event.bounce_class is BounceClass.BAD_DOMAIN and not foreign:
        return _bad_domain(event, health, domain, rules, now)
    if event.bounce_class is BounceClass.MAILBOX_FULL and not foreign:
        return _full(health, domain, rules, now)
    if event.bounce_class in _SOFT or foreign:
        return _soft(health, domain, rules, now)
    return Judged(None, health, domain)


def _bad_domain(
    event: ProviderEvent, health: Health, domain: Health, rules: Rules, now: dt.datetime
) -> Judged:
    if not event.permanent:
        return Judged(None, health, domain)
    since = domain.bad_since or now
    dead = now - since >= dt.timedelta(hours=rules.bad_domain_hours)
    return Judged(Reason.BOUNCED if dead else None, health, replace(domain, bad_since=since))


def _full(health: Health, domain: Health, rules: Rules, now: dt.datetime) -> Judged:
    since = health.full_since
    if since is None or now - since > dt.timedelta(days=rules.full_days):
        health = replace(health, full=0, full_since=now)
    health = replace(health, full=health.full + 1)
    return Judged(Reason.BOUNCED if health.full >= rules.full_bounces else None, health, domain)


def _soft(health: Health, domain: Health, rules: Rules, now: dt.datetime) -> Judged:
    since = health.soft_since or now
    health = replace(health, soft=health.soft + 1, soft_since=since)
    over = now - since >= dt.timedelta(days=rules.soft_days)
    dead = health.soft >= rules.soft_bounces and over
    return Judged(Reason.BOUNCED if dead else None, health, domain)


def site_of(exchange: str) -> str:
    """The MX site of a mail exchanger's name: its last two labels, three under a short suffix.

    ``aspmx.l.google.com`` and ``alt1.aspmx.l.google.com`` are one site: ``google.com``.
    """
    labels = exchange.lower().rstrip(".").split(".")
    short = len(labels) > 2 and len(labels[-1]) == 2 and len(labels[-2]) <= 3  # noqa: PLR2004 - co.uk
    return ".".join(labels[-3:] if short else labels[-2:])


def domain_of(address: str) -> str:
    """The part behind the last @, in lower case."""
    return address.rpartition("@")[2].lower()
