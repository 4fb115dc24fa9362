"""Pause a journey, and let it go on: here at the next batch, at the sender by a command."""

import datetime as dt
from dataclasses import dataclass

import msgspec

from chappe.broker import Broker, Outgoing
from chappe.events import SENDS, Command, Hold, Release
from chappe.ids import WorkspaceId
from chappe.shards import wrap
from chappe_orchestrator.application.ports import Shelf


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseJourney:
    """Store it, then tell every shard of the sender. Doing it twice is doing it once."""

    shelf: Shelf
    broker: Broker

    async def __call__(
        self, workspace: WorkspaceId, name: str, at: dt.datetime, *, paused: bool
    ) -> bool:
        """False when there is no such published journey."""
        if not await self.shelf.set_paused(workspace, name, at, paused=paused):
            return False
        command: Command = (Hold if paused else Release)(workspace=workspace, journey=name, at=at)
        body = wrap(msgspec.json.encode(command))
        key = f"{workspace}/{name}".encode()
        partitions = range(self.broker.partitions)
        await self.broker.append(SENDS, [Outgoing(part, key, body) for part in partitions])
        return True
