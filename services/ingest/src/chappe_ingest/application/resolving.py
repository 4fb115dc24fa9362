"""Turn a batch of deliveries into events, against what the identity tables hold.

Two pure halves around one lock: ``understand`` says what the deliveries mean and which rows
they touch; ``decide`` says, from those rows, which events leave and what the rows become.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias, TypeVar

from chappe.events import Event, Flags, Identifier, RawRecord, rename
from chappe.ids import ContactId, EventId, SourceId, WorkspaceId, derived
from chappe_ingest.domain import consent, identity
from chappe_ingest.domain.identifiers import OBJECT, TOKENS
from chappe_ingest.domain.links import Links
from chappe_ingest.domain.normalised import Fact, Normalised, scope_of
from chappe_ingest.domain.reading import Unreadable
from chappe_ingest.domain.sources import API, NORMALISERS

LinksOf: TypeAlias = Callable[[SourceId], Links]
Delivery: TypeAlias = tuple[str, str]
"""A source and the name of one of its deliveries."""
Meaning: TypeAlias = tuple[WorkspaceId, str]
ObjectKey: TypeAlias = tuple[WorkspaceId, str, str, str]
"""Workspace, scope, type, id."""
ContactKey: TypeAlias = tuple[WorkspaceId, ContactId]

_Key = TypeVar("_Key", bound=tuple[str, ...])

_UNREADABLE: Final = "unreadable"
_NO_CONTACT: Final = "no_such_contact"


@dataclass(frozen=True, slots=True)
class Understood:
    """One delivery and what it means."""

    raw: RawRecord
    meant: Normalised

    @property
    def delivery(self) -> Delivery:
        """The sender's own id, else ours: the same for a repeat of the same record."""
        return self.raw.source, self.meant.delivery or self.raw.id

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


def understand(raw: RawRecord, links_of: LinksOf) -> Understood | Refused:
    """What ``raw`` means, or why it means nothing to us."""
    normalise = NORMALISERS.get(raw.kind)
    if normalise is None:
        return Refused(raw, _UNREADABLE, f"no source of the kind {raw.kind[:40]} is known here")
    links = Links(keep=True) if raw.kind == API else links_of(raw.source)
    try:
        return Understood(raw, normalise(raw, links))
    except Unreadable as error:
        return Refused(raw, _UNREADABLE, str(error))


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
            for identifier in each.meant.identifiers
        ),
        objects=_sorted(key for each in everything if (key := each.object_key) is not None),
        contacts=_sorted(
            (each.raw.workspace, ContactId(each.meant.contact))
            for each in everything
            if each.meant.contact is not None
        ),
    )


@dataclass(slots=True)
class Held:
    """What the locked rows say; ``decide`` writes into it what they become."""

    view: identity.View = field(default_factory=identity.View)
    contacts: dict[ContactKey, consent.Statements] = field(
        default_factory=dict[ContactKey, consent.Statements]
    )
    delivered: set[Delivery] = field(default_factory=set[Delivery])
    meant: set[Meaning] = field(default_factory=set[Meaning])
    versions: dict[ObjectKey, str] = field(default_factory=dict[ObjectKey, str])


@dataclass(slots=True)
class Outcome:
    """Which rows changed over the batch, and how often nothing was new."""

    created: set[ContactKey] = field(default_factory=set[ContactKey])
    stated: set[ContactKey] = field(default_factory=set[ContactKey])
    bound: set[identity.Key] = field(default_factory=set[identity.Key])
    ordered: set[identity.Key] = field(default_factory=set[identity.Key])
    conflicts: list[tuple[WorkspaceId, identity.Conflict]] = field(
        default_factory=list[tuple[WorkspaceId, identity.Conflict]]
    )
    repeats: int = 0


def decide(each: Understood, held: Held, outcome: Outcome) -> list[Event] | Refused:
    """What leaves for one delivery; in log order, ``held`` becomes what the tables must say."""
    if each.delivery in held.delivered:
        outcome.repeats += 1
        return []
    held.delivered.add(each.delivery)
    raw, meant = each.raw, each.meant
    contact = ContactId(meant.contact) if meant.contact is not None else None
    if contact is not None and (raw.workspace, contact) not in held.contacts:
        return Refused(raw, _NO_CONTACT, f"there is no contact {contact}")
    if not meant.facts or (not meant.identifiers and contact is None):
        return []
    claim = identity.Claim(
        workspace=raw.workspace,
        scope=scope_of(raw),
        identifiers=meant.identifiers,
        trusted=raw.verified is True and not raw.public,
        contact=contact,
    )
    found = identity.resolve(held.view, claim)
    _learn(claim, found, held, outcome)
    stale = _is_stale(each, held)
    return [
        event
        for fact in meant.facts
        for event in _events(fact, raw, found, stale=stale, held=held, outcome=outcome)
    ]


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


def _is_stale(each: Understood, held: Held) -> bool:
    """An older state of an object than one we have seen: it happened, and overwrites nothing."""
    key = each.object_key
    if key is None:
        return False
    version = next(f.event.object.version for f in each.meant.facts if f.event.object) or ""
    newest = held.versions.get(key, "")
    held.versions[key] = max(newest, version)
    return version < newest


def _sorted(keys: Iterable[_Key]) -> tuple[_Key, ...]:
    return tuple(sorted(set(keys)))
