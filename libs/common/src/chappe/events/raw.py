"""Deliveries as they arrived, before anybody understood them."""

import datetime as dt

import msgspec

from chappe.ids import ContactId, MessageId, SourceId, WorkspaceId


class RawRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery on ``raw.commerce`` or ``raw.bulk``.

    ``id`` is stamped once by the edge, before the first append; repeats of it are repeats of the
    record. ``headers`` are an allow-list, names in lower case. ``body`` is what was signed, except
    for items of ``/v1/batch``, which travel one by one. ``verified`` is None while nobody could
    tell. Times: ``received_at`` on the business clock, ``received_wall`` on the wall clock.
    """

    id: str
    workspace: WorkspaceId
    source: SourceId
    kind: str
    namespace: str
    received_at: dt.datetime
    received_wall: dt.datetime
    headers: dict[str, str]
    body: bytes
    verified: bool | None
    public: bool = False


class RawEngagement(msgspec.Struct, frozen=True, kw_only=True):
    """A mail reader touched one of our links or pixels. ``address`` is truncated (/24, /48)."""

    id: str
    kind: str
    workspace: WorkspaceId
    contact: ContactId
    message: MessageId
    received_at: dt.datetime
    link: int | None = None
    url: str | None = None
    user_agent: str | None = None
    address: str | None = None
    method: str = "GET"


class RawDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """One webhook of a mail provider, on ``raw.delivery``."""

    id: str
    provider: str
    endpoint: str
    received_at: dt.datetime
    received_wall: dt.datetime
    headers: dict[str, str]
    body: bytes


def raw_key(source: SourceId, entity: str) -> bytes:
    """Keeps an entity's deliveries in order: checkout or cart token, else customer, else object."""
    return f"{source}/{entity}".encode("utf-8", "surrogatepass")
