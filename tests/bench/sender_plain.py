"""The yardstick: the same cart mail with what people reach for first, and without a ledger.

``EmailMessage`` builds it, dkimpy signs it, aiosmtplib hands it over:
``sender_plain.py PORT COUNT``. The content is filled in by our own renderer, so that only the way
of it differs. Says as JSON how long it took, and how much CPU.
"""

import asyncio
import datetime as dt
import email.policy
import json
import sys
import time
from collections.abc import Iterator
from email.message import EmailMessage

import aiosmtplib
import dkim
import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from sender_world import DOMAIN, contact_of, snapshot, versions

from chappe.tokens import Tokens
from chappe_sender.adapters.renderer import Renderer
from chappe_sender.domain.tracking import Links

CONNECTIONS = 8
SIGNED = (
    b"from", b"to", b"subject", b"date", b"message-id", b"mime-version", b"content-type",
    b"list-unsubscribe", b"list-unsubscribe-post", b"feedback-id",
)  # fmt: skip


class Writer:
    """Makes the mails."""

    def __init__(self) -> None:
        self._version = versions()["cart"]
        self._renderer = Renderer()
        self._tokens = Tokens(b"a-key-for-the-bench-only-00000000")
        key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
        self._pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )

    def write(self, number: int) -> bytes:
        address = f"user-{number}@example.com"
        links = Links(
            self._tokens, "https://t.shop.example", "default", contact_of(number), f"m_{number}",
            address, "offers",
        )  # fmt: skip
        brand = {"name": "Shop", "address": "1 Quay, Brest"}
        values = {**msgspec.to_builtins(snapshot(number)), "brand": brand}
        content = self._renderer.render(self._version, "en-US", values, links)
        mail = EmailMessage(policy=email.policy.SMTP)
        mail["From"] = f"Shop <news@{DOMAIN}>"
        mail["To"] = address
        mail["Subject"] = content.subject
        mail["Date"] = dt.datetime.now(dt.UTC)
        mail["Message-ID"] = f"<m_{number}@{DOMAIN}>"
        mail["List-Unsubscribe"] = f"<{links.unsubscribe()}>"
        mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
        mail["Feedback-ID"] = "abandoned-cart:default-w:bench"
        mail.set_content(content.text)
        mail.add_alternative(content.html, subtype="html")
        raw = mail.as_bytes()
        signature: bytes = dkim.sign(  # pyright: ignore[reportUnknownMemberType]
            raw, b"bench", DOMAIN.encode(), self._pem,
            canonicalize=(b"relaxed", b"relaxed"), include_headers=list(SIGNED),
        )  # fmt: skip
        return signature + raw


async def _send(port: int, writer: Writer, numbers: Iterator[int]) -> None:
    client = aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False)
    async with client:
        for number in numbers:
            raw = writer.write(number)
            await client.sendmail(f"news@{DOMAIN}", [f"user-{number}@example.com"], raw)


async def main() -> None:
    """All of them, over a few connections."""
    port, count = int(sys.argv[1]), int(sys.argv[2])
    writer = Writer()
    writer.write(0)
    numbers = iter(range(1, count + 1))
    started, cpu = time.monotonic(), time.process_time()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(CONNECTIONS):
            tasks.create_task(_send(port, writer, numbers))
    took = {"seconds": time.monotonic() - started, "cpu": time.process_time() - cpu}
    print(json.dumps(took))


if __name__ == "__main__":
    asyncio.run(main())
