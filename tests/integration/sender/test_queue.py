"""Amazon's notifications through a queue of SQS (moto's), into a running sender."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import boto3
import pytest
from typing_extensions import override

from chappe.broker import BrokerUnavailable, Outgoing
from chappe.broker.memory import MemoryBroker
from chappe.clock import HandClock, WallClock
from chappe.events.streams import Stream
from chappe.http import Outbound, OutboundAnswer, OutboundUnreachable
from chappe.tokens import Vault
from chappe_sender.adapters.feedback_endpoints import FeedbackRecords
from chappe_sender.adapters.sqs import Sqs
from chappe_sender.application.feedback_ports import NotNow, Queue
from chappe_sender.application.queue_poll import QueuePoll
from tests.fakes.aws import KEYS, REGION, Aws, amazon
from tests.integration.sender.feedback_place import a_sent_mail, endpoint, suppressed
from tests.integration.sender.place import PARTITIONS, SECRET, Place, a_sender

NAME = "bounces"
HIDDEN_SECONDS = 1
"""How long a message that was received and not deleted stays out of sight."""


@dataclass
class Desk:
    """A queue subscribed to a topic of SNS, an endpoint that reads it, and what can go wrong."""

    aws: Aws
    place: Place
    endpoint: str
    outbound: Outbound
    sns: Any
    topic: str
    sqs: Any
    deletes_fail: bool = False
    broker: Any = None

    def says(self, body: str) -> None:
        """Amazon publishes; the queue gets it wrapped."""
        self.sns.publish(TopicArn=self.topic, Message=body)

    def puts(self, body: str) -> None:
        """Straight into the queue, whatever it is."""
        self.sqs.send_message(QueueUrl=self.aws.queue(NAME), MessageBody=body)

    async def poll(self) -> int:
        queue = Queue(url=self.aws.queue(NAME), region=REGION, **KEYS)
        reading = QueuePoll(
            Sqs(self._post, WallClock()),
            _nobody,
            list,
            self.broker or self.place.broker,
            self.place.clock,
            WallClock(),
        )
        taken = await reading.take(self.endpoint, queue)
        await self.place.settle()
        return taken

    def left(self) -> int:
        """How many messages the queue still has, in sight or not."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.aws.queue(NAME), AttributeNames=names)[
            "Attributes"
        ]
        return sum(int(found[name]) for name in names)

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> OutboundAnswer:
        if self.deletes_fail and "Delete" in headers["X-Amz-Target"]:
            raise OutboundUnreachable("the sender was killed here", sent=False)
        return await self.outbound.request(
            "POST", url, headers=headers, content=body, timeout_seconds=30.0
        )


async def _nobody(_: int) -> dict[str, Queue]:
    return {}


@asynccontextmanager
async def a_desk(pool: asyncpg.Pool, clock: HandClock) -> AsyncGenerator[Desk]:
    """With a mail that was sent to zoe."""
    outbound = Outbound(allow_loopback=True)
    async with amazon() as aws, a_sender(pool, clock, outbound_loopback=True) as place:
        sqs = boto3.client("sqs", region_name=REGION)
        made = sqs.create_queue(
            QueueName=NAME, Attributes={"VisibilityTimeout": str(HIDDEN_SECONDS)}
        )
        arn = sqs.get_queue_attributes(QueueUrl=made["QueueUrl"], AttributeNames=["QueueArn"])
        sns = boto3.client("sns", region_name=REGION)
        topic = str(sns.create_topic(Name="mail")["TopicArn"])
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn["Attributes"]["QueueArn"])
        reading = await endpoint(place, "ses")  # without the queue: only the test polls
        await a_sent_mail(place)
        try:
            yield Desk(aws, place, reading["id"], outbound, sns, topic, sqs)
        finally:
            await outbound.aclose()


def bounce(message: str = "m_1", to: str = "zoe@example.com") -> str:
    """As SES writes it into its topic."""
    return json.dumps(
        {
            "eventType": "Bounce",
            "mail": {
                "timestamp": "2026-11-22T09:00:00.000Z",
                "messageId": f"ses-{message}",
                "destination": [to],
                "tags": {"chappe-message": [message]},
            },
            "bounce": {
                "bounceType": "Permanent",
                "bounceSubType": "General",
                "feedbackId": f"fb-{message}",
                "timestamp": "2026-11-22T09:00:01.000Z",
                "bouncedRecipients": [
                    {
                        "emailAddress": to,
                        "action": "failed",
                        "status": "5.1.1",
                        "diagnosticCode": "smtp; 550 5.1.1 user unknown",
                    }
                ],
            },
        }
    )


async def test_a_bounce_wrapped_by_sns_reaches_the_message_and_leaves_the_queue(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_desk(pool, clock) as desk:
        desk.says(bounce())
        assert await desk.poll() == 1
        assert await desk.place.state("m_1") == ("bounced", "invalid_recipient")
        assert await suppressed(desk.place) == {"zoe@example.com": "bounced"}
        assert desk.left() == 0
        assert desk.aws.unsigned == 0


async def test_what_was_kept_and_not_deleted_comes_again_and_is_one_fact(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_desk(pool, clock) as desk:
        desk.says(bounce())
        desk.deletes_fail = True
        assert await desk.poll() == 1
        assert desk.left() == 1
        desk.deletes_fail = False
        assert await desk.poll() == 1  # waits until it is in sight again
        assert desk.left() == 0
        assert len(desk.place.told("email.bounced")) == 1
        told = (await desk.place.http.get("/api/v1/messages/m_1/feedback")).json()["items"]
        assert len(told) == 1


class Away(MemoryBroker):
    """A log that does not answer."""

    @override
    async def append(self, stream: Stream, records: Sequence[Outgoing]) -> None:
        raise BrokerUnavailable("away")


async def test_nothing_is_deleted_before_it_is_in_the_log(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_desk(pool, clock) as desk:
        desk.says(bounce())
        desk.broker = Away(PARTITIONS)
        with pytest.raises(BrokerUnavailable):
            await desk.poll()
        assert desk.left() == 1
        assert (await desk.place.state("m_1"))[0] == "accepted"
        desk.broker = None
        assert await desk.poll() == 1
        assert (await desk.place.state("m_1"))[0] == "bounced"


@pytest.mark.parametrize(
    "poison", ["no json", "{}", '{"Type": "Notification"}', "[1]", '"\\u0000"']
)
async def test_a_message_that_nobody_can_read_does_not_hold_up_the_next(
    pool: asyncpg.Pool, clock: HandClock, poison: str
) -> None:
    async with a_desk(pool, clock) as desk:
        desk.puts(poison)
        desk.says(bounce())
        while desk.left():
            await desk.poll()
        assert (await desk.place.state("m_1"))[0] == "bounced"


async def test_a_queue_of_another_workspace_cannot_speak_of_our_messages(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_desk(pool, clock) as desk:
        others = await desk.place.http.post(
            "/api/v1/providers/endpoints",
            json={"kind": "ses"},
            headers={"Chappe-Workspace": "others"},
        )
        desk.endpoint = others.json()["id"]
        desk.says(bounce())
        await desk.poll()
        assert (await desk.place.state("m_1"))[0] == "accepted"


async def test_a_queue_that_is_not_there_is_said_and_asked_again_later(
    pool: asyncpg.Pool, clock: HandClock
) -> None:
    async with a_desk(pool, clock) as desk:
        missing = Queue(url=desk.aws.queue("none"), region=REGION, **KEYS)
        with pytest.raises(NotNow, match="400"):
            await Sqs(desk._post, WallClock()).receive(missing)


async def test_the_keys_of_a_queue_are_kept_sealed(pool: asyncpg.Pool, clock: HandClock) -> None:
    async with a_sender(pool, clock, outbound_loopback=True) as place:
        url = "http://127.0.0.1:9/123456789012/bounces"
        made = await endpoint(place, "ses", queue={"url": url, "region": REGION, **KEYS})
        assert KEYS["secret_key"] not in str(made)
        found = await FeedbackRecords(pool, Vault(SECRET)).queues(10)
        assert found == {made["id"]: Queue(url=url, region=REGION, **KEYS)}
        rows = str(
            [dict(row) for row in await pool.fetch("SELECT * FROM sender.feedback_endpoint")]
        )
        assert KEYS["secret_key"] not in rows
