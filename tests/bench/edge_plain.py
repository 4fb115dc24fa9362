"""The yardstick: the same door as FastAPI, pydantic and a client library would have it.

A model per call, Basic auth as a dependency, one durable write awaited: aiokafka's
``send_and_wait`` with ``acks=all``, or an INSERT. ``--shared`` appends through our own log instead,
which gathers what waits: then only the door itself differs.
"""

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

import asyncpg
import uvicorn
import uvloop
from aiokafka import AIOKafkaProducer
from fastapi import Depends, FastAPI
from fastapi.security import HTTPBasic, HTTPBasicCredentials
from pydantic import BaseModel

from chappe.broker import Outgoing
from chappe.events import RAW_COMMERCE
from chappe.ids import partition_of, random_id
from chappe.settings import Settings, load_settings
from chappe_onebox.box.context import open_ground

POOL = 12
Keep = Callable[[bytes, bytes], Awaitable[None]]


class Track(BaseModel):
    """A call of the Segment specification."""

    type: str
    userId: str  # noqa: N815 - the spec's spelling
    event: str
    messageId: str  # noqa: N815 - the spec's spelling
    timestamp: str | None = None
    properties: dict[str, Any] = {}
    context: dict[str, Any] = {}


@asynccontextmanager
async def shared(settings: Settings, dsn: str) -> AsyncGenerator[Keep]:
    async with open_ground(settings, dsn, exclusive=False, migrating=None) as ground:

        async def keep(key: bytes, value: bytes) -> None:
            partition = partition_of(key, ground.broker.partitions)
            await ground.broker.append(
                RAW_COMMERCE, [Outgoing(partition, key, b'{"body":' + value + b"}")]
            )

        yield keep


@asynccontextmanager
async def kafka(settings: Settings) -> AsyncGenerator[Keep]:
    producer: Any = AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap or "", acks="all", enable_idempotence=True
    )
    await producer.start()

    async def keep(key: bytes, value: bytes) -> None:
        await producer.send_and_wait(f"{settings.kafka_prefix}raw.commerce", value, key)

    yield keep
    await producer.stop()


@asynccontextmanager
async def table(dsn: str) -> AsyncGenerator[Keep]:
    async with asyncpg.create_pool(dsn, min_size=POOL, max_size=POOL) as pool:
        await pool.execute("CREATE TABLE IF NOT EXISTS plain_event (key bytea, value bytea)")

        async def keep(key: bytes, value: bytes) -> None:
            await pool.execute("INSERT INTO plain_event VALUES ($1, $2)", key, value)

        yield keep


async def main() -> None:
    settings = load_settings(dict(os.environ))
    assert settings.database_url is not None
    dsn = settings.database_url.get_secret_value()
    if "--shared" in sys.argv:
        log = shared(settings, dsn)
    elif settings.kafka_bootstrap:
        log = kafka(settings)
    else:
        log = table(dsn)
    async with log as keep:
        app = FastAPI()
        basic = HTTPBasic()

        @app.post("/v1/track")
        async def track(
            call: Track, who: Annotated[HTTPBasicCredentials, Depends(basic)]
        ) -> dict[str, bool]:
            record = {"id": random_id("raw_"), "key": who.username, "call": call.model_dump()}
            await keep(f"{who.username}/{call.userId}".encode(), json.dumps(record).encode())
            return {"success": True}

        _ = track
        listening = socket.create_server(("127.0.0.1", 0))
        print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
        config = uvicorn.Config(app, http="httptools", access_log=False, log_config=None)
        await uvicorn.Server(config).serve([listening])


if __name__ == "__main__":
    (asyncio if "--asyncio" in sys.argv else uvloop).run(main())
