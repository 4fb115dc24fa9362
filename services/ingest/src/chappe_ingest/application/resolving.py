"""Turn a batch of deliveries into events, against what the identity tables hold.

Two pure halves around one lock: ``understand`` says what the deliveries mean and which rows
they touch; ``decide`` says, from those rows, which events leave and what the rows become.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from chappe.events import Event, Flags, Identifier, RawRecord, rename
from chappe.ids import ContactId, EventId, SourceId, derived
from chappe_ingest.application import erasing, joining
from chappe_ingest.application.rows import (
    ContactKey,
    Delivery,
    Held,
    Meaning,
    ObjectKey,
    Outcome,
)
from chappe_ingest.domain import consent, identity, marks
from chappe_ingest.domain.identifiers import OBJECT, TOKENS
from chappe_ingest.domain.kind import Kind
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.normalised import Fact, Hydration, Normalised, scope_of
from chappe_ingest.domain.reading import Unreadable
from chappe_ingest.domain.roles import Role, within
from chappe_ingest.domain.source import Source, SourceState
from chappe_ingest.domain.sources import API, OWN, REGISTRY
from chappe_ingest.domain.taking import deliveries, kept_headers


@dataclass(frozen=True, slots=True)
class Known:
    """What a delivery's source says about reading it."""

    links: Links = field(default_factory=Links)
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    can_ask: bool = False
    """It has an API token: what its deliveries leave out can be asked for."""

    role: Role = Role.STORE


KnownOf: TypeAlias = Callable[[SourceId], Known]

_Key = TypeVar("_Key", bound=tuple[str, ...])

FETCHED: Final = "~"
"""Behind the version of an object that we fetched: its webhook, if it comes, is no news."""

_UNREADABLE: Final = "unreadable"
_UNVERIFIED: Final = "unverified"
_NO_CONTACT: Final = "no_such_contact"


@dataclass(frozen=True, slots=True)
class Understood:
    """One delivery and what it means. ``asks``: its shop is asked first, and its facts wait."""

    raw: RawRecord
    meant: Normalised
    asks: bool = False

    @property
    def delivery(self) -> Delivery:
        """The sender's own id, else ours: the same for a repeat of the same record."""
        headers = self.raw.headers
        replay = headers.get(marks.REPLAY)
        name = self.meant.delivery or self.raw.id
        if replay is not None:
            name = f"replay {replay} {self.raw.id}"
        if marks.DOCUMENT in headers or marks.WITHOUT in headers:
            name = f"hydrated {name}"
        return self.raw.source, name

    @property
    def object_key(self) -> ObjectKey | None:
        about = next((f.event.object for f in self.meant.facts if f.event.object), None)
        if about is None or about.version is None:
            return None
        return self.raw.workspace, scope_of(self.raw), about.type, about.id


@dataclass(frozen=True, slots=True)
class Refused:
    """A delivery that gives no events; it goes to the dead letters, with the reason in words."""

    raw: RawRecord | None
    kind: str
    reason: str


def understand(raw: RawRecord, known_of: KnownOf) -> Understood | Refused:
    """What ``raw`` means, or why it means nothing to us."""
    try:
        if raw.kind == API:
            return _understood(raw, OWN(raw, Links(keep=True)))
        kind = REGISTRY.get(raw.kind)
        if kind is None:
            return Refused(raw, _UNREADABLE, f"no source of the kind {raw.kind[:40]} is known here")
        known = known_of(raw.source)
        meant = within(known.role, _meaning(kind, raw, known))
        return _asking(raw, _understood(raw, meant), known)
    except Unreadable as error:
        return Refused(raw, _UNREADABLE, str(error))


def _meaning(kind: Kind, raw: RawRecord, known: Known) -> Normalised:
    """With the shop's answer where there is one that can be read."""
    document, why = raw.headers.get(marks.DOCUMENT), raw.headers.get(marks.WITHOUT)
    if document is not None and kind.hydrated is not None:
        try:
            return kind.hydrated(raw, document.encode(), known.links)
        except Unreadable as error:
            why = f"the shop's answer cannot be read: {error}"
    meant = kind.understands(known.config)(raw, known.links)
    if why is None:
        return meant
    return dataclasses.replace(meant, warnings=(*meant.warnings, why))


def _asking(raw: RawRecord, found: Understood, known: Known) -> Understood:
    """Asked once, of a shop that can be asked, about what is really from it."""
    headers, meant = raw.headers, found.meant
    asked = marks.DOCUMENT in headers or marks.WITHOUT in headers
    trusted = raw.verified is True and not raw.public
    if meant.hydration is None or asked or not known.can_ask or not trusted:
        return found
    return Understood(raw, dataclasses.replace(meant, facts=(), identifiers=()), asks=True)


def check(raw: RawRecord, source: Source | None) -> RawRecord | Refused:
    """``raw`` as its source says it is, now that the source can be asked; else why not."""
    if marks.CHECK not in raw.headers:
        return raw
    kind = REGISTRY.get(source.kind) if source is not None else None
    if source is None or kind is None or source.state is SourceState.DELETED:
        return Refused(None, _UNVERIFIED, "there is no such source")
    headers = [pair for pair in raw.headers.items() if pair[0] != marks.CHECK]
    at = raw.received_wall
    verdict = kind.verifies(source.config)(raw.body, headers, source.live_secrets(at), at)
    kept = kept_headers(kind.keeps(source.config), headers)
    known = msgspec.structs.replace(
        raw,
        workspace=source.workspace,
        kind=source.kind,
        namespace=source.namespace,
        public=source.public,
        headers=kept,
        verified=verdict.verified,
    )
    if verdict.verified:
        return known
    return Refused(known, _UNVERIFIED, f"not verified: {verdict.reason}")


def check_all(raw: RawRecord, source: Source | None) -> list[RawRecord | Refused]:
    """As ``check``; a delivery of several events is taken apart, as the door would have done."""
    found = check(raw, source)
    if found is raw or isinstance(found, Refused) or source is None:
        return [found]
    kind = REGISTRY[source.kind]
    if kind.split is None:
        return [found]
    headers = [pair for pair in raw.headers.items() if pair[0] != marks.CHECK]
    parts = deliveries(kind, source.config, raw.body, headers)
    return [
        msgspec.structs.replace(
            found,
            id=raw.id if len(parts) == 1 else f"{raw.id}.{number}",
            headers=part.headers,
            body=part.body,
        )
        for number, part in enumerate(parts, 1)
    ]


def _understood(raw: RawRecord, meant: Normalised) -> Understood:
    if marks.HISTORICAL not in raw.headers:
        return Understood(raw, meant)
    facts = tuple(
        msgspec.structs.replace(
            fact,
            event=rename(
                fact.event, flags=msgspec.structs.replace(fact.event.flags, historical=True)
            ),
        )
        for fact in meant.facts
    )
    return Understood(raw, dataclasses.replace(meant, facts=facts))


@dataclass(frozen=True, slots=True)
class Touched:
    """The rows a batch needs, each kind in the order in which it is locked."""

    deliveries: tuple[Delivery, ...]
    meanings: tuple[Meaning, ...]
    identifiers: tuple[identity.Key, ...]
    objects: tuple[ObjectKey, ...]
    contacts: tuple[ContactKey, ...]


def touched(batch: Iterable[Understood]) -> Touched:
    everything = tuple(batch)
    facts = [(each.raw, fact) for each in everything for fact in each.meant.facts]
    return Touched(
        deliveries=_sorted(each.delivery for each in everything),
        meanings=_sorted((raw.workspace, f.meaning) for raw, f in facts if f.meaning is not None),
        identifiers=_sorted(
            identity.key_of(each.raw.workspace, identifier)
            for each in everything
            for identifier in _names(each)
        ),
        objects=_sorted(key for each in everything if (key := each.object_key) is not None),
        contacts=_sorted(
            (each.raw.workspace, ContactId(each.meant.contact))
            for each in everything
            if each.meant.contact is not None
        ),
    )


def _names(each: Understood) -> Iterable[Identifier]:
    yield from each.meant.identifiers
    for fact in each.meant.facts:
        yield from joining.also_named(fact, each.raw.namespace)


def decide(each: Understood, held: Held, outcome: Outcome) -> list[Event] | Refused:
    """What leaves for one delivery; in log order, ``held`` becomes what the tables must say."""
    if each.delivery in held.delivered:
        outcome.repeats += 1
        return []
    held.delivered.add(each.delivery)
    raw, meant = each.raw, each.meant
    contact = ContactId(meant.contact) if meant.contact is not None else None
    if contact is not None:
        contact = held.redirects.get((raw.workspace, contact), contact)
    if raw.verified is True and not raw.public:
        outcome.shops += [(raw, event) for event in erasing.shops_asking(meant.facts)]
    if contact is not None and (raw.workspace, contact) not in held.contacts:
        if erasing.asked(meant.facts) is not None:
            return []  # Erased already.
        return Refused(raw, _NO_CONTACT, f"there is no contact {contact}")
    if raw.verified is True:
        outcome.wishes += [(raw.source, effect) for effect in meant.effects]
    if not meant.facts or (not meant.identifiers and contact is None):
        return []
    claim = identity.Claim(
        workspace=raw.workspace,
        scope=scope_of(raw),
        identifiers=meant.identifiers,
        trusted=raw.verified is True and not raw.public,
        contact=contact,
    )
    if (request := erasing.asked(meant.facts)) is not None:
        return erasing.erase(request, claim, held, outcome)
    if erasing.is_kept_out(claim, meant.facts, raw, held.view):
        erasing.drop(raw.source, claim, held, outcome)
        return []
    if erasing.names_nobody(claim, meant.facts, held.view):
        return []
    found, merged = _resolved(meant.facts, raw.namespace, claim, held, outcome)
    told_before = _was_told(each, held)
    outcome.repeats += told_before
    stale = _is_stale(each, held)
    return merged + [
        event
        for fact in meant.facts
        if fact.event.name != joining.MERGED
        if fact.meaning is not None or not told_before
        for event in _events(fact, raw, found, stale=stale, held=held, outcome=outcome)
    ]


def _resolved(
    facts: tuple[Fact, ...],
    namespace: str,
    claim: identity.Claim,
    held: Held,
    outcome: Outcome,
) -> tuple[identity.Resolution, list[Event]]:
    """Whose it is, and the merges that this makes plain."""
    found = identity.resolve(held.view, claim)
    gone = joining.those_who_go(facts, namespace, claim, found, held.view)
    for each in gone:
        joining.join(claim.workspace, each, found.contact, held, outcome)
    if gone:
        found = identity.resolve(held.view, claim)
    _learn(claim, found, held, outcome)
    joining.bind_the_lost(facts, claim, found.contact, held, outcome)
    return found, joining.told(facts[0].event, gone, found.contact)


def ask(each: Understood, held: Held, outcome: Outcome) -> Hydration | None:
    """What to ask the shop for ``each`` before it says anything; None: it is a repeat."""
    if each.delivery in held.delivered:
        outcome.repeats += 1
        return None
    held.delivered.add(each.delivery)
    return each.meant.hydration


def _learn(claim: identity.Claim, found: identity.Resolution, held: Held, outcome: Outcome) -> None:
    identity.learn(held.view, claim, found)
    where = (claim.workspace, found.contact)
    if where not in held.contacts:
        held.contacts[where] = {}
        outcome.created.add(where)
    outcome.bound.update(identity.key_of(claim.workspace, each) for each in found.identifiers)
    outcome.conflicts.extend((claim.workspace, each) for each in found.conflicts)


def _events(
    fact: Fact,
    raw: RawRecord,
    found: identity.Resolution,
    *,
    stale: bool,
    held: Held,
    outcome: Outcome,
) -> Iterable[Event]:
    event, workspace = fact.event, raw.workspace
    if event.name == "order.placed":
        tokens = [each for each in event.identifiers if each.type in TOKENS]
        identity.remember_order(held.view, workspace, tokens)
        outcome.ordered.update(identity.key_of(workspace, each) for each in tokens)
    if fact.meaning is not None:
        if (workspace, fact.meaning) in held.meant:
            outcome.repeats += 1
            return
        held.meant.add((workspace, fact.meaning))
    yield _addressed(event, found, stale=stale, held=held, outcome=outcome)
    if event.name.startswith("order."):
        for other in found.elsewhere:
            yield _copy(event, other)


def _addressed(
    event: Event, found: identity.Resolution, *, stale: bool, held: Held, outcome: Outcome
) -> Event:
    """The event with its contact, under those names alone that are the contact's."""
    where = (event.workspace, found.contact)
    traits, data = event.traits, event.data
    if "consent" in traits:
        traits = consent.dated(traits, event.source or "", event.occurred_at, held.contacts[where])
        outcome.stated.add(where)
    if stale:
        traits = {name: value for name, value in traits.items() if name == "consent"}
    if event.name.startswith(("cart.", "checkout.")) and identity.is_ordered(
        held.view, event.workspace, event.identifiers
    ):
        data = {**data, "completed": True}
    return rename(
        event,
        contact=found.contact,
        identifiers=tuple(each for each in found.identifiers if each.type != OBJECT),
        traits=traits,
        data=data,
    )


def _copy(event: Event, other: ContactId) -> Event:
    """The order, told to another contact that holds its cart: it exits and closes keys there."""
    flags = event.flags
    return rename(
        event,
        id=EventId(derived("e_", event.id, other, "copy")),
        contact=other,
        identifiers=_tokens(event.identifiers),
        traits={},
        flags=Flags(
            test=flags.test,
            historical=flags.historical,
            unverified=flags.unverified,
            derived=flags.derived,
            copy=True,
        ),
    )


def _tokens(identifiers: Iterable[Identifier]) -> tuple[Identifier, ...]:
    return tuple(each for each in identifiers if each.type in TOKENS)


def _was_told(each: Understood, held: Held) -> bool:
    """Whether this state is no news: fetched after it had come, or come after it was fetched.

    What can happen only once is still looked at, each by its own meaning.
    """
    key = each.object_key
    if key is None:
        return False
    version = _version(each)
    newest = held.versions.get(key, "")
    if marks.PULLED not in each.raw.headers:
        return newest == version + FETCHED
    if version <= newest.removesuffix(FETCHED):
        return True
    held.versions[key] = version + FETCHED
    return False


def _version(each: Understood) -> str:
    return next(f.event.object.version for f in each.meant.facts if f.event.object) or ""


def _is_stale(each: Understood, held: Held) -> bool:
    """An older state of an object than one we have seen: it happened, and overwrites nothing."""
    key = each.object_key
    if key is None:
        return False
    version = _version(each)
    newest = held.versions.get(key, "")
    held.versions[key] = max(newest, version)
    return version < newest.removesuffix(FETCHED)


def _sorted(keys: Iterable[_Key]) -> tuple[_Key, ...]:
    return tuple(sorted(set(keys)))
