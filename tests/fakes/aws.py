"""Amazon on loopback: moto's SES, SNS and SQS behind a plain HTTP/1.1 server.

moto's own server wants Flask; this hands each request to the same code that answers boto3.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportAttributeAccessIssue=false

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from botocore.awsrequest import AWSPreparedRequest
from botocore.compat import HTTPHeaders
from moto import mock_aws
from moto.core.models import botocore_stubber

REGION = "eu-west-1"
ACCOUNT = "123456789012"
KEYS = {"access_key": "AKIAIOSFODNN7EXAMPLE", "secret_key": "a-secret-that-never-travels"}

_HOSTS = {"ses": "email", "sqs": "sqs"}
_SCOPE = re.compile(r"Credential=[^/]+/\d{8}/([a-z0-9-]+)/([a-z]+)/aws4_request")


@dataclass
class Aws:
    """``url`` is where it listens; ``unsigned`` counts requests without a signature."""

    url: str = ""
    actions: list[str] = field(default_factory=list)
    """What was asked for: the SQS target, or the path."""
    unsigned: int = 0

    def queue(self, name: str) -> str:
        return f"{self.url}/{ACCOUNT}/{name}"

    async def answer(self, head: bytes, body: bytes) -> bytes:
        line, *rest = head.decode("latin-1").split("\r\n")
        method, path, _ = line.split(" ")
        pairs = [each.partition(":") for each in rest if each]
        headers = {name: value.strip() for name, _, value in pairs}
        scope = _SCOPE.search(headers.get("Authorization", ""))
        if scope is None:
            self.unsigned += 1
            return b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
        self.actions.append(headers.get("X-Amz-Target", path).rpartition(".")[2] or path)
        url = f"https://{_HOSTS[scope[2]]}.{scope[1]}.amazonaws.com{path}"
        prepared = AWSPreparedRequest(method, url, HTTPHeaders.from_dict(headers), body, False)
        # In a thread: a queue without messages keeps its asker waiting.
        given = await asyncio.to_thread(botocore_stubber, "before-send", prepared)
        assert given is not None, f"moto does not know {url}"
        kept = {n: v for n, v in given.headers.items() if n.lower() != "content-length"}
        kept["Content-Length"] = str(len(given.content))
        lines = [f"HTTP/1.1 {given.status_code} X", *(f"{n}: {v}" for n, v in kept.items())]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + given.content


@asynccontextmanager
async def amazon() -> AsyncGenerator[Aws]:
    """An empty account; boto3 inside of the block reaches it too."""
    aws = Aws()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                writer.write(await aws.answer(head.strip(), body))
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the test is over
        finally:
            writer.transport.abort()

    with mock_aws():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        aws.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield aws
        finally:
            server.close()
            await server.wait_closed()
