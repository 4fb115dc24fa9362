"""Send dead letters through the resolver again, after an adapter learnt something.

They go in after verification, straight onto the stream, in the order in which they first came.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec
import structlog

from chappe.broker import Broker, Outgoing
from chappe.clock import Clock
from chappe.events import RAW_BULK, RAW_COMMERCE, RawRecord
from chappe.ids import NewId, WorkspaceId, partition_of
from chappe.shards import wrap
from chappe_ingest.domain import marks

REPLAY_MAX: Final = 5_000
"""Letters of one call; the answer says whether there are more."""

CHUNK: Final = 200

_decode = msgspec.json.Decoder(RawRecord).decode
_encode = msgspec.json.Encoder().encode

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter with its record."""

    id: str
    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which letters: all conditions hold. Those already replayed are left out, unless named."""

    ids: Sequence[str] | None = None
    source: str | None = None
    reason: str | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Replayed:
    """``unusable``: letters that are no deliveries at all; no adapter will read them."""

    replayed: int
    unusable: int
    more: bool


class Letters(Protocol):
    async def select(
        self, workspace: WorkspaceId, selection: Selection, limit: int
    ) -> Sequence[Letter]:
        """In the order in which their records came."""
        ...

    async def mark(
        self, letters: Sequence[str], replay: str, *, effects: bool, at: dt.datetime
    ) -> None:
        """Remember that they were replayed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """The way back in. ``effects`` False: their events are historical, and travel as bulk."""

    letters: Letters
    broker: Broker
    business: Clock
    new_id: NewId

    async def run(self, workspace: WorkspaceId, selection: Selection, *, effects: bool) -> Replayed:
        """Raises ``BrokerError``: then those before it are marked, and a second call goes on."""
        name = self.new_id("rp_")
        found = await self.letters.select(workspace, selection, REPLAY_MAX + 1)
        chosen, more = found[:REPLAY_MAX], len(found) > REPLAY_MAX
        replayed = unusable = 0
        stream = RAW_COMMERCE if effects else RAW_BULK
        for start in range(0, len(chosen), CHUNK):
            chunk = chosen[start : start + CHUNK]
            records = [(each, self._record(each, name, effects=effects)) for each in chunk]
            usable = [record for _, record in records if record is not None]
            if usable:
                await self.broker.append(stream, usable)
            done = [each.id for each, record in records if record is not None]
            await self.letters.mark(done, name, effects=effects, at=self.business.now())
            replayed += len(done)
            unusable += len(chunk) - len(done)
        logger.info("Dead letters replayed", replay=name, letters=replayed, effects=effects)
        return Replayed(replayed, unusable, more)

    def _record(self, letter: Letter, name: str, *, effects: bool) -> Outgoing | None:
        try:
            raw = _decode(letter.value)
        except (msgspec.MsgspecError, ValueError):
            return None
        headers = {**raw.headers, marks.REPLAY: name}
        headers.pop(marks.PAUSED, None)
        if not effects:
            headers[marks.HISTORICAL] = "1"
        body = _encode(msgspec.structs.replace(raw, headers=headers))
        return Outgoing(partition_of(letter.key, self.broker.partitions), letter.key, wrap(body))
