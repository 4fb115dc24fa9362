"""What analytics makes of a merge and of an erasure: histories shown together, lines left bare."""

import msgspec

from chappe.events import Event
from chappe.ids import ContactId
from chappe_analytics.domain.timeline import Entry

MERGED = "contact.merged"
TRANSFERRED = "contact.transferred"
FORWARDED = "forwarded"
ERASE = "privacy.erase_requested"
ERASED_TEXT = "Erased at the contact's request"


def merged_into(event: Event) -> ContactId | None:
    """Whom the event's contact went into, when it is the one that went."""
    into = event.data.get("into")
    if event.name != MERGED or event.data.get("from") != event.contact:
        return None
    return ContactId(into) if isinstance(into, str) and into != event.contact else None


def blank(entry: Entry) -> Entry:
    """The line, without what it showed of the person."""
    return msgspec.structs.replace(entry, text=ERASED_TEXT, data={})
