"""What comes back about a message, whoever tells it: a provider, a server, a mail program."""

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

REASON_LETTERS_MAX: Final = 500


class Kind(StrEnum):
    """``rejected`` is the provider's own no, before it tried; ``bounced`` is the receiver's;
    ``replied`` is somebody's own answer, which only ``returned.answer`` tells.
    """

    ACCEPTED = "accepted"
    DELIVERED = "delivered"
    DEFERRED = "deferred"
    BOUNCED = "bounced"
    REJECTED = "rejected"
    OPENED = "opened"
    CLICKED = "clicked"
    COMPLAINED = "complained"
    UNSUBSCRIBED = "unsubscribed"
    SUBSCRIBED = "subscribed"
    AUTOREPLY = "autoreply"
    REPLIED = "replied"
    OTHER = "other"


class BounceClass(StrEnum):
    """Why a message did not arrive."""

    INVALID_RECIPIENT = "invalid_recipient"
    INACTIVE_MAILBOX = "inactive_mailbox"
    MAILBOX_FULL = "mailbox_full"
    BAD_DOMAIN = "bad_domain"
    REPUTATION = "reputation"
    SPAM = "spam"
    POLICY = "policy"
    AUTHENTICATION = "authentication"
    RELAYING = "relaying"
    TOO_LARGE = "too_large"
    RATE_LIMITED = "rate_limited"
    CONTENT = "content"
    CONNECTION = "connection"
    EXPIRED = "expired"
    SERVER_ERROR = "server_error"
    PROTOCOL = "protocol"
    UNKNOWN = "unknown"


FAILURES: Final = frozenset({Kind.BOUNCED, Kind.REJECTED, Kind.DEFERRED})
"""The kinds that have a ``bounce_class``."""

DEAD: Final = frozenset(
    {BounceClass.INVALID_RECIPIENT, BounceClass.INACTIVE_MAILBOX, BounceClass.BAD_DOMAIN}
)
"""What can be wrong with an address or its domain for good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderEvent:
    """One fact about one recipient.

    ``provider_message_id`` is the id that the provider gave when it took the message (of a
    returned mail: the original's Message-ID, without brackets); ``message`` is our own id where
    the teller knows it. ``permanent``: the address or its domain is dead. ``machine``: the teller
    says that no human opened or clicked. ``dedupe`` is the same for every telling of this fact.
    """

    kind: Kind
    recipient: str | None = None
    bounce_class: BounceClass | None = None
    reason: str | None = None
    permanent: bool = False
    provider_message_id: str | None = None
    occurred_at: dt.datetime | None = None
    message: str | None = None
    original_recipient: str | None = None
    url: str | None = None
    user_agent: str | None = None
    machine: bool = False
    dedupe: str = ""


def printed(event: ProviderEvent) -> dict[str, Any]:
    """As ``providers try`` and ``bounces try`` print it: times UTC with ``Z``."""
    at = event.occurred_at
    return {
        "kind": event.kind.value,
        "recipient": event.recipient,
        "bounce_class": event.bounce_class.value if event.bounce_class else None,
        "reason": event.reason,
        "permanent": event.permanent,
        "provider_message_id": event.provider_message_id,
        "occurred_at": at.astimezone(dt.UTC).isoformat().replace("+00:00", "Z") if at else None,
        "message": event.message,
        "machine": event.machine,
        "url": event.url,
    }
