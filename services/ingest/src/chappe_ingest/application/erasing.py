"""Forget a person: what the resolver knows of them, and whatever would bring them back.

The names become keyed hashes. Imports, pollers, backfills and replays that name one of them are
left out, and so is what had come before the erasure and was still on its way: in a spool, in the
quarantine, waiting for its shop. A fresh, trusted, live delivery makes a new contact, without the
old consent.
"""

from collections.abc import Iterable
from typing import Final

from chappe.events import Event, Identifier, RawRecord, rename
from chappe.ids import ContactId, EventId, SourceId, derived
from chappe_ingest.application.rows import Erasure, Held, Outcome
from chappe_ingest.domain import identity, marks, merging
from chappe_ingest.domain.identifiers import EMAIL, EXTERNAL_ID, PHONE, PRIORITY
from chappe_ingest.domain.normalised import Fact

ERASE: Final = "privacy.erase_requested"
ERASE_SHOP: Final = "privacy.shop_erase_requested"
PRIVACY: Final = "privacy."
_NOT_FRESH: Final = (marks.HISTORICAL, marks.PULLED, marks.REPLAY)


def asked(facts: Iterable[Fact]) -> Event | None:
    """The request to erase somebody, if the delivery is one."""
    return next((fact.event for fact in facts if fact.event.name == ERASE), None)


def shops_asking(facts: Iterable[Fact]) -> list[Event]:
    """Requests to erase everybody; they name no contact, and become an operator's task."""
    return [fact.event for fact in facts if fact.event.name == ERASE_SHOP]


def is_kept_out(
    claim: identity.Claim, facts: Iterable[Fact], raw: RawRecord, view: identity.View
) -> bool:
    """True when the delivery names somebody who was erased, and is not fresh, trusted news."""
    keys = (identity.key_of(claim.workspace, each) for each in claim.identifiers)
    erased = [each.at for key in keys if (each := view.erased.get(key)) is not None]
    if not erased:
        return False
    old = raw.received_at < max(erased) or any(mark in raw.headers for mark in _NOT_FRESH)
    return old or not claim.trusted or any(fact.event.flags.historical for fact in facts)


def names_nobody(claim: identity.Claim, facts: Iterable[Fact], view: identity.View) -> bool:
    """True for a request about somebody we do not know: it must not make them known."""
    private = any(fact.event.name.startswith(PRIVACY) for fact in facts)
    if not private or claim.contact is not None:
        return False
    keys = (identity.key_of(claim.workspace, each) for each in claim.identifiers)
    return not any(key in view.bindings for key in keys)


def drop(source: SourceId, claim: identity.Claim, held: Held, outcome: Outcome) -> None:
    """Leave a delivery out, and keep no trace of whom it named."""
    outcome.dropped[source] = outcome.dropped.get(source, 0) + 1
    keys = (identity.key_of(claim.workspace, each) for each in claim.identifiers)
    outcome.unnamed.update(key for key in keys if key not in held.view.bindings)


def erase(request: Event, claim: identity.Claim, held: Held, outcome: Outcome) -> list[Event]:
    """Forget everybody whom the request names; what leaves tells the other services."""
    if not claim.trusted:
        return []
    named = tuple(identity.key_of(claim.workspace, each) for each in claim.identifiers)
    contacts = _contacts(claim, held.view)
    events = [_told(request, at, each, claim, held) for at, each in enumerate(contacts)]
    for contact in contacts:
        merging.forget(held.view, claim.workspace, contact, request.received_at)
        held.contacts.pop((claim.workspace, contact), None)
        outcome.created.discard((claim.workspace, contact))
        outcome.stated.discard((claim.workspace, contact))
    for key in named:
        if key not in held.view.bindings:
            held.view.erased.setdefault(key, identity.Erased(1, request.received_at))
    outcome.unnamed.update(key for key in named if key not in held.view.bindings)
    outcome.erasures += [
        Erasure(event, event.contact, named if at == 0 else ())
        for at, event in enumerate(events or [request])
    ]
    return events


def _contacts(claim: identity.Claim, view: identity.View) -> list[ContactId]:
    """Whoever has the id or the address; whoever has the phone only when nobody has those."""
    if claim.contact is not None:
        return [claim.contact]
    for kinds in ((EXTERNAL_ID, EMAIL), (PHONE,), tuple(PRIORITY)):
        keys = [identity.key_of(claim.workspace, i) for i in claim.identifiers if i.type in kinds]
        found = [view.bindings[key].contact for key in keys if key in view.bindings]
        if found:
            return list(dict.fromkeys(found))
    return []


def _told(request: Event, at: int, contact: ContactId, claim: identity.Claim, held: Held) -> Event:
    """With every address we knew: the sender keeps its promise by address too."""
    names = held.view.names.get(contact, {})
    known = [Identifier(kind, value) for _, kind, value in sorted(names)]
    stated = [
        each
        for each in claim.identifiers
        if (b := held.view.bindings.get(identity.key_of(claim.workspace, each))) is not None
        and b.contact == contact
    ]
    return rename(
        request,
        id=request.id if at == 0 else EventId(derived("e_", request.id, contact)),
        contact=contact,
        identifiers=tuple(dict.fromkeys([*stated, *known])),
        traits={},
    )
