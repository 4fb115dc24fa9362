"""Who is to become whom: merges that a delivery states, or that its names make plain.

Two known people become one only when a trusted source says so in as many words: a shop's merge,
an ``alias``. A nameless visitor becomes the known person whose server names both. A key that
everybody can read never joins anybody.
"""

from collections.abc import Iterable

from chappe.events import Event, Identifier, rename
from chappe.ids import ContactId, EventId, WorkspaceId, derived
from chappe_ingest.application.rows import ContactKey, Held, Outcome
from chappe_ingest.domain import identity, merging
from chappe_ingest.domain.identifiers import ANONYMOUS_ID, EXTERNAL_ID, external_id
from chappe_ingest.domain.normalised import Fact

MERGED = "contact.merged"
_ALIAS = "alias"
_SPEAKS_OF_A_PERSON = frozenset({"contact.updated", "contact.created", MERGED})


def also_named(fact: Fact, namespace: str) -> Iterable[Identifier]:
    """Names of the one who goes, which are not names of the one the fact is about."""
    event = fact.event
    if event.name == MERGED and isinstance(gone := event.data.get("from_external_id"), str):
        yield Identifier(EXTERNAL_ID, gone)
    if event.source_event == _ALIAS:
        for each in event.identifiers:
            # The earlier name may be a user's as well as a visitor's.
            known = external_id(each.value, namespace) if each.type == ANONYMOUS_ID else None
            if known is not None:
                yield known


def those_who_go(
    facts: Iterable[Fact],
    namespace: str,
    claim: identity.Claim,
    found: identity.Resolution,
    view: identity.View,
) -> list[ContactId]:
    """The contacts that ``found`` absorbs."""
    if not claim.trusted:
        return []
    gone: list[ContactId] = []
    for fact in facts:
        for each in also_named(fact, namespace):
            binding = view.bindings.get(identity.key_of(claim.workspace, each))
            if binding is not None:
                gone.append(binding.contact)
        if fact.event.name in _SPEAKS_OF_A_PERSON and view.is_known(found.contact):
            gone += _visitors(found, view)
    return [each for each in dict.fromkeys(gone) if each != found.contact]


def _visitors(found: identity.Resolution, view: identity.View) -> Iterable[ContactId]:
    for conflict in found.conflicts:
        holder = conflict.held_by
        nameless = holder is not None and not view.names.get(holder)
        if conflict.identifier.type == ANONYMOUS_ID and holder is not None and nameless:
            yield holder


def join(
    workspace: WorkspaceId, gone: ContactId, into: ContactId, held: Held, outcome: Outcome
) -> None:
    """Make ``gone`` and ``into`` one in what is held, and remember it for the tables."""
    moved = merging.merge(held.view, workspace, gone, into)
    outcome.bound.update(key for key in moved if key in outcome.bound)
    lost: ContactKey = (workspace, gone)
    kept: ContactKey = (workspace, into)
    said = held.contacts.pop(lost, {})
    held.contacts[kept] = merging.folded(held.contacts.get(kept, {}), said)
    for rows in (outcome.created, outcome.stated):
        rows.discard(lost)
    outcome.stated.add(kept)
    outcome.merged.append((workspace, gone, into))


def bind_the_lost(
    facts: Iterable[Fact],
    claim: identity.Claim,
    into: ContactId,
    held: Held,
    outcome: Outcome,
) -> None:
    """The number of a customer who is gone into another leads to that one from now on."""
    if not claim.trusted:
        return
    for fact in facts:
        if fact.event.name != MERGED:
            continue
        for each in also_named(fact, ""):
            key = identity.key_of(claim.workspace, each)
            if key not in held.view.bindings:
                held.view.bind(key, identity.Binding(into, claim.scope))
                outcome.bound.add(key)


def told(event: Event, gone: Iterable[ContactId], into: ContactId) -> list[Event]:
    """Each merge, told to both: the one who goes hears it first."""
    return [
        rename(
            event,
            id=EventId(derived("e_", event.workspace, MERGED, each, into, contact, event.id)),
            name=MERGED,
            contact=contact,
            identifiers=(),
            object=None,
            traits={},
            data={"from": each, "into": into},
        )
        for each in gone
        for contact in (each, into)
    ]
