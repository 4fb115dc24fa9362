"""Raw deliveries to events: what one resolver and its Postgres get through."""

import asyncio
import base64
import json
import tempfile
import time
from typing import Any

import asyncpg
from apart import Process, database, running, service, settings
from edge import call
from harness import result
from load import request, send

EVENTS = 40_000
ITEMS = 500
WAIT_SECONDS_MAX = 120
PUBLISHED = "SELECT coalesce(sum(next_offset), 0) FROM log.partition WHERE stream = 'events'"


def _fill(edge: Process) -> None:
    """Calls of 5,000 people, one in five of which says who it is."""
    key = edge.api("POST", "/api/v1/sources", {"kind": "segment", "name": "bench"})["secret"]
    headers = {
        "authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode(),
        "content-type": "application/json",
    }
    calls = [_identify(n) if n % 5 == 0 else call(n) for n in range(EVENTS)]
    batches = [
        request("/v1/batch", json.dumps({"batch": calls[at : at + ITEMS]}).encode(), headers)
        for at in range(0, EVENTS, ITEMS)
    ]
    outcome = send(edge.port, batches, 4)
    assert set(outcome.statuses) == {200}, outcome.statuses


def _identify(number: int) -> dict[str, Any]:
    who = f"user-{number % 5_000}"
    traits = {"email": f"{who}@bench.example", "first_name": "Zoé", "plan": "pro"}
    return {"type": "identify", "userId": who, "messageId": f"i-{number}", "traits": traits}


async def _drained(dsn: str) -> float:
    connection = await asyncpg.connect(dsn)
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    first = None
    try:
        while True:
            have = int(await connection.fetchval(PUBLISHED))
            now = time.monotonic()
            if have and first is None:
                first = (now, have)
            if have >= EVENTS:
                assert first is not None
                return (have - first[1]) / (now - first[0])
            if now > deadline:
                raise SystemExit(f"only {have} of {EVENTS} events after {WAIT_SECONDS_MAX} s")
            await asyncio.sleep(0.02)
    finally:
        await connection.close()


def measure() -> list[dict[str, Any]]:
    """Drain a backlog of calls from the embedded log."""
    with database() as dsn, tempfile.TemporaryDirectory() as data:
        environment = settings(dsn, CHAPPE_DATA=data, CHAPPE_KAFKA_BOOTSTRAP="")
        with running(service("ingest"), environment) as edge:
            _fill(edge)
        with running(service("resolver"), environment) as resolver:
            started = resolver.cpu_seconds()
            rate = asyncio.run(_drained(dsn))
            cpu = resolver.cpu_seconds() - started
            memory = resolver.resident_mb()
    on = {"events": EVENTS, "people": 5_000}
    return [
        result("resolver", rate, "events/s", "process and its Postgres", **on),
        result("resolver_per_core", EVENTS / cpu, "events/s", "core", **on),
        result("resolver_resident", memory, "MB", "process", **on),
    ]


if __name__ == "__main__":
    for line in measure():
        print(line["name"], line["value"], line["unit"], line["per"])
