"""The door for returned mail, open on a free port."""

import smtplib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec

from chappe.events import RAW_DELIVERY, RawDelivery
from chappe.ids import random_id
from chappe.shards import unwrap
from chappe_ingest.adapters.intake import Listener
from chappe_ingest.application.returned import Returned
from tests.unit.ingest.door import PARTITIONS, Door

MAIL = b"From: <>\r\nSubject: Undelivered\r\n\r\nNo such user.\r\n"


@dataclass
class Desk:
    door: Door
    returned: Returned
    port: int

    def address(self, kind: str = "b", message: str = "m_1") -> str:
        return f"{self.door.tokens.sign_return(kind, message)}@bounce.shop.example"

    def send(self, to: list[str], mail: bytes = MAIL) -> dict[str, tuple[int, bytes]]:
        with smtplib.SMTP("127.0.0.1", self.port, timeout=10) as client:
            return client.sendmail("", to, mail)

    def kept(self) -> list[RawDelivery]:
        return [
            msgspec.json.decode(unwrap(record.value)[1], type=RawDelivery)
            for partition in range(PARTITIONS)
            for record in self.door.broker.log(RAW_DELIVERY, partition).slice(0, 1_000)
        ]


@asynccontextmanager
async def returns(port: int = 0) -> AsyncGenerator[Desk]:
    """``port`` 0: any that is free."""
    door = Door()
    returned = Returned(
        tokens=door.tokens,
        inlet=door.inlet,
        business=door.business,
        wall=door.wall,
        new_id=random_id,
    )
    listener = Listener(returned, "bounce.shop.example")
    opened = await listener.listen("127.0.0.1", port)
    try:
        yield Desk(door, returned, opened)
    finally:
        await listener.close()
