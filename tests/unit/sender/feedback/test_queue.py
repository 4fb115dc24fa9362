"""Amazon's queue: signed calls, kept before deleted, the same message once."""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest

from chappe.broker.memory import MemoryBroker
from chappe.clock import HandClock
from chappe.events import RAW_DELIVERY, RawDelivery
from chappe.http import OutboundAnswer
from chappe.shards import unwrap
from chappe_sender.adapters.sqs import Sqs
from chappe_sender.application.feedback_ports import NotNow, Queue
from chappe_sender.application.queue_poll import Queued, QueuePoll

PARTITIONS = 4
CLOCK = HandClock(dt.datetime(2026, 11, 22, 9, 0, tzinfo=dt.UTC))
QUEUE = Queue(
    url="https://sqs.eu-west-1.amazonaws.com/123456789012/mail",
    region="eu-west-1",
    access_key="AKIA",
    secret_key="secret",
)


@dataclass
class Aws:
    """Answers SQS's two calls."""

    messages: list[dict[str, str]] = field(default_factory=list)
    status: int = 200
    calls: list[tuple[str, Mapping[str, str], Any]] = field(default_factory=list)

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> OutboundAnswer:
        self.calls.append((url, headers, json.loads(body)))
        answer = {"Messages": self.messages} if self.messages else {}
        return OutboundAnswer(self.status, {}, json.dumps(answer).encode())


async def test_a_call_is_signed_and_waits_for_messages() -> None:
    aws = Aws([{"MessageId": "1", "ReceiptHandle": "r", "Body": "{}"}])
    assert await Sqs(aws.post, CLOCK).receive(QUEUE) == [Queued("1", "r", b"{}")]
    url, headers, body = aws.calls[0]
    assert url == "https://sqs.eu-west-1.amazonaws.com/"
    assert headers["X-Amz-Target"] == "AmazonSQS.ReceiveMessage"
    assert "/eu-west-1/sqs/aws4_request" in headers["Authorization"]
    assert body == {"QueueUrl": QUEUE.url, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 20}


async def test_an_answer_that_is_none_is_tried_again_later() -> None:
    with pytest.raises(NotNow):
        await Sqs(Aws(status=403).post, CLOCK).receive(QUEUE)
    with pytest.raises(NotNow):
        await Sqs(Aws([{"MessageId": "1"}]).post, CLOCK).receive(QUEUE)


@dataclass
class Line:
    """A queue with one message until it is deleted."""

    deleted: list[str] = field(default_factory=list)
    fails: bool = False

    async def receive(self, queue: Queue) -> Sequence[Queued]:
        return [] if self.deleted else [Queued("1", "r", b'{"Type":"Notification"}')]

    async def delete(self, queue: Queue, receipts: Sequence[str]) -> None:
        if self.fails:
            raise NotNow("away")
        self.deleted += receipts


async def test_a_message_is_in_the_log_before_it_is_deleted_and_comes_again_as_the_same() -> None:
    broker, line = MemoryBroker(PARTITIONS), Line(fails=True)

    async def none(_: int) -> dict[str, Queue]:
        return {}

    poll = QueuePoll(line, none, lambda: [0], broker, CLOCK, CLOCK)
    assert await poll.take("fe_1", QUEUE) == 1
    line.fails = False
    assert await poll.take("fe_1", QUEUE) == 1
    assert await poll.take("fe_1", QUEUE) == 0
    assert line.deleted == ["r"]
    records = [
        msgspec.json.decode(unwrap(record.value)[1], type=RawDelivery)
        for partition in range(PARTITIONS)
        for record in broker.log(RAW_DELIVERY, partition).slice(0, 100)
    ]
    assert len(records) == 2
    assert len({each.id for each in records}) == 1
    assert (records[0].provider, records[0].endpoint) == ("ses", "fe_1")
