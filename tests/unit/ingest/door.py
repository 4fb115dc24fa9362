"""The edge over a log in memory, and a way to knock at it byte by byte."""

import asyncio
import base64
import datetime as dt
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from chappe.broker.memory import MemoryBroker
from chappe.clock import HandClock
from chappe.events import Event, RawEngagement, RawRecord, Stream, decode_event
from chappe.events.streams import EVENTS, RAW_COMMERCE, RAW_ENGAGEMENT
from chappe.http import create_app
from chappe.ids import DEFAULT_WORKSPACE, SourceId
from chappe.shards import unwrap
from chappe.tokens import Tokens, Vault
from chappe_ingest.application.inlet import Inlet
from chappe_ingest.application.quarantine import HeldDelivery, Quarantine
from chappe_ingest.application.source_table import SourceTable
from chappe_ingest.application.spool import Spool, Volume
from chappe_ingest.application.tally import Seen, Tally
from chappe_ingest.domain.source import Secret, Source, SourceState
from chappe_ingest.entrypoints.calls import Calls
from chappe_ingest.entrypoints.front import Front
from chappe_ingest.entrypoints.providers import Providers
from chappe_ingest.entrypoints.readers import Readers
from chappe_ingest.entrypoints.webhooks import Webhooks
from tests.unit.ingest.shop import NOW, SECRET

PARTITIONS = 4


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Store:
    """Sources in a list; ``reads`` counts how often somebody looked."""

    def __init__(self, *sources: Source) -> None:
        self.sources = list(sources)
        self.reads = 0
        self.away = False
        self.seen: dict[SourceId, Seen] = {}

    async def all(self) -> Sequence[Source]:
        self.reads += 1
        if self.away:
            raise OSError("the database is away")
        return self.sources

    async def add(self, seen: Mapping[SourceId, Seen]) -> None:
        self.seen.update(seen)


class Held:
    """The quarantine in memory, with room for ``room`` deliveries."""

    def __init__(self) -> None:
        self.room = 3
        self.deliveries: dict[SourceId, list[HeldDelivery]] = {}

    async def add(self, source: SourceId, held: HeldDelivery) -> bool:
        mine = self.deliveries.setdefault(source, [])
        if len(mine) >= self.room:
            return False
        mine.append(held)
        return True

    async def of(self, source: SourceId) -> Sequence[HeldDelivery]:
        return list(self.deliveries.get(source, ()))

    async def forget(self, source: SourceId, ids: Sequence[str]) -> None:
        left = [each for each in self.deliveries.get(source, ()) if each.id not in ids]
        self.deliveries[source] = left

    async def sources(self) -> Sequence[SourceId]:
        return [source for source, held in self.deliveries.items() if held]

    async def forget_old(self, days: int) -> None:
        del days


def source(kind: str, secret: str | None, **fields: Any) -> Source:
    given: dict[str, Any] = {
        "id": SourceId(f"src_{kind}"),
        "workspace": DEFAULT_WORKSPACE,
        "kind": kind,
        "name": "atelier",
        "namespace": "" if kind == "segment" else "atelier",
        "state": SourceState.ACTIVE,
        "secrets": (Secret(secret),) if secret else (),
        "created_at": NOW,
    }
    return Source(**(given | fields))


class Door:
    """The edge with a shop and a write key. Knock with ``post`` and ``get``."""

    def __init__(self, *sources: Source) -> None:
        self.store = Store(*(sources or (source("shopify", SECRET), source("segment", "wk_1"))))
        self.broker = MemoryBroker(PARTITIONS)
        self.business, self.wall = HandClock(NOW), HandClock(NOW)
        self.tokens, self.vault = Tokens(b"0123456789abcdef"), Vault(b"0123456789abcdef")
        self.table = SourceTable(self.store, self.wall)
        self.tally = Tally(self.store)
        self.held = Held()
        self._numbers = itertools.count(1)
        self._open(None)

    def with_spool(self, volume: Volume) -> Spool:
        """From now on the door has a spool; stop it at the end."""
        spool = Spool(volume, self.broker, self.wall)
        spool.start()
        self._open(spool)
        return spool

    def _new_id(self, prefix: str) -> str:
        return f"{prefix}{next(self._numbers)}"

    def _open(self, spool: Spool | None) -> None:
        self.inlet = Inlet(
            broker=self.broker,
            business=self.business,
            wall=self.wall,
            new_id=self._new_id,
            spool=spool,
        )
        readers = Readers(
            tokens=self.tokens, inlet=self.inlet, business=self.business, new_id=self._new_id
        )
        self.quarantine = Quarantine(self.held, self.inlet, self.business, self.wall, self._new_id)
        webhooks = Webhooks(
            sources=self.table,
            inlet=self.inlet,
            tally=self.tally,
            quarantine=self.quarantine,
            wall=self.wall,
            business=self.business,
        )
        calls = Calls(
            sources=self.table, inlet=self.inlet, tally=self.tally, business=self.business
        )
        self.app = Front(
            {
                "in": webhooks,
                "v1": calls,
                "o": readers.open,
                "c": readers.click,
                "u": readers.unsubscribe,
                "providers": Providers(
                    tokens=self.tokens,
                    vault=self.vault,
                    inlet=self.inlet,
                    business=self.business,
                    wall=self.wall,
                    new_id=self._new_id,
                ),
            },
            create_app("ingest", checks={}, distribution="chappe-ingest"),
        )

    async def knock(
        self,
        method: str,
        path: str,
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: Iterable[bytes] = (),
        silent: bool = False,
        client: str = "203.0.113.77",
    ) -> Answer:
        """One request. ``silent``: the body never ends."""
        chunks = list(body) or [b""]
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode("latin-1", "replace"),
            "query_string": b"",
            "root_path": "",
            "headers": [(n.lower().encode("latin-1"), v.encode("latin-1")) for n, v in headers],
            "client": (client, 1),
            "server": ("test", 80),
        }

        async def receive() -> Mapping[str, Any]:
            if not chunks:
                await asyncio.Event().wait()
            chunk = chunks.pop(0)
            return {"type": "http.request", "body": chunk, "more_body": bool(chunks) or silent}

        sent: list[dict[str, Any]] = []

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        start = sent[0]
        answer_headers = {n.decode(): v.decode() for n, v in start["headers"]}
        content = b"".join(message.get("body", b"") for message in sent[1:])
        return Answer(start["status"], answer_headers, content)

    async def get(self, path: str, **headers: str) -> Answer:
        given = [(name.replace("_", "-"), value) for name, value in headers.items()]
        return await self.knock("GET", path, headers=given)

    async def post(
        self, path: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> Answer:
        given = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        merged = given | dict(headers or {})
        return await self.knock("POST", path, headers=merged.items(), body=[body])

    def stored(self, stream: Stream = RAW_COMMERCE) -> list[tuple[int, bytes, bytes]]:
        """(partition, key, body) of every record."""
        return [
            (partition, record.key, unwrap(record.value)[1])
            for partition in range(PARTITIONS)
            for record in self.broker.log(stream, partition).slice(0, 100_000)
        ]

    def raws(self) -> list[RawRecord]:
        decoded = [msgspec.json.decode(body, type=RawRecord) for _, _, body in self.stored()]
        return sorted(decoded, key=lambda raw: int(raw.id.removeprefix("raw_")))

    def engagements(self) -> list[RawEngagement]:
        decode = msgspec.json.Decoder(RawEngagement).decode
        return [decode(body) for _, _, body in self.stored(RAW_ENGAGEMENT)]

    def events(self) -> list[Event]:
        return [decode_event(body) for _, _, body in self.stored(EVENTS)]


def basic(key: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode()}


def later(minutes: float) -> dt.datetime:
    return NOW + dt.timedelta(minutes=minutes)
