"""One document per contact: what it told us, agreed to, did, and how it reads its mail.

It is read and written with every batch, so it stays small whatever a hostile or busy source sends:
every list and mapping has a bound, a text that is too long is not kept, and what makes room for
the new is chosen by rule, never by chance. Everything together is below ``PROFILE_BYTES_MAX``.
"""

import datetime as dt
import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec

from chappe.events import Consent, ConsentState, Event, claim_of, settle
from chappe.ids import EventId, MessageId, StepId
from chappe.journey.values import amount, as_list, as_mapping

SCHEMA = 2
"""1 had no topics, segments, hours or amounts; it is read as it is and written as 2."""

PROFILE_BYTES_MAX = 256 * 1024
COUNTED_NAMES_MAX = 64
COUNTED_DAYS_MAX = 62
"""A window of 60 days touches 61 of them."""
COUNTED_NAME_BYTES_MAX = 120
CURRENCIES_MAX = 3
AMOUNT_MAX = Decimal(10) ** 15
MAILS_MAX = 20
RECENT_MAX = 20
SEEN_MAX = 64
TRAITS_MAX = 100
TRAIT_BYTES_MAX = 1_024
TRAIT_NAME_BYTES_MAX = 100
TRAITS_BYTES_MAX = 32 * 1024
TAGS_MAX = 100
TAG_BYTES_MAX = 200
IDENTIFIERS_MAX = 10
IDENTIFIER_BYTES_MAX = 322
TOPICS_MAX = 50
TOPIC_BYTES_MAX = 102
SEGMENTS_MAX = 100
PROOF_BYTES_MAX = 200
ID_BYTES_MAX = 200
HOUR_COUNT_MAX = 200
SCORE_MAX = 1_000_000_000

KEPT_IDENTIFIERS = frozenset({"email", "phone", "external_id", "anonymous_id"})
CHANNELS = ("email", "sms", "tracking")
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)

ACTIVITY = frozenset({"cart", "checkout", "order", "product", "page", "custom"})
"""The families of events that a person does; with a human's opens and clicks they fill ``hours``.
"""

_encode = msgspec.json.Encoder(decimal_format="string").encode


class Spent(msgspec.Struct, array_like=True):
    """The sum and the largest of ``data.total``, in one currency."""

    sum: Decimal
    max: Decimal


class Counter(msgspec.Struct, array_like=True):
    """How often one event happened. ``days`` counts by day since 1970, for the last it saw;
    ``spent`` by currency.
    """

    total: int
    first: dt.datetime
    last: dt.datetime
    days: dict[int, int]
    spent: dict[str, Spent] = {}


class Mail(msgspec.Struct, omit_defaults=True):
    """One message asked for, and what its reader did with it."""

    message: MessageId
    journey: str
    step: StepId
    at: dt.datetime
    accepted: dt.datetime | None = None
    opened: dt.datetime | None = None
    clicked: dt.datetime | None = None


class Heard(msgspec.Struct, array_like=True):
    """One of the last events, for people to read."""

    name: str
    at: dt.datetime
    id: EventId


class Watch(msgspec.Struct, omit_defaults=True):
    """The one timer of a journey that a date of the contact, or its silence, begins.

    ``for_`` is the date or the day of the last activity that the timer stands for, ``entered``
    the last ones that were entered.
    """

    token: int = 0
    due_at: dt.datetime | None = None
    for_: str = ""
    entered: list[str] = []


class Reserved(msgspec.Struct, array_like=True):
    """A marketing message that counts against the frequency caps."""

    message: MessageId
    at: dt.datetime
    topic: str | None = None


class Profile(msgspec.Struct, omit_defaults=True):
    """One contact. ``identifiers`` hold the newest first; ``seen`` are hashes of event ids.

    ``consent`` is by channel, ``topics`` by topic opted out of (or back in), each with its time,
    source and proof. ``score`` stood so at ``score_at`` and decays from there. ``hours`` counts
    what the person did by hour of the week in UTC (0: Monday 00:00).
    """

    traits: dict[str, Any] = {}
    identifiers: dict[str, list[str]] = {}
    consent: dict[str, Consent] = {}
    tags: list[str] = []
    counters: dict[str, Counter] = {}
    mails: list[Mail] = []
    recent: list[Heard] = []
    seen: list[str] = []
    score: int | float = 0
    watches: dict[str, Watch] = {}
    reserved: list[Reserved] = []
    schema: int = 1
    topics: dict[str, Consent] = {}
    segments: list[str] = []
    hours: dict[int, int] = {}
    score_at: dt.datetime | None = None

    @property
    def email(self) -> str | None:
        """Where mail for this contact goes."""
        held = self.identifiers.get("email")
        return held[0] if held else None


class ProfileTooNewError(Exception):
    """The document was written by a later Chappe: reading it would lose what we do not know."""


_decode = msgspec.json.Decoder(Profile).decode


def read_profile(doc: bytes) -> Profile:
    """A stored document, of this schema or an older one. Raises ``ProfileTooNewError``."""
    profile = _decode(doc)
    if profile.schema > SCHEMA:
        raise ProfileTooNewError(f"a profile of schema {profile.schema}; this knows {SCHEMA}")
    return profile


# -- hearing ------------------------------------------------------------------------------------


def absorb(profile: Profile, event: Event, now: dt.datetime) -> None:
    """Let a fact change the profile, which is handed over; what it does not concern stays.

    Nothing that an event contains makes it raise. A copy of another contact's fact says nothing
    about this one.
    """
    if event.flags.copy:
        return
    profile.schema = SCHEMA
    at = min(event.occurred_at, now)
    if not event.flags.unverified:
        if event.identifiers:
            _learn_identifiers(profile, event)
        if event.traits:
            _learn_traits(profile, event)
    _learn_consent(profile, event)
    if is_human(event):
        _count(profile, event, at)
    if event.name.startswith("email."):
        _remember_engagement(profile, event, at)
    if len(event.id) <= ID_BYTES_MAX // 2 and len(event.name) <= COUNTED_NAME_BYTES_MAX:
        profile.recent.append(Heard(event.name, at, event.id))
        if len(profile.recent) > RECENT_MAX:
            del profile.recent[0]


def has_seen(profile: Profile, event: str) -> bool:
    """True when this event id is among the last that the contact saw."""
    return _mark(event) in profile.seen


def _mark(event: str) -> str:
    digest = hashlib.blake2b(event.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return urlsafe_b64encode(digest)[:11].decode()


def is_repeat(profile: Profile, event: Event) -> bool:
    """True when this event id is among the last that the contact saw; otherwise remember it."""
    mark = _mark(event.id)
    if mark in profile.seen:
        return True
    profile.seen.append(mark)
    if len(profile.seen) > SEEN_MAX:
        del profile.seen[0]
    return False


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


def day_of(at: dt.datetime) -> int:
    """The number of the UTC day since 1970."""
    return (at - EPOCH) // DAY


def set_trait(profile: Profile, name: str, value: Any) -> bool:
    """Set an attribute, or remove it with None; False when nothing changed or it has no room."""
    held = profile.traits
    if value is None:
        return held.pop(name, None) is not None
    if name in held and held[name] == value and type(held[name]) is type(value):
        return False
    if not _has_room(held, name, value):
        return False
    held[name] = value
    return True


def _has_room(held: dict[str, Any], name: str, value: Any) -> bool:
    if name not in held and (len(held) >= TRAITS_MAX or not _fits(name, TRAIT_NAME_BYTES_MAX)):
        return False
    size = len(_encode(value))
    if size > TRAIT_BYTES_MAX:
        return False
    # Most attributes are short: only with many of them is it worth looking at all.
    if len(held) * 64 + size < TRAITS_BYTES_MAX // 8:
        return True
    return len(_encode({**held, name: value})) <= TRAITS_BYTES_MAX


def _fits(text: str, most: int) -> bool:
    """Whether ``text`` takes at most ``most`` bytes in JSON."""
    return len(text) * 6 <= most or len(_encode(text)) <= most


def _learn_identifiers(profile: Profile, event: Event) -> None:
    for known in event.identifiers:
        if known.type not in KEPT_IDENTIFIERS:
            continue
        held = profile.identifiers.get(known.type)
        if held is None:
            held = []
        elif held and held[0] == known.value:
            continue
        if not _fits(known.value, IDENTIFIER_BYTES_MAX):
            continue
        profile.identifiers[known.type] = held
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
        else:
            set_trait(profile, name, value)


def _learn_tags(profile: Profile, value: Any) -> None:
    said = as_list(value)
    if said is not None:
        profile.tags = kept_tags(said)


def kept_tags(said: Iterable[Any]) -> list[str]:
    """Those of the tags that are kept: the first ones, each once, none too long."""
    texts = (tag for tag in said if isinstance(tag, str) and _fits(tag, TAG_BYTES_MAX))
    return list(dict.fromkeys(texts))[:TAGS_MAX]


def _learn_consent(profile: Profile, event: Event) -> None:
    name = event.name
    if name in ("email.unsubscribed", "email.complained", "email.subscribed"):
        if event.data.get("scope") == "topic":
            _learn_topic(profile, event)
        elif name != "email.subscribed":
            profile.consent["email"] = _refused(profile.consent.get("email"), event)
        return
    if "consent" not in event.traits:
        return
    for channel in CHANNELS:
        claim = claim_of(event, channel)
        if claim is not None:
            profile.consent[channel] = _short(settle(profile.consent.get(channel), claim))


def _learn_topic(profile: Profile, event: Event) -> None:
    """An opt-out of one topic, or its taking back, the later of the two."""
    topic = event.data.get("topic")
    if not isinstance(topic, str) or not _fits(topic, TOPIC_BYTES_MAX):
        return
    held = profile.topics.get(topic)
    if event.name != "email.subscribed":
        profile.topics[topic] = _refused(held, event)
    elif held is not None and event.occurred_at > held.at and not event.flags.unverified:
        said = Consent(ConsentState.SUBSCRIBED, event.occurred_at, event.source, event.id)
        profile.topics[topic] = _short(said)
    if len(profile.topics) > TOPICS_MAX:
        # The oldest word goes, one that says no more than the default before any that refuses.
        del profile.topics[
            min(
                profile.topics,
                key=lambda name: (
                    profile.topics[name].state is ConsentState.UNSUBSCRIBED,
                    profile.topics[name].at,
                ),
            )
        ]


def _refused(held: Consent | None, event: Event) -> Consent:
    """Leaving always takes effect, from the later of its time and our last change."""
    at = max(event.occurred_at, held.at) if held else event.occurred_at
    return _short(Consent(ConsentState.UNSUBSCRIBED, at, event.source, event.id))


def _short(said: Consent) -> Consent:
    """A source or a proof that is too long to be one is not kept."""
    source = said.source if said.source and _fits(said.source, PROOF_BYTES_MAX) else None
    proof = said.proof if said.proof and _fits(said.proof, PROOF_BYTES_MAX) else None
    if (source, proof) == (said.source, said.proof):
        return said
    return Consent(said.state, said.at, source, proof)


def _count(profile: Profile, event: Event, at: dt.datetime) -> None:
    counter = profile.counters.get(event.name)
    day = (at - EPOCH).days
    if counter is None:
        if not _fits(event.name, COUNTED_NAME_BYTES_MAX):
            return
        if len(profile.counters) >= COUNTED_NAMES_MAX:
            _forget_one(profile)
        counter = profile.counters[event.name] = Counter(1, at, at, {day: 1})
    else:
        counter.total += 1
        counter.first = min(counter.first, at)
        counter.last = max(counter.last, at)
        days = counter.days
        days[day] = days.get(day, 0) + 1
        if len(days) > COUNTED_DAYS_MAX:
            del days[min(days)]
    if (total := event.data.get("total")) is not None:
        _add_up(counter, total)
    if event.name.partition(".")[0] in ACTIVITY or event.name in ("email.opened", "email.clicked"):
        _remember_hour(profile, at)


def _add_up(counter: Counter, total: Any) -> None:
    priced = as_mapping(total)
    if priced is None:
        return
    currency, size = priced.get("currency"), amount(priced.get("amount"))
    if size is None or abs(size) >= AMOUNT_MAX or not isinstance(currency, str):
        return
    held = counter.spent.get(currency)
    if held is not None:
        held.sum += size
        held.max = max(held.max, size)
    elif len(counter.spent) < CURRENCIES_MAX and len(currency) == 3 and currency.isascii():  # noqa: PLR2004 - ISO 4217
        counter.spent[currency] = Spent(size, size)


def _remember_hour(profile: Profile, at: dt.datetime) -> None:
    """Count by hour of the week; when one is full all are halved, so that habits may change."""
    hours = profile.hours
    hour = at.weekday() * 24 + at.hour
    held = hours.get(hour, 0) + 1
    hours[hour] = held
    if held > HOUR_COUNT_MAX:
        profile.hours = {one: count // 2 for one, count in hours.items() if count > 1}


def _forget_one(profile: Profile) -> None:
    """Make room for a new name: custom ones go first, the longest unseen of them."""

    def worth(name: str) -> tuple[bool, dt.datetime, str]:
        return not name.startswith("custom."), profile.counters[name].last, name

    del profile.counters[min(profile.counters, key=worth)]


def _remember_engagement(profile: Profile, event: Event, at: dt.datetime) -> None:
    message = message_of(event)
    mail = mail_of(profile, message) if message is not None else None
    if mail is None:
        return
    if event.name in ("email.accepted", "email.delivered"):
        mail.accepted = mail.accepted or at
    elif event.name in ("email.opened", "email.clicked") and is_human(event):
        # Nobody clicks a mail without having opened it.
        mail.opened = mail.opened or at
        if event.name == "email.clicked":
            mail.clicked = mail.clicked or at


def mail_of(profile: Profile, message: MessageId) -> Mail | None:
    """One of the last mails, by its message id."""
    for mail in profile.mails:
        if mail.message == message:
            return mail
    return None


# -- score --------------------------------------------------------------------------------------


def score_now(profile: Profile, now: dt.datetime, half_life: dt.timedelta | None = None) -> float:
    """The score at ``now``, to two places; without ``half_life`` it does not decay."""
    if half_life is None or profile.score_at is None or not profile.score:
        return profile.score
    age = max(dt.timedelta(), now - profile.score_at)
    return round(profile.score * 0.5 ** (age / half_life), 2)


def add_score(
    profile: Profile, by: float, now: dt.datetime, half_life: dt.timedelta | None = None
) -> float:
    """Add to what is left of the score; returns it."""
    score = max(-SCORE_MAX, min(SCORE_MAX, score_now(profile, now, half_life) + by))
    profile.score = score
    profile.score_at = now if half_life is not None else None
    return score


# -- two into one ---------------------------------------------------------------------------------


def merge(mine: Profile, other: Profile) -> None:
    """Fold ``other`` into ``mine``: one person was known as two.

    The newer of the two says what both say; a refusal wins whenever it was made; what was done
    adds up. Segments are not taken over: membership is looked at again.
    """
    newer, older = (other, mine) if _last_heard(other) > _last_heard(mine) else (mine, other)
    older_traits, newer_traits = older.traits, newer.traits
    mine.schema = SCHEMA
    mine.traits = {}
    for name, value in [*newer_traits.items(), *older_traits.items()]:
        if name not in mine.traits:
            set_trait(mine, name, value)
    mine.tags = kept_tags([*mine.tags, *other.tags])
    for kind, values in other.identifiers.items():
        held = mine.identifiers.get(kind, [])
        mine.identifiers[kind] = list(dict.fromkeys([*held, *values]))[:IDENTIFIERS_MAX]
    for channel, said in other.consent.items():
        mine.consent[channel] = careful(mine.consent.get(channel), said)
    for topic, said in other.topics.items():
        if topic in mine.topics or len(mine.topics) < TOPICS_MAX:
            mine.topics[topic] = careful(mine.topics.get(topic), said)
    for name, counter in other.counters.items():
        _fold_counter(mine, name, counter)
    mine.mails = sorted([*mine.mails, *other.mails], key=lambda mail: mail.at)[-MAILS_MAX:]
    mine.recent = sorted([*mine.recent, *other.recent], key=lambda one: one.at)[-RECENT_MAX:]
    mine.seen = list(dict.fromkeys([*other.seen, *mine.seen]))[-SEEN_MAX:]
    mine.score = max(-SCORE_MAX, min(SCORE_MAX, mine.score + other.score))
    mine.score_at = max((at for at in (mine.score_at, other.score_at) if at), default=None)
    for hour, count in other.hours.items():
        mine.hours[hour] = min(HOUR_COUNT_MAX, mine.hours.get(hour, 0) + count)


def careful(held: Consent | None, said: Consent) -> Consent:
    """Unsubscribed wins, whenever it was said; else the later word."""
    if held is None:
        return said
    one, other = (held.state is ConsentState.UNSUBSCRIBED, said.state is ConsentState.UNSUBSCRIBED)
    if one != other:
        return held if one else said
    return said if said.at > held.at else held


def _last_heard(profile: Profile) -> dt.datetime:
    return max((one.at for one in profile.recent), default=EPOCH)


def _fold_counter(profile: Profile, name: str, other: Counter) -> None:
    mine = profile.counters.get(name)
    if mine is None:
        if len(profile.counters) >= COUNTED_NAMES_MAX:
            _forget_one(profile)
        profile.counters[name] = other
        return
    mine.total += other.total
    mine.first = min(mine.first, other.first)
    mine.last = max(mine.last, other.last)
    for day, count in other.days.items():
        mine.days[day] = mine.days.get(day, 0) + count
    for day in sorted(mine.days)[:-COUNTED_DAYS_MAX]:
        del mine.days[day]
    for currency, spent in other.spent.items():
        held = mine.spent.get(currency)
        if held is not None:
            held.sum += spent.sum
            held.max = max(held.max, spent.max)
        elif len(mine.spent) < CURRENCIES_MAX:
            mine.spent[currency] = spent
