"""REF: how people and programs name a contact.

An id, ``email:…``, ``phone:…``, ``external_id:…``, or another identifier by its type.
"""

from collections.abc import Sequence
from typing import Protocol

from chappe.events import Identifier
from chappe.ids import ContactId, WorkspaceId
from chappe_ingest.domain.reading import clean_text
from chappe_ingest.domain.sources.api import identifier

REF_MAX_CHARS = 300


class Identities(Protocol):
    """Who is who, as it is committed now."""

    async def contact_of(
        self, workspace: WorkspaceId, identifier: Identifier
    ) -> ContactId | None: ...

    async def current(self, workspace: WorkspaceId, contact: ContactId) -> ContactId | None:
        """``contact``, or whom it was merged into; None when there is nobody."""
        ...

    async def identifiers_of(
        self, workspace: WorkspaceId, contact: ContactId
    ) -> Sequence[Identifier]:
        """The strongest first, bounded."""
        ...


def parse_ref(ref: str) -> ContactId | Identifier | None:
    """What ``ref`` names; None when it names nothing. Never raises."""
    ref = clean_text(ref)
    if not ref or len(ref) > REF_MAX_CHARS:
        return None
    if ref.startswith("c_"):
        return ContactId(ref)
    kind, colon, value = ref.partition(":")
    return identifier(kind, value) if colon else None


async def find(identities: Identities, workspace: WorkspaceId, ref: str) -> ContactId | None:
    """The contact behind ``ref``, or None."""
    named = parse_ref(ref)
    if named is None:
        return None
    if isinstance(named, Identifier):
        return await identities.contact_of(workspace, named)
    return await identities.current(workspace, named)
