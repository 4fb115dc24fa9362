"""What providers and mail servers do to a sender under test, and how a test looks at it."""

import datetime as dt
import hashlib
import hmac
import json
from typing import Any

import msgspec

from chappe.broker import Outgoing
from chappe.events import RAW_DELIVERY, RawDelivery
from chappe.ids import partition_of
from chappe.shards import wrap
from tests.integration.sender.place import PARTITIONS, Place

KEY = "the-signing-key-of-mailgun"
"""What a test's Mailgun signs with."""


async def endpoint(place: Place, kind: str = "mailgun", **fields: Any) -> dict[str, Any]:
    """An endpoint of our own, as a person makes it."""
    answer = await place.http.post("/api/v1/providers/endpoints", json={"kind": kind} | fields)
    assert answer.status_code == 201, answer.text
    return answer.json()


def event(name: str, message: str, *, to: str = "zoe@example.com", **fields: Any) -> dict[str, Any]:
    """One event as Mailgun tells it."""
    return {
        "event": name,
        "id": f"{name}-{message}",
        "timestamp": dt.datetime.now(dt.UTC).timestamp(),
        "recipient": to,
        "user-variables": {"chappe-message": message},
        "message": {"headers": {"message-id": f"{message}@mg.shop.example"}},
    } | fields


def failed(message: str, code: int, said: str, **fields: Any) -> dict[str, Any]:
    """The receiver's last word."""
    told = event("failed", message, severity="permanent")
    return told | {"delivery-status": {"code": code, "message": said}} | fields


def unknown_user(message: str, **fields: Any) -> dict[str, Any]:
    """The receiver knows nobody of this name."""
    return failed(message, 550, "5.1.1 <zoe@example.com>: no such user here", **fields)


def full_mailbox(message: str) -> dict[str, Any]:
    return failed(message, 552, "5.2.2 mailbox is full")


def mailgun(data: dict[str, Any], *, token: str, key: str = KEY) -> bytes:
    """A webhook of Mailgun's; the same token is the same delivery."""
    stamp = str(int(dt.datetime.now(dt.UTC).timestamp()))
    proof = hmac.digest(key.encode(), f"{stamp}{token}".encode(), hashlib.sha256).hex()
    signature = {"timestamp": stamp, "token": token, "signature": proof}
    return json.dumps({"signature": signature, "event-data": data}).encode()


_count = iter(range(1_000_000))


async def deliver(
    place: Place,
    body: bytes,
    *,
    endpoint: dict[str, Any] | None = None,
    kind: str = "mailgun",
    **headers: str,
) -> str:
    """As the edge writes it into the log."""
    now = place.clock.now()
    id_ = f"raw_{next(_count)}"
    where = endpoint["id"] if endpoint else "return"
    raw = RawDelivery(
        id=id_,
        provider=kind,
        endpoint=where,
        received_at=now,
        received_wall=dt.datetime.now(dt.UTC),
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        body=body,
    )
    key = where.encode()
    record = Outgoing(partition_of(key, PARTITIONS), key, wrap(msgspec.json.encode(raw)))
    await place.broker.append(RAW_DELIVERY, [record])
    return id_


async def returned(place: Place, mail: bytes, message: str, kind: str = "b") -> str:
    """A mail to the return address of ``message``, its token checked."""
    return await deliver(place, mail, kind="mail", return_kind=kind, return_message=message)


async def suppressed(place: Place) -> dict[str, str]:
    """Reason by address."""
    items = (await place.http.get("/api/v1/suppressions")).json()["items"]
    return {item["address"]: item["reason"] for item in items}


async def a_sent_mail(
    place: Place, message: str = "m_1", contact: str = "zoe", template: str = "cart"
) -> None:
    """Accepted by the server."""
    await place.subscribe(contact)
    await place.ask(contact, message, template)
    await place.settle()
    assert (await place.state(message))[0] == "accepted"
