"""Whose event is it? Identifiers lead to contacts, and learn new ones.

Strongest first: external id, e-mail, phone, anonymous id, checkout token, cart token. The first
that is bound decides. What is bound never moves: an identifier of somebody else's stays there,
and the conflict is written down. New contact ids are derived, so that a replay agrees with itself.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import msgspec

from chappe.events import Identifier
from chappe.ids import ContactId, WorkspaceId, derived
from chappe_ingest.domain.identifiers import (
    EMAIL,
    EXTERNAL_ID,
    NAMES,
    PHONE,
    PRIORITY,
    TOKENS,
)

NAMES_MAX: Final = 5
"""E-mail addresses, phone numbers or external ids of one contact, each."""

Key: TypeAlias = tuple[WorkspaceId, str, str]


def key_of(workspace: WorkspaceId, identifier: Identifier) -> Key:
    return workspace, identifier.type, identifier.value


class Binding(msgspec.Struct, frozen=True):
    """One row: an identifier and its contact.

    ``scope`` is the shop that an external id is of; ``trusted`` once a verified source with a
    secret key has stated it.
    """

    contact: ContactId
    scope: str = ""
    trusted: bool = True


class Erased(msgspec.Struct, frozen=True):
    """How often a name was erased, and when the last request came in (business clock)."""

    times: int
    at: dt.datetime


@dataclass(slots=True)
class View:
    """The identifier rows of a batch, locked, and the names of the contacts they lead to."""

    bindings: dict[Key, Binding] = field(default_factory=dict[Key, Binding])
    names: dict[ContactId, dict[Key, Binding]] = field(
        default_factory=dict[ContactId, dict[Key, Binding]]
    )
    ordered: set[Key] = field(default_factory=set[Key])
    erased: dict[Key, Erased] = field(default_factory=dict[Key, Erased])
    """Names of people who were erased: a contact that has one now is another."""

    def bind(self, key: Key, binding: Binding) -> None:
        self.bindings[key] = binding
        if key[1] in NAMES:
            self.names.setdefault(binding.contact, {})[key] = binding

    def named(self, contact: ContactId, kind: str) -> int:
        return sum(1 for key in self.names.get(contact, {}) if key[1] == kind)

    def has_id_from(self, contact: ContactId, scope: str) -> bool:
        rows = self.names.get(contact, {}).items()
        return any(key[1] == EXTERNAL_ID and each.scope == scope for key, each in rows)

    def is_known(self, contact: ContactId) -> bool:
        """Some trusted source has named this person."""
        return any(each.trusted for each in self.names.get(contact, {}).values())


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What one delivery says about who it is about. ``trusted``: verified, and no public key.

    ``contact`` when the sender named the contact itself.
    """

    workspace: WorkspaceId
    scope: str
    identifiers: Sequence[Identifier]
    trusted: bool
    contact: ContactId | None = None


class Conflict(msgspec.Struct, frozen=True):
    """``identifier`` stays with ``held_by``; the event went to ``wanted_by``."""

    identifier: Identifier
    held_by: ContactId | None
    wanted_by: ContactId
    reason: str


class Resolution(msgspec.Struct, frozen=True, kw_only=True):
    """Whose it is.

    ``identifiers`` are those that are the contact's after this; ``attached`` the new ones of
    them. ``elsewhere`` are other contacts that hold one of the tokens.
    """

    contact: ContactId
    created: bool
    identifiers: tuple[Identifier, ...]
    attached: tuple[Identifier, ...]
    conflicts: tuple[Conflict, ...]
    elsewhere: tuple[ContactId, ...]


def resolve(view: View, claim: Claim) -> Resolution:
    """Find or name the contact. Pure: ``learn`` writes the outcome into the view.

    The claim has at least one identifier, or a contact.
    """
    ranked = sorted(claim.identifiers, key=lambda each: PRIORITY[each.type])
    held = {each: view.bindings.get(key_of(claim.workspace, each)) for each in ranked}
    contact, created, refused = _decide(view, claim, ranked, held)
    kept: list[Identifier] = []
    attached: list[Identifier] = []
    conflicts: list[Conflict] = []
    for each in ranked:
        binding = held[each]
        if binding is not None and binding.contact == contact:
            kept.append(each)
        elif binding is not None:
            reason = refused if refused and each.type in NAMES else _stays(view, binding.contact)
            conflicts.append(Conflict(each, binding.contact, contact, reason))
        elif created or _may_attach(view, claim, contact, each):
            kept.append(each)
            attached.append(each)
        else:
            conflicts.append(Conflict(each, None, contact, "not_attached"))
    return Resolution(
        contact=contact,
        created=created,
        identifiers=tuple(kept),
        attached=tuple(attached),
        conflicts=tuple(conflicts),
        elsewhere=_elsewhere(conflicts),
    )


def learn(view: View, claim: Claim, found: Resolution) -> None:
    """Write ``found`` into the view, so that the batch's next claim sees it."""
    for each in found.identifiers:
        key = key_of(claim.workspace, each)
        before = view.bindings.get(key)
        if before is None:
            view.bind(key, Binding(found.contact, claim.scope, claim.trusted))
        elif claim.trusted and not before.trusted:
            view.bind(key, Binding(before.contact, before.scope, trusted=True))


def remember_order(view: View, workspace: WorkspaceId, identifiers: Iterable[Identifier]) -> None:
    """These tokens have an order now: their carts are no longer abandoned."""
    view.ordered.update(key_of(workspace, each) for each in identifiers if each.type in TOKENS)


def is_ordered(view: View, workspace: WorkspaceId, identifiers: Iterable[Identifier]) -> bool:
    return any(key_of(workspace, each) in view.ordered for each in identifiers)


def _decide(
    view: View,
    claim: Claim,
    ranked: Sequence[Identifier],
    held: dict[Identifier, Binding | None],
) -> tuple[ContactId, bool, str | None]:
    """The contact, whether it is new, and why the one that was found was refused."""
    if claim.contact is not None:
        return claim.contact, False, None
    anchor = next((each for each in ranked if held[each] is not None), None)
    binding = held[anchor] if anchor else None
    strongest = ranked[0]
    if anchor is None or binding is None:
        return _new(view, claim.workspace, strongest), True, None
    unbound = [each for each in ranked if PRIORITY[each.type] < PRIORITY[anchor.type]]
    refused = _apart(view, claim, binding.contact, unbound)
    if refused is None:
        return binding.contact, False, None
    return _new(view, claim.workspace, strongest), True, refused


def _apart(
    view: View, claim: Claim, contact: ContactId, unbound: Sequence[Identifier]
) -> str | None:
    """Why the stronger names may not join ``contact``, or None: then they are learnt late."""
    for each in unbound:
        if each.type in NAMES and not claim.trusted and view.is_known(contact):
            return "public_source"
        if each.type == EXTERNAL_ID and view.has_id_from(contact, claim.scope):
            return "other_external_id"
        if each.type == EMAIL and view.named(contact, EMAIL):
            return "other_email"
        if each.type == PHONE and view.named(contact, PHONE) >= NAMES_MAX:
            return "too_many"
    return None


def _may_attach(view: View, claim: Claim, contact: ContactId, each: Identifier) -> bool:
    if each.type not in NAMES:
        return True
    if not claim.trusted and view.is_known(contact):
        return False
    return view.named(contact, each.type) < NAMES_MAX


def _stays(view: View, holder: ContactId) -> str:
    return "held_by_another" if view.is_known(holder) else "merge_wanted"


def _elsewhere(conflicts: Iterable[Conflict]) -> tuple[ContactId, ...]:
    holders = (
        each.held_by for each in conflicts if each.identifier.type in TOKENS and each.held_by
    )
    return tuple(dict.fromkeys(holders))


def _new(view: View, workspace: WorkspaceId, strongest: Identifier) -> ContactId:
    erased = view.erased.get(key_of(workspace, strongest))
    again = (str(erased.times),) if erased is not None else ()
    return ContactId(derived("c_", workspace, strongest.type, strongest.value, *again))
