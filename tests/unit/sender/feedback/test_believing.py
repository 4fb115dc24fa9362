"""Who is believed: Amazon by its certificate and one topic, a queue by its keys, a mail by its
address, an event of our own by nobody but us.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from chappe.ids import WorkspaceId
from chappe.tokens import Tokens, Vault
from chappe_sender.application.feedback_ports import Delivery, Endpoint, NotNow
from chappe_sender.application.feedback_reading import FROM_QUEUE, Reader, Refused, Unread
from chappe_sender.domain.bounces import Kind
from chappe_sender.domain.feedback.keys import Keys
from tests.unit.sender.feedback.test_verifying import CERTIFICATE, NOW, SNS_KEY, sns

TOPIC = "arn:aws:sns:eu-west-1:123456789012:mail"
SECRET = b"a-secret-key-for-tests-only-0001"


@dataclass
class Endpoints:
    """Stands in for the tables: what is pinned."""

    pinned: dict[str, str] = field(default_factory=dict)

    async def pin(self, endpoint: str, topic: str) -> bool:
        return self.pinned.setdefault(endpoint, topic) == topic


@dataclass
class Amazon:
    """Gives the test's certificate, and remembers what was confirmed."""

    away: bool = False
    asked: list[str] = field(default_factory=list)
    confirmed: list[str] = field(default_factory=list)

    async def pem(self, url: str) -> str:
        if self.away:
            raise NotNow("away")
        self.asked.append(url)
        return CERTIFICATE

    async def confirm(self, url: str) -> None:
        self.confirmed.append(url)


def handshake(topic: str = TOPIC) -> bytes:
    envelope = {
        "Type": "SubscriptionConfirmation",
        "MessageId": "1",
        "Token": "t",
        "TopicArn": topic,
        "Message": "You have chosen to subscribe",
        "SubscribeURL": "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription",
        "Timestamp": NOW.isoformat().replace("+00:00", ".000Z"),
        "SignatureVersion": "2",
        "SigningCertURL": "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem",
    }
    names = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
    text = "".join(f"{name}\n{envelope[name]}\n" for name in names).encode()
    proof = SNS_KEY.sign(text, padding.PKCS1v15(), hashes.SHA256())
    return json.dumps(envelope | {"Signature": base64.b64encode(proof).decode()}).encode()


@dataclass
class Desk:
    store: Endpoints = field(default_factory=Endpoints)
    amazon: Amazon = field(default_factory=Amazon)

    async def read(
        self,
        body: bytes,
        *,
        kind: str = "ses",
        secret: str | None = None,
        topic: str | None = None,
        deleted: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        endpoint = Endpoint(
            id="fe_1",
            workspace=WorkspaceId("default"),
            kind=kind,
            keys=Keys(secret) if secret is not None else None,
            topic=topic,
            deleted=deleted,
        )
        delivery = Delivery(
            id="raw_1",
            shard=0,
            kind=kind,
            endpoint="fe_1",
            received_at=NOW,
            received_wall=NOW,
            headers=headers or {},
            body=body,
        )
        reader = Reader(self.store, self.amazon, Tokens(SECRET), Vault(SECRET))
        return await reader.read(delivery, {"fe_1": endpoint})


async def test_the_first_topic_is_confirmed_and_then_the_only_one_that_is_believed() -> None:
    desk = Desk()
    assert await desk.read(handshake()) == []
    assert desk.store.pinned == {"fe_1": TOPIC}
    assert len(desk.amazon.confirmed) == 1
    (fact,) = await desk.read(sns(), topic=TOPIC)
    assert fact.event.kind is Kind.ACCEPTED
    other = await desk.read(handshake("arn:aws:sns:eu-west-1:666:evil"), topic=TOPIC)
    assert isinstance(other, Refused)
    assert len(desk.amazon.confirmed) == 1


async def test_a_topic_that_was_never_confirmed_says_nothing() -> None:
    assert isinstance(await Desk().read(sns()), Refused)


async def test_amazon_is_not_believed_by_another_certificate_or_host() -> None:
    desk = Desk()
    altered = sns(MessageId="another")
    assert isinstance(await desk.read(altered, topic=TOPIC), Refused)
    elsewhere = sns(SigningCertURL="https://sns.amazonaws.com.evil.example/a.pem")
    assert isinstance(await desk.read(elsewhere, topic=TOPIC), Refused)
    assert desk.amazon.asked == [
        "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem"
    ]


async def test_a_certificate_that_cannot_be_fetched_now_is_no_refusal() -> None:
    desk = Desk(amazon=Amazon(away=True))
    with pytest.raises(NotNow):
        await desk.read(sns(), topic=TOPIC)


async def test_what_our_own_poller_read_needs_no_signature() -> None:
    body = json.dumps({"eventType": "Send", "mail": {"messageId": "1"}}).encode()
    (fact,) = await Desk().read(body, headers={FROM_QUEUE: "1"})
    assert fact.event.kind is Kind.ACCEPTED


async def test_without_a_secret_nothing_is_believed_and_nothing_lost() -> None:
    assert isinstance(await Desk().read(b"{}", kind="mailgun"), Unread)


async def test_a_credential_that_the_edge_sealed_is_read_again() -> None:
    pair = base64.b64encode(b"chappe:a-long-password").decode()
    packed = json.dumps([["authorization", f"Basic {pair}"]])
    sealed = base64.b64encode(Vault(SECRET).encrypt("raw.delivery/raw_1", packed)).decode()
    body = json.dumps({"RecordType": "Delivery", "MessageID": "1", "Recipient": "z@example.com"})
    given: dict[str, Any] = {"kind": "postmark", "headers": {"chappe-sealed": sealed}}
    (fact,) = await Desk().read(body.encode(), secret="chappe:a-long-password", **given)
    assert fact.event.kind is Kind.DELIVERED
    wrong = await Desk().read(body.encode(), secret="chappe:another-password", **given)
    assert isinstance(wrong, Refused)


async def test_a_deleted_endpoint_and_another_providers_are_refused() -> None:
    assert isinstance(await Desk().read(sns(), topic=TOPIC, deleted=True), Refused)
