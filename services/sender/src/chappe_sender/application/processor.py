"""The sender's part in the life of a shard: commands into the ledger, events into permissions."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from chappe.clock import Clock
from chappe.events import Event, Send
from chappe.events.streams import (
    EVENTS,
    EVENTS_BULK,
    RAW_DELIVERY,
    SENDS,
    SENDS_BULK,
    Stream,
)
from chappe.ids import WorkspaceId
from chappe.shards import Batch, DeadLetter, Input, Owned
from chappe_sender.application import desk
from chappe_sender.application.ports import (
    Catalogue,
    Changes,
    Ledger,
    Loaded,
    TemplateFacts,
    Wanted,
)
from chappe_sender.domain import double_opt_in


class Shards(Protocol):
    """Who hands over what the processor takes in."""

    async def adopt(self, shards: Sequence[Owned]) -> None:
        """Conclude what the last owner left, then hand over from these shards too."""
        ...

    async def finish(self, shards: Sequence[int]) -> None:
        """Take nothing more from these, and wait for what is on the wire."""
        ...

    async def forget(self, shards: Sequence[int]) -> None: ...

    def wake(self) -> None:
        """There may be something to hand over."""
        ...

    def advanced(self) -> None:
        """The shards have read on: what waited for that may go."""
        ...


class ComingBack(Protocol):
    """Who works off what providers and servers tell."""

    async def take_in(self, inputs: Sequence[Input], now: dt.datetime) -> list[DeadLetter]:
        """Keep what concerns it; what cannot be read comes back. Before the batch's commit."""
        ...


@dataclass(slots=True)
class SenderProcessor:
    """Implements ``chappe.shards.Processor``."""

    ledger: Ledger
    catalogue: Catalogue
    shards: Shards
    clock: Clock
    coming_back: ComingBack
    name: str = "sender"
    schema: str = "sender"
    inputs: Sequence[Stream] = (EVENTS, SENDS, RAW_DELIVERY, EVENTS_BULK, SENDS_BULK)
    timer_stream: Stream | None = None
    _holds: set[tuple[int, WorkspaceId, str]] = field(default_factory=set)

    async def claimed(self, shards: Sequence[Owned]) -> None:
        self._holds |= await self.ledger.holds([owned.shard for owned in shards])
        await self.shards.adopt(shards)

    async def releasing(self, shards: Sequence[int]) -> None:
        await self.shards.finish(shards)

    async def released(self, shards: Sequence[int]) -> None:
        gone = set(shards)
        self._holds = {hold for hold in self._holds if hold[0] not in gone}
        await self.shards.forget(shards)

    async def apply(self, batch: Batch) -> None:
        unreadable = await self.coming_back.take_in(batch.inputs, batch.now)
        ours = [item for item in batch.inputs if item.stream != RAW_DELIVERY]
        found, dead = desk.read(ours, batch.now)
        dead += unreadable
        templates = await self._templates(found)
        made: list[Changes] = []

        def decide(loaded: Loaded) -> Changes:
            changes = desk.decide(found, loaded, templates, self._holds, batch.now)
            changes.dead = dead
            made.append(changes)
            return changes

        await self.ledger.apply(batch, desk.wanted(found), decide)
        for change in made[-1].holds:
            key = (change.shard, change.workspace, change.journey)
            (self._holds.add if change.held else self._holds.discard)(key)
        asked = any(changes.asked for changes in made)
        if asked or any(item.stream in (SENDS, SENDS_BULK) for item in batch.inputs):
            self.shards.wake()
        else:
            self.shards.advanced()

    async def _templates(
        self, found: list[desk.Read]
    ) -> dict[tuple[WorkspaceId, str], TemplateFacts | None]:
        templates: dict[tuple[WorkspaceId, str], TemplateFacts | None] = {}
        for _, what in found:
            match what:
                case Send():
                    key = (what.workspace, what.template)
                case Event() if double_opt_in.address_to_ask(what) is not None:
                    key = (what.workspace, double_opt_in.NAME)
                case _:
                    continue
            if key in templates:
                continue
            version = await self.catalogue.version(*key)
            templates[key] = (
                TemplateFacts(version.id, version.message_class, version.topic) if version else None
            )
        return templates

    async def poison(self, batch: Batch, error: Exception) -> None:
        dead = [
            DeadLetter(item, f"the database refuses it: {error}", batch.now)
            for item in batch.inputs
        ]
        await self.ledger.apply(
            batch, Wanted(frozenset(), frozenset()), lambda _: Changes(dead=dead)
        )

    def next_due(self) -> dt.datetime | None:
        return None

    def due_shards(self, now: dt.datetime) -> Sequence[int]:
        _ = now
        return ()
