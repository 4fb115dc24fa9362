"""The way out: cart mails asked for on the log, rendered, signed, handed over and written down.

The sender is a process of its own, as ``chappe run sender`` starts it, on a throw-away Postgres
with fsync on, which keeps the log too. Commands go through the log; ledger and journal are on. Mail
goes to Postfix's ``smtp-sink`` where it is installed, else to a sink of our own. Rates per core are
of the sender's own CPU; its Postgres's is beside them.
"""

import asyncio
import datetime as dt
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
from apart import ROOT, Process, database, running, service, settings
from cpu import parent, postgres_cpu
from harness import result
from sender_world import (
    PERMITTED,
    STORED,
    ask,
    distant_sink,
    furnish,
    give_key,
    postfix_sink,
    smtp_sink,
    subscribe,
    until,
    until_accepted,
)

from chappe.broker import Broker
from chappe.broker.installation import open_broker
from chappe.clock import WallClock
from chappe.postgres import open_pool
from chappe.settings import load_settings

MAILS = 8_000
WARM = 500
SMALL_ONE, SMALL_MANY = 400, 10_000
MANY = 32
ROUND_TRIP_MS = 20.0
PLAIN = 400
BACKLOGS = (20_000, 100_000)
BACKLOG_SENT = 3_000
BACKEND = "SELECT pg_backend_pid()"


@dataclass
class Cost:
    """What some mails took."""

    mails: int
    seconds: float
    python: float
    postgres: float

    @property
    def per_second(self) -> float:
        return self.mails / self.seconds

    @property
    def per_core(self) -> float:
        return self.mails / self.python


class Bench:
    """The phases. Each has a sender of its own, so that each has its own peak of memory."""

    def __init__(self, dsn: str, pool: asyncpg.Pool, broker: Broker, postmaster: int) -> None:
        self.dsn = dsn
        self.pool = pool
        self.broker = broker
        self.postmaster = postmaster
        self.rounds = 0

    @contextmanager
    def sender(self, port: int, connections: int) -> Generator[Process]:
        with tempfile.TemporaryDirectory() as data:
            environment = settings(
                self.dsn,
                CHAPPE_DATA=data,
                CHAPPE_KAFKA_BOOTSTRAP="",
                CHAPPE_PUBLIC_URL="https://t.shop.example",
                CHAPPE_SMTP_URL=f"smtp://127.0.0.1:{port}?connections={connections}",
            )
            with running(service("sender"), environment) as process:
                yield process

    async def ask(self, template: str, count: int) -> dt.datetime:
        """From whom on they were asked for."""
        self.rounds += 1
        since = WallClock().now()
        await ask(self.broker, f"round-{self.rounds}", template, range(count))
        return since

    async def send(self, process: Process, template: str, count: int) -> Cost:
        python, postgres = process.cpu_seconds(), postgres_cpu(self.postmaster)
        started = time.monotonic()
        since = await self.ask(template, count)
        await until_accepted(self.pool, since, count)
        return Cost(
            count,
            time.monotonic() - started,
            process.cpu_seconds() - python,
            postgres_cpu(self.postmaster) - postgres,
        )

    async def run(self, sink: str | None, only: str | None = None) -> list[dict[str, Any]]:
        await furnish(self.pool)
        people = max(BACKLOGS) if only in (None, "backlog") else SMALL_MANY
        await subscribe(self.broker, range(people))
        found: list[dict[str, Any]] = []
        with postfix_sink(sink) if sink else distant_sink(0) as port:
            with self.sender(port, 16):
                await until(self.pool, PERMITTED, people)
            if only in (None, "unsigned"):
                found += await self.carts(port, "unsigned")
            if only in (None, "backlog"):
                for backlog in BACKLOGS:
                    found.append(await self.backlog(port, backlog))
            if only in (None, "distant"):
                found += await self.distant()
            if only in (None, "signed"):
                await give_key(self.pool)
                signed = await self.carts(port, "signed")
                found += [*signed, *self.plain(port, signed)]
        return found

    async def carts(self, port: int, how: str) -> list[dict[str, Any]]:
        with self.sender(port, 16) as process:
            await self.send(process, "cart", WARM)
            cost = await self.send(process, "cart", MAILS)
            memory = process.resident_mb()
        on = {"mails": MAILS, "kb": 40, "connections": 16, "ledger": "on", "journal": "on"}
        name = f"sender_{how}"
        return [
            result(f"{name}_per_core", cost.per_core, "mails/s", "core", **on),
            result(name, cost.per_second, "mails/s", "wall", **on),
            result(f"{name}_python", cost.python / cost.mails * 1e6, "µs", "mail", **on),
            result(f"{name}_postgres", cost.postgres / cost.mails * 1e6, "µs", "mail", **on),
            result(f"{name}_resident", memory, "MB", "process", **on),
        ]

    async def distant(self) -> list[dict[str, Any]]:
        """Small mails, so that it is the distance that counts."""
        found: list[dict[str, Any]] = []
        with distant_sink(ROUND_TRIP_MS) as port:
            for connections, count in ((1, SMALL_ONE), (MANY, SMALL_MANY)):
                with self.sender(port, connections) as process:
                    await self.send(process, "small", connections * 10)
                    cost = await self.send(process, "small", count)
                on = {"mails": count, "kb": 2.5, "round_trip_ms": ROUND_TRIP_MS}
                name = f"sender_distant_{connections}"
                found += [
                    result(name, cost.per_second, "mails/s", f"{connections} connections", **on),
                    result(f"{name}_per_core", cost.per_core, "mails/s", "core", **on),
                ]
        return found

    async def backlog(self, port: int, count: int) -> dict[str, Any]:
        """The most memory while so many wait and some of them go."""
        with self.sender(port, 16) as process:
            before = await self.pool.fetchval(STORED)
            since = await self.ask("cart", count)
            await until(self.pool, STORED, before + count)
            await until_accepted(self.pool, since, BACKLOG_SENT)
            memory = process.resident_mb()
        await self.pool.execute(
            "DELETE FROM sender.message WHERE state IN ('pending', 'scheduled', 'sending')"
        )
        on = {"backlog": count, "sent": BACKLOG_SENT}
        return result(f"sender_resident_{count // 1_000}k", memory, "MB", "process", **on)

    def plain(self, port: int, signed: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The yardstick, and how we compare."""
        script = ROOT / "tests" / "bench" / "sender_plain.py"
        command = [sys.executable, str(script), str(port), str(PLAIN)]
        said = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
        took = json.loads(said.stdout)
        per_core, per_second = PLAIN / took["cpu"], PLAIN / took["seconds"]
        on = {"mails": PLAIN, "ledger": "none"}
        ours = {line["name"]: line["value"] for line in signed}
        against = ours["sender_signed_per_core"] / per_core
        against_wall = ours["sender_signed"] / per_second
        return [
            result("sender_plain_per_core", per_core, "mails/s", "core", **on),
            result("sender_plain", per_second, "mails/s", "wall", **on),
            result("sender_against_plain_per_core", against, "times", "core", **on),
            result("sender_against_plain", against_wall, "times", "wall", **on),
        ]


@asynccontextmanager
async def _ground(dsn: str) -> AsyncGenerator[Bench]:
    async with (
        open_pool(dsn) as pool,
        open_broker(load_settings(settings(dsn)), pool, exclusive=False) as broker,
    ):
        yield Bench(dsn, pool, broker, parent(await pool.fetchval(BACKEND)))


def measure(only: str | None = None) -> list[dict[str, Any]]:
    """Every phase, or the one that is named."""
    sink = smtp_sink()
    if sink is None:
        print("  smtp-sink is not installed (Debian: postfix); a sink of our own stands in for it")

    async def run(dsn: str) -> list[dict[str, Any]]:
        async with _ground(dsn) as bench:
            return await bench.run(sink, only)

    with database() as dsn:
        return asyncio.run(run(dsn))


if __name__ == "__main__":
    for line in measure(sys.argv[1] if len(sys.argv) > 1 else None):
        print(line["name"], line["value"], line["unit"], line["per"])
