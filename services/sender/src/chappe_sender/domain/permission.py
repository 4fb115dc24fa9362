"""What the sender itself knows about who may be written to, and how events change it."""

import datetime as dt
from dataclasses import dataclass, replace
from typing import Any, cast

from chappe.events import Consent, ConsentState, Event, claim_of, settle
from chappe_sender.domain.addresses import address_key

TOPICS_MAX = 200


@dataclass(frozen=True, slots=True)
class Permission:
    """One contact's. ``consent`` None: never said anything. ``tracking``: of being measured."""

    consent: Consent | None = None
    topics_out: frozenset[str] = frozenset()
    erased: bool = False
    tracking: Consent | None = None


@dataclass(frozen=True, slots=True)
class Suppress:
    """Do not write to ``address``: at all (scope ``""``) or about one topic."""

    address: str
    scope: str
    reason: str
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class Lift:
    """A newer consent takes back what an unsubscribe or erasure said about ``address``.

    ``at``: when the consent was given; what was said later stays.
    """

    address: str
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class Heard:
    """What one event changes."""

    permission: Permission
    suppressions: tuple[Suppress | Lift, ...] = ()


def concerns_permission(event: Event) -> bool:
    """Whether ``hear`` could change anything: most events say nothing here."""
    return event.name in _NAMES or "consent" in event.traits


_NAMES = frozenset(
    (
        "email.unsubscribed",
        "email.complained",
        "contact.deleted",
        "contact.merged",
        "privacy.erase_requested",
    )
)


def hear(held: Permission, event: Event) -> Heard:
    """Apply one event, in log order.

    An unsubscribe closes the whole channel, unless it says ``scope: topic``; a complaint closes the
    address for every mail; an erasure forgets the contact and closes the address until a newer
    consent.
    """
    match event.name:
        case "email.unsubscribed":
            return _unsubscribed(held, event)
        case "email.complained":
            lowered = replace(held, consent=_lowered(held.consent, event))
            return Heard(lowered, _by_address(event, "complained"))
        case "contact.deleted":
            erased = Permission(_lowered(None, event), frozenset(), erased=True)
            return Heard(erased, _by_address(event, "erased"))
        case "privacy.erase_requested":
            # The address is closed by its hash: ``Changes.forgotten``.
            return Heard(Permission(_lowered(None, event), frozenset(), erased=True))
        case _:
            return _claimed(held, event)


def together(into: Permission, gone: Permission) -> Permission:
    """What two contacts that are one person agreed to: the more careful of both."""
    return Permission(
        _careful(into.consent, gone.consent),
        frozenset(sorted(into.topics_out | gone.topics_out)[:TOPICS_MAX]),
        into.erased or gone.erased,
        _careful(into.tracking, gone.tracking),
    )


def _careful(one: Consent | None, other: Consent | None) -> Consent | None:
    if one is None or other is None:
        return one or other
    left = [each for each in (one, other) if each.state is ConsentState.UNSUBSCRIBED]
    return max(left or [one, other], key=lambda each: each.at)


def _unsubscribed(held: Permission, event: Event) -> Heard:
    topic = event.data.get("topic")
    if event.data.get("scope") == "topic" and isinstance(topic, str) and topic:
        out = frozenset(sorted(held.topics_out | {topic})[:TOPICS_MAX])
        return Heard(replace(held, topics_out=out), _by_address(event, "unsubscribed", topic))
    lowered = replace(held, consent=_lowered(held.consent, event))
    return Heard(lowered, _by_address(event, "unsubscribed"))


def _lowered(held: Consent | None, event: Event) -> Consent:
    """Unsubscribed from the event's time, or from our last change when that is later: leaving
    always takes effect.
    """
    at = max(event.occurred_at, held.at) if held is not None else event.occurred_at
    return Consent(ConsentState.UNSUBSCRIBED, at, event.source, event.id)


def _claimed(held: Permission, event: Event) -> Heard:
    permission = replace(
        held, topics_out=_topics(held.topics_out, event), tracking=_measured(held.tracking, event)
    )
    claim = claim_of(event)
    if claim is None:
        return Heard(permission)
    consent = settle(held.consent, claim)
    raised = consent is not held.consent and consent.state is ConsentState.SUBSCRIBED
    lifts = tuple(Lift(address, claim.at) for address in _addresses(event)) if raised else ()
    return Heard(replace(permission, consent=consent, erased=held.erased and not raised), lifts)


def _measured(held: Consent | None, event: Event) -> Consent | None:
    claim = claim_of(event, "tracking")
    return settle(held, claim) if claim is not None else held


def _topics(out: frozenset[str], event: Event) -> frozenset[str]:
    """``traits.consent.topics`` as the preferences page writes it: topic → state."""
    consent: Any = event.traits.get("consent")
    if not isinstance(consent, dict):
        return out
    topics: Any = cast("dict[str, Any]", consent).get("topics")
    if not isinstance(topics, dict):
        return out
    said = cast("dict[str, Any]", topics)
    left = {str(topic) for topic, state in said.items() if state == ConsentState.UNSUBSCRIBED}
    back = {str(topic) for topic, state in said.items() if state == ConsentState.SUBSCRIBED}
    return frozenset(sorted((out | left) - back)[:TOPICS_MAX])


def _by_address(event: Event, reason: str, scope: str = "") -> tuple[Suppress, ...]:
    return tuple(
        Suppress(address, scope, reason, event.occurred_at) for address in _addresses(event)
    )


def _addresses(event: Event) -> list[str]:
    found = [i.value for i in event.identifiers if i.type == "email"]
    if isinstance(said := event.data.get("address"), str) and said:
        found.append(said)
    return sorted({address_key(address) for address in found})
