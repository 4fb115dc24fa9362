"""Let an event change the profile: who the contact is, what it agreed to, what it did."""

import datetime as dt
import hashlib
from base64 import urlsafe_b64encode
from typing import Any

import msgspec

from chappe.events import Consent, ConsentState, Event, claim_of, settle
from chappe.ids import MessageId
from chappe.journey import as_list
from chappe_orchestrator.domain.facts import day_of
from chappe_orchestrator.domain.state import (
    COUNTED_DAYS_MAX,
    COUNTED_NAMES_MAX,
    IDENTIFIERS_MAX,
    RECENT_MAX,
    SEEN_MAX,
    TAGS_MAX,
    TRAIT_BYTES_MAX,
    TRAITS_MAX,
    Counter,
    Heard,
    Mail,
    Profile,
)

KEPT_IDENTIFIERS = frozenset({"email", "phone", "external_id", "anonymous_id"})
CHANNELS = ("email", "sms", "tracking")
IDENTIFIER_LENGTH_MAX = 320

_encode = msgspec.json.Encoder(decimal_format="string").encode


def is_repeat(profile: Profile, event: Event) -> bool:
    """True when this event id is among the last that the contact saw; otherwise remember it."""
    digest = hashlib.blake2b(event.id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    mark = urlsafe_b64encode(digest)[:11].decode()
    if mark in profile.seen:
        return True
    profile.seen.append(mark)
    if len(profile.seen) > SEEN_MAX:
        del profile.seen[0]
    return False


def hear(profile: Profile, event: Event) -> None:
    """Apply a fact to the profile. A copy of another contact's fact says nothing about this one."""
    if event.flags.copy:
        return
    if not event.flags.unverified:
        _learn_identifiers(profile, event)
        _learn_traits(profile, event)
    _learn_consent(profile, event)
    _count(profile, event)
    _remember_engagement(profile, event)
    profile.recent.append(Heard(event.name, event.occurred_at, event.id))
    if len(profile.recent) > RECENT_MAX:
        del profile.recent[0]


def message_of(event: Event) -> MessageId | None:
    """The message that an ``email.`` event is about."""
    if not event.name.startswith("email."):
        return None
    said = event.data.get("message_id") or event.data.get("message")
    return MessageId(said) if isinstance(said, str) else None


def is_human(event: Event) -> bool:
    """True unless the verdict on an open or click says that a machine did it."""
    is_mail = event.name.startswith("email.")
    return not is_mail or event.data.get("verdict") in (None, "human", "unsure")


def _learn_identifiers(profile: Profile, event: Event) -> None:
    for known in event.identifiers:
        if known.type not in KEPT_IDENTIFIERS or len(known.value) > IDENTIFIER_LENGTH_MAX:
            continue
        held = profile.identifiers.setdefault(known.type, [])
        if held and held[0] == known.value:
            continue
        if known.value in held:
            held.remove(known.value)
        if event.flags.historical:
            held.append(known.value)
        else:
            held.insert(0, known.value)
        del held[IDENTIFIERS_MAX:]


def _learn_traits(profile: Profile, event: Event) -> None:
    for name, value in event.traits.items():
        if name == "consent":
            continue
        if name == "tags":
            _learn_tags(profile, value)
        elif event.flags.historical and name in profile.traits:
            continue  # What happened long ago fills gaps; it does not overwrite.
        elif value is None:
            profile.traits.pop(name, None)
        elif _has_room(profile, name) and len(_encode(value)) <= TRAIT_BYTES_MAX:
            profile.traits[name] = value


def _has_room(profile: Profile, name: str) -> bool:
    return name in profile.traits or len(profile.traits) < TRAITS_MAX


def _learn_tags(profile: Profile, value: Any) -> None:
    said = as_list(value)
    if said is not None:
        profile.tags = [tag for tag in said if isinstance(tag, str)][:TAGS_MAX]


def _learn_consent(profile: Profile, event: Event) -> None:
    if event.name in ("email.unsubscribed", "email.complained"):
        if event.data.get("scope") != "topic":
            profile.consent["email"] = _refused(profile.consent.get("email"), event)
        return
    for channel in CHANNELS:
        claim = claim_of(event, channel)
        if claim is not None:
            profile.consent[channel] = settle(profile.consent.get(channel), claim)


def _refused(held: Consent | None, event: Event) -> Consent:
    """Leaving always takes effect, from the later of its time and our last change."""
    at = max(event.occurred_at, held.at) if held else event.occurred_at
    return Consent(ConsentState.UNSUBSCRIBED, at, event.source, event.id)


def _count(profile: Profile, event: Event) -> None:
    at = event.occurred_at
    counter = profile.counters.get(event.name)
    if counter is None:
        if len(profile.counters) >= COUNTED_NAMES_MAX:
            _forget_one(profile)
        profile.counters[event.name] = Counter(1, at, at, {day_of(at): 1})
        return
    counter.total += 1
    counter.first = min(counter.first, at)
    counter.last = max(counter.last, at)
    day = day_of(at)
    counter.days[day] = counter.days.get(day, 0) + 1
    if len(counter.days) > COUNTED_DAYS_MAX:
        del counter.days[min(counter.days)]


def _forget_one(profile: Profile) -> None:
    """Make room for a new name: custom ones go first, the longest unseen of them."""

    def worth(name: str) -> tuple[bool, dt.datetime]:
        return not name.startswith("custom."), profile.counters[name].last

    del profile.counters[min(profile.counters, key=worth)]


def _remember_engagement(profile: Profile, event: Event) -> None:
    message = message_of(event)
    if message is None:
        return
    mail = mail_of(profile, message)
    if mail is None:
        return
    at = event.occurred_at
    if event.name in ("email.accepted", "email.delivered"):
        mail.accepted = mail.accepted or at
    elif event.name in ("email.opened", "email.clicked") and is_human(event):
        # Nobody clicks a mail without having opened it.
        mail.opened = mail.opened or at
        if event.name == "email.clicked":
            mail.clicked = mail.clicked or at


def mail_of(profile: Profile, message: MessageId) -> Mail | None:
    """One of the last mails, by its message id."""
    return next((mail for mail in profile.mails if mail.message == message), None)
