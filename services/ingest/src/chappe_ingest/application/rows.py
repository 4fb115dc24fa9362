"""The resolver's rows in memory: what a batch holds locked, and what it makes of it."""

from dataclasses import dataclass, field
from typing import TypeAlias

from chappe.events import Event, RawRecord
from chappe.ids import ContactId, SourceId, WorkspaceId
from chappe_ingest.application.hydration import Asking
from chappe_ingest.domain import consent, identity
from chappe_ingest.domain.normalised import Effect

Delivery: TypeAlias = tuple[str, str]
"""A source and the name of one of its deliveries."""
Meaning: TypeAlias = tuple[WorkspaceId, str]
ObjectKey: TypeAlias = tuple[WorkspaceId, str, str, str]
"""Workspace, scope, type, id."""
ContactKey: TypeAlias = tuple[WorkspaceId, ContactId]


@dataclass(frozen=True, slots=True)
class Erasure:
    """One contact, or nobody, and the names that must not bring it back."""

    event: Event
    contact: ContactId | None
    named: tuple[identity.Key, ...]


@dataclass(slots=True)
class Held:
    """What the locked rows say; ``decide`` writes into it what they become."""

    view: identity.View = field(default_factory=identity.View)
    contacts: dict[ContactKey, consent.Statements] = field(
        default_factory=dict[ContactKey, consent.Statements]
    )
    redirects: dict[ContactKey, ContactId] = field(default_factory=dict[ContactKey, ContactId])
    """Contacts that were merged away, and who they are now."""
    delivered: set[Delivery] = field(default_factory=set[Delivery])
    meant: set[Meaning] = field(default_factory=set[Meaning])
    versions: dict[ObjectKey, str] = field(default_factory=dict[ObjectKey, str])


@dataclass(slots=True)
class Outcome:
    """Which rows changed over the batch, what senders want of us, how often nothing was new."""

    created: set[ContactKey] = field(default_factory=set[ContactKey])
    stated: set[ContactKey] = field(default_factory=set[ContactKey])
    bound: set[identity.Key] = field(default_factory=set[identity.Key])
    ordered: set[identity.Key] = field(default_factory=set[identity.Key])
    conflicts: list[tuple[WorkspaceId, identity.Conflict]] = field(
        default_factory=list[tuple[WorkspaceId, identity.Conflict]]
    )
    wishes: list[tuple[SourceId, Effect]] = field(default_factory=list[tuple[SourceId, Effect]])
    asked: list[Asking] = field(default_factory=list[Asking])
    merged: list[tuple[WorkspaceId, ContactId, ContactId]] = field(
        default_factory=list[tuple[WorkspaceId, ContactId, ContactId]]
    )
    """Who went into whom, in order."""
    erasures: list[Erasure] = field(default_factory=list[Erasure])
    shops: list[tuple[RawRecord, Event]] = field(default_factory=list[tuple[RawRecord, Event]])
    """Shops that ask to erase all of their people."""
    unnamed: set[identity.Key] = field(default_factory=set[identity.Key])
    """Names of nobody that must leave no trace."""
    dropped: dict[SourceId, int] = field(default_factory=dict[SourceId, int])
    """Deliveries left out because they name somebody who was erased."""
    repeats: int = 0
