"""After an erasure: what was set aside, and names the one who was erased, loses its content.

The names are known by their hashes alone, so the other way round: every name in a kept delivery is
hashed and looked up. Kept deliveries are bounded in number and in age.
"""

import asyncio
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec
import structlog

from chappe.events import Identifier, RawRecord
from chappe.ids import SourceId, WorkspaceId
from chappe_ingest.application.quarantine import HeldDeliveries
from chappe_ingest.application.resolving import Known, Understood, understand
from chappe_ingest.domain import identifiers as ids
from chappe_ingest.domain.identity import Key

CHUNK: Final = 200
IDLE_SECONDS: Final = 5.0
NAMES_MAX: Final = 1_000
"""Of one delivery."""

_ADDRESS = re.compile(r"[^\s\"'<>,;:()\[\]\\]{1,64}@[A-Za-z0-9.-]{1,190}")
_decode = msgspec.json.Decoder(RawRecord).decode

logger = structlog.get_logger(__name__)


class Kept(Protocol):
    """Dead letters, and which erasures have not been followed up."""

    async def unswept(self) -> Sequence[str]: ...

    async def letters(self, after: str, limit: int) -> Sequence[tuple[str, bytes]]:
        """By id, those that still have their content."""
        ...

    async def blank(self, letters: Sequence[str]) -> None: ...

    async def workspace_of(self, source: str) -> WorkspaceId | None: ...

    async def erased_of(self, keys: Sequence[Key]) -> set[Key]: ...

    async def swept(self, erasures: Sequence[str]) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Runs beside the resolver's shards."""

    kept: Kept
    quarantine: HeldDeliveries

    async def run(self) -> None:
        while True:
            await self.once()
            await asyncio.sleep(IDLE_SECONDS)

    async def once(self) -> int:
        """How many kept deliveries lost their content."""
        erasures = await self.kept.unswept()
        if not erasures:
            return 0
        lost = await self._letters() + await self._held()
        await self.kept.swept(erasures)
        logger.info("Kept deliveries looked through", erasures=len(erasures), blanked=lost)
        return lost

    async def _letters(self) -> int:
        after, lost = "", 0
        while page := await self.kept.letters(after, CHUNK):
            after = page[-1][0]
            names = {letter: _names_of_letter(value) for letter, value in page}
            found = await self._found(names)
            if found:
                await self.kept.blank(found)
            lost += len(found)
        return lost

    async def _held(self) -> int:
        lost = 0
        for source in await self.quarantine.sources():
            workspace = await self.kept.workspace_of(source)
            if workspace is None:
                continue
            held = await self.quarantine.of(source)
            found = await self._found({e.id: _addresses(workspace, e.body) for e in held})
            if found:
                await self.quarantine.forget(SourceId(source), found)
            lost += len(found)
        return lost

    async def _found(self, names: dict[str, set[Key]]) -> list[str]:
        every = sorted({key for keys in names.values() for key in keys})
        erased = await self.kept.erased_of(every) if every else set[Key]()
        return [each for each, keys in names.items() if keys & erased]


def _names_of_letter(value: bytes) -> set[Key]:
    try:
        raw = _decode(value)
    except (msgspec.MsgspecError, ValueError):
        return set()
    names = _addresses(raw.workspace, raw.body)
    try:
        meant = understand(raw, lambda _: Known())
    except Exception:  # noqa: BLE001 - an adapter's hole is why many letters are here
        return names
    if isinstance(meant, Understood):
        names |= set(_keys(raw.workspace, meant.meant.identifiers))
    return names


def _addresses(workspace: WorkspaceId, body: bytes) -> set[Key]:
    text = body.decode("utf-8", "replace")
    found = (ids.email(match[0]) for match in _ADDRESS.finditer(text))
    return set(list(_keys(workspace, (each for each in found if each is not None)))[:NAMES_MAX])


def _keys(workspace: WorkspaceId, named: Iterable[Identifier]) -> Iterable[Key]:
    return ((workspace, each.type, each.value) for each in named)
