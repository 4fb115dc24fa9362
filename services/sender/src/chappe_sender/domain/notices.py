"""Mail to the shop's own people: a step of a journey tells the team something.

It goes through the ledger as every message, at least once and under one Message-ID. Its contact is
nobody's, so nothing of it becomes an event.
"""

import datetime as dt

from chappe.ids import ContactId, MessageId, WorkspaceId, derived

NAME = "team-notice"
DEADLINE = dt.timedelta(days=1)
SUBJECT_LETTERS_MAX = 200
TEXT_LETTERS_MAX = 20_000

FILES = {
    f"{NAME}.html": """---
subject: "{{ event.subject | default: 'A notice' }}"
class: transactional
---
<!doctype html><html><body style="margin:0">
<div style="max-width:640px;padding:24px;font:15px/1.5 Arial,sans-serif;white-space:pre-wrap">\
{{ event.text | default: 'A notice' }}</div>
</body></html>
""",
    f"{NAME}.txt": "{{ event.text | default: 'A notice' }}\n",
}

_STAFF = "staff_"


def message_id(workspace: WorkspaceId, notice: str) -> MessageId:
    """The same notice is the same message, however often it is asked for."""
    return MessageId(derived("m_", NAME, workspace, notice))


def staff(workspace: WorkspaceId, address: str) -> ContactId:
    """Who stands in for the owner of this address in the ledger."""
    return ContactId(derived(_STAFF, workspace, address))


def is_staff(contact: ContactId | None) -> bool:
    """Whether a contact only stands in for somebody of the shop."""
    return contact is not None and contact.startswith(_STAFF)


def one_line(subject: str) -> str:
    """What fits a subject."""
    return " ".join(subject.split())[:SUBJECT_LETTERS_MAX]
