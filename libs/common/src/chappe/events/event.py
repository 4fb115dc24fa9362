"""The canonical event: one fact about a contact, as every service and every person reads it."""

import datetime as dt
from typing import Any

import msgspec

from chappe.ids import ContactId, EventId, SourceId, WorkspaceId

SCHEMA = 1


class Identifier(msgspec.Struct, frozen=True):
    """One name a contact is known by: ``email``, ``phone``, ``external_id``, ``anonymous_id``,
    ``checkout_token``, ``cart_token``. The value is already normalised.
    """

    type: str
    value: str


class ObjectRef(msgspec.Struct, frozen=True):
    """The storefront's object that the fact is about; ``version`` sorts within one object."""

    type: str
    id: str
    version: str | None = None


class Flags(msgspec.Struct, frozen=True):
    """How the fact came to us, decided once by the resolver.

    ``historical`` facts trigger nothing; ``copy`` facts exit and close keys, and count nowhere;
    ``derived`` facts were already applied by the orchestrator that published them.
    """

    test: bool = False
    historical: bool = False
    unverified: bool = False
    derived: bool = False
    copy: bool = False


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A fact. ``id`` is its idempotency key; ``contact`` is its key on the stream.

    ``occurred_at`` is when it happened, ``received_at`` when it reached us; both on the business
    clock, in UTC.
    """

    id: EventId
    name: str
    workspace: WorkspaceId
    source: SourceId | None = None
    source_event: str | None = None
    occurred_at: dt.datetime
    received_at: dt.datetime
    contact: ContactId | None = None
    identifiers: tuple[Identifier, ...] = ()
    object: ObjectRef | None = None
    traits: dict[str, Any] = {}
    data: dict[str, Any] = {}
    flags: Flags = Flags()
    schema: int = SCHEMA

    def identifier(self, kind: str) -> str | None:
        """The first identifier of that type."""
        return next((i.value for i in self.identifiers if i.type == kind), None)


_encode = msgspec.json.Encoder(decimal_format="string").encode
_decode = msgspec.json.Decoder(Event).decode


def encode_event(event: Event) -> bytes:
    return _encode(event)


def decode_event(body: bytes | msgspec.Raw) -> Event:
    """Raises ``msgspec.MsgspecError`` on anything that is not an event."""
    return _decode(body)


def contact_key(workspace: WorkspaceId, contact: ContactId) -> bytes:
    """The key of a contact's records on ``events`` and ``sends``."""
    return f"{workspace}/{contact}".encode()


def rename(event: Event, **changes: Any) -> Event:
    """A copy of ``event`` with some fields changed."""
    return msgspec.structs.replace(event, **changes)
