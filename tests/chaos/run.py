"""The fault run: people sign up while processes are killed and stalled; then everything is counted.

    python tests/chaos/run.py [--seconds 60] [--seed 1] [--broker kafka] [--only senders]

Separate processes, two of each stateful one, over a real Kafka or the embedded log. Every 0.4 to
1.6 s a fault is drawn from the seed: kill -9, or a stall of 3 to 5 s from which a process wakes as
a zombie. Then senders alone, as fast as they can, killed where it matters most: against a mail
server that hangs up at every stage, and against providers that take mail and lie about it. Writes
``build/chaos.json``; exit 1 when a mail is doubled, or missing without being in doubt.
"""

import argparse
import asyncio
import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from chappe.clock import WallClock  # noqa: E402
from chappe.testing import kafka  # noqa: E402
from chappe_onebox.box.postgres import open_postgres  # noqa: E402
from chappe_onebox.inbox import open_inbox  # noqa: E402
from tests.chaos import senders  # noqa: E402
from tests.e2e.apart.driving import api, messages, publish, received, sign_up  # noqa: E402
from tests.e2e.apart.fleet import CHAPPE, KEY, TOKEN, Fleet, Process, until  # noqa: E402

ROLES = ["ingest", "resolver", "analytics", "orchestrator", "orchestrator", "sender", "sender"]
PEOPLE_PER_TURN = 20
SETTLE_SECONDS_MAX = 120


async def main() -> int:
    """Run the faults; 0 when nothing was lost or doubled."""
    options = _options()
    counts: dict[str, Any] = {}
    async with AsyncExitStack() as stack:
        ground = await _ground(stack, options.broker)
        if options.only in {None, "fleet"}:
            fleet = await _fleet(stack, ground)
            counts = await _chaos(fleet, options.seconds, random.Random(options.seed))
            fleet.close()
        if options.only in {None, "senders"}:
            counts["senders"] = await _senders(ground, options.seconds, options.seed)
    counts |= {"seconds": options.seconds, "seed": options.seed, "broker": options.broker}
    out = ROOT / "build" / "chaos.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(counts, indent=2) + "\n", "utf-8")
    print(json.dumps(counts, indent=2))
    wrong = [run["wrong"] for run in counts.get("senders", {}).values() if run["wrong"]]
    return int(counts.get("doubled", 0) > 0 or counts.get("lost", 0) > 0 or bool(wrong))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--broker", choices=["kafka", "embedded"], default="kafka")
    parser.add_argument("--only", choices=["fleet", "senders"])
    return parser.parse_args()


@dataclass(frozen=True)
class Ground:
    """What every run stands on; each has a database and topics of its own."""

    directory: Path
    dsn: str
    kafka: str | None

    async def database(self, name: str) -> str:
        admin = await asyncpg.connect(self.dsn)
        await admin.execute(f"CREATE DATABASE {name}")
        await admin.close()
        return self.dsn.replace("/postgres?", f"/{name}?", 1)

    def broker(self) -> dict[str, str]:
        """The settings of an empty one."""
        if self.kafka is None:
            return {}
        return {
            "CHAPPE_KAFKA_BOOTSTRAP": self.kafka,
            "CHAPPE_KAFKA_PREFIX": f"chaos.{secrets.token_hex(4)}.",
        }


async def _ground(stack: AsyncExitStack, broker: str) -> Ground:
    directory = Path(tempfile.mkdtemp(prefix="chappe-chaos-"))
    stack.callback(shutil.rmtree, directory, ignore_errors=True)
    bootstrap = None
    if broker == "kafka":
        if reason := kafka.available():
            raise SystemExit(f"the fault run needs a Kafka of its own: {reason}")
        kafka.ensure_libs()
        server = kafka.KafkaBroker(directory / "kafka")
        await asyncio.to_thread(server.start)
        stack.callback(server.stop)
        bootstrap = server.bootstrap
    postgres = await stack.enter_async_context(open_postgres(directory / "postgres"))
    return Ground(directory, postgres.dsn, bootstrap)


async def _senders(ground: Ground, seconds: float, seed: int) -> dict[str, Any]:
    """Half of the time by SMTP, the rest shared by the providers."""
    found: dict[str, Any] = {}
    for at, name in enumerate(("relay", *senders.PROVIDERS)):
        database = await ground.database(f"senders_{name}")
        directory = ground.directory / name
        directory.mkdir()
        dice = random.Random(seed + at)
        more = ground.broker()
        if name == "relay":
            run = senders.by_relay(database, directory, seconds / 2, dice, **more)
        else:
            each = seconds / 2 / len(senders.PROVIDERS)
            run = senders.by_each_provider(name, database, directory, each, dice, **more)
        found[name] = await run
    return found


async def _fleet(stack: AsyncExitStack, ground: Ground) -> Fleet:
    inbox = await stack.enter_async_context(
        open_inbox(directory=ground.directory / "inbox", clock=WallClock())
    )
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(ground.directory),
        "CHAPPE_DATABASE_URL": await ground.database("fleet"),
        **ground.broker(),
        "CHAPPE_SMTP_URL": f"smtp://127.0.0.1:{inbox.smtp_port}",
        "CHAPPE_ADMIN_TOKEN": TOKEN,
        "CHAPPE_SECRET_KEY": KEY,
        "CHAPPE_SHARDS": "16",
        "CHAPPE_DATA": str(ground.directory / "data"),
        "CHAPPE_PUBLIC_URL": "https://mail.shop.example",
    }
    migrate = [CHAPPE, "migrate"]
    await asyncio.to_thread(subprocess.run, migrate, env=environment, check=True)
    fleet = Fleet(environment, inbox)
    stack.callback(fleet.close)
    return fleet


async def _chaos(fleet: Fleet, seconds: float, dice: random.Random) -> dict[str, Any]:
    running = [fleet.start(role) for role in ROLES]
    await asyncio.to_thread(until, "all ready", lambda: all(p.ready() for p in running))
    await asyncio.to_thread(publish, running[-1], running[3])
    source = api(running[0], "POST", "/api/v1/sources", {"kind": "segment", "name": "bar"})
    faults: Counter[str] = Counter()
    people = 0
    deadline = time.monotonic() + seconds
    striking = asyncio.create_task(_strike(fleet, running, dice, faults, deadline))
    while time.monotonic() < deadline:
        numbers = range(people, people + PEOPLE_PER_TURN)
        await asyncio.to_thread(_sign_up_somewhere, running, source["secret"], numbers)
        people = numbers.stop
        await asyncio.sleep(0.2)
    await striking
    wanted = {(f"p{n}@bar.example", name) for n in range(people) for name in ("first", "second")}
    doubtful: set[tuple[str, str]] = set()
    settle = time.monotonic() + SETTLE_SECONDS_MAX
    found = await received(fleet.inbox)
    while time.monotonic() < settle and not wanted - set(found) <= doubtful:
        await asyncio.sleep(1)
        found = await received(fleet.inbox)
        listed = await asyncio.to_thread(_in_doubt, running[-1])
        doubtful = {(one["address"], one["template"].split("@")[0]) for one in listed}
    return {
        "people": people,
        "mails": found.total(),
        "missing": len(wanted - set(found)),
        "in_doubt": len(doubtful),
        "lost": len(wanted - set(found) - doubtful),
        "doubled": sum(count > 1 for count in found.values()),
        "faults": dict(faults),
    }


def _sign_up_somewhere(running: list[Process], key: str, numbers: range) -> None:
    """Through whichever edge lives now; a repeat after a kill is harmless."""
    until("an edge that answers", running[0].ready)
    sign_up(running[0], key, numbers)


def _in_doubt(sender: Process) -> list[dict[str, Any]]:
    until("a sender that answers", sender.ready)
    return messages(sender, "in_doubt")


async def _strike(
    fleet: Fleet, running: list[Process], dice: random.Random, faults: Counter[str], end: float
) -> None:
    """Kill or stall one of the stateful processes at a time, until the end; then heal."""
    while time.monotonic() < end:
        await asyncio.sleep(dice.uniform(0.4, 1.6))
        at = dice.randrange(1, len(running))
        role = running[at].roles[0]
        if dice.random() < 0.7:
            faults[f"kill -9 {role}"] += 1
            await asyncio.to_thread(running[at].kill)
            running[at] = fleet.start(role)
        else:
            faults[f"stall {role}"] += 1
            running[at].handle.send_signal(signal.SIGSTOP)
            await asyncio.sleep(dice.uniform(3, 5))
            running[at].handle.send_signal(signal.SIGCONT)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
