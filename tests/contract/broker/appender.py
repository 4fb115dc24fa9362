"""A process that appends what it reads, a number per line, and answers each when it is durable."""

import asyncio
import sys

from chappe.broker import Broker, Outgoing
from chappe.broker.embedded import EmbeddedLog
from chappe.events.streams import EVENTS
from chappe.postgres import open_pool
from tests.contract.broker.stands import PARTITIONS, closing, kafka


async def main(kind: str, where: str, prefix: str = "") -> None:
    if kind == "embedded":
        async with (
            open_pool(where, size=2) as pool,
            closing(EmbeddedLog(pool, PARTITIONS, exclusive=False)) as log,
        ):
            await answer(log)
    else:
        async with closing(kafka(where, prefix)) as broker:
            await answer(broker)


async def answer(broker: Broker) -> None:
    while line := await asyncio.to_thread(sys.stdin.readline):
        value = line.strip().encode()
        await broker.append(EVENTS, [Outgoing(int(line) % PARTITIONS, b"k", value)])
        sys.stdout.write(line)
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
