"""Amazon SQS over its JSON protocol: receive and delete, signed like any other call to AWS."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec

from chappe.clock import Clock
from chappe.http import OutboundAnswer, OutboundError
from chappe_sender.adapters.providers.aws import signed_headers
from chappe_sender.application.feedback_ports import NotNow, Queue
from chappe_sender.application.queue_poll import Queued

WAIT_SECONDS: Final = 20
MESSAGES_MAX: Final = 10
OK: Final = 200

Post: TypeAlias = Callable[[str, Mapping[str, str], bytes], Awaitable[OutboundAnswer]]
"""One POST that may take half a minute. Raises ``OutboundError``."""

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class _Message(msgspec.Struct):
    """As SQS writes it."""

    id: str = msgspec.field(name="MessageId")
    receipt: str = msgspec.field(name="ReceiptHandle")
    body: str = msgspec.field(name="Body")


@dataclass(frozen=True, slots=True)
class Sqs:
    """Implements ``Queues``."""

    post: Post
    wall: Clock

    async def receive(self, queue: Queue) -> list[Queued]:
        told = await self._call(
            queue,
            "ReceiveMessage",
            {
                "QueueUrl": queue.url,
                "MaxNumberOfMessages": MESSAGES_MAX,
                "WaitTimeSeconds": WAIT_SECONDS,
            },
        )
        try:
            found = msgspec.convert(told.get("Messages") or [], type=list[_Message])
        except msgspec.ValidationError as error:
            raise NotNow("SQS answered with something else than messages") from error
        return [
            Queued(each.id, each.receipt, each.body.encode("utf-8", "replace")) for each in found
        ]

    async def delete(self, queue: Queue, receipts: Sequence[str]) -> None:
        entries = [{"Id": str(at), "ReceiptHandle": each} for at, each in enumerate(receipts)]
        await self._call(queue, "DeleteMessageBatch", {"QueueUrl": queue.url, "Entries": entries})

    async def _call(self, queue: Queue, action: str, what: Mapping[str, Any]) -> dict[str, Any]:
        body = msgspec.json.encode(what)
        scheme, _, rest = queue.url.partition("://")
        url = f"{scheme}://{rest.partition('/')[0]}/"
        headers = signed_headers(
            url=url,
            body=body,
            headers={
                "Content-Type": "application/x-amz-json-1.0",
                "X-Amz-Target": f"AmazonSQS.{action}",
            },
            access_key=queue.access_key,
            secret_key=queue.secret_key,
            region=queue.region,
            service="sqs",
            now=self.wall.now(),
        )
        try:
            answer = await self.post(url, headers, body)
        except OutboundError as error:
            raise NotNow(str(error)) from error
        if answer.status != OK:
            raise NotNow(f"SQS answered {action} with {answer.status}")
        try:
            return _decode(answer.body or b"{}")
        except msgspec.MsgspecError as error:
            raise NotNow(f"SQS answered {action} with something else than JSON") from error
