"""Follow the canonical events: those of the last days in the order of storing, then what comes."""

from collections import Counter
from collections.abc import AsyncGenerator

from chappe.events import Stream
from chappe.ids import Shard, WorkspaceId
from chappe_analytics.application.ports import EventLog, KeptEvent

KEPT_PAGE = 500
PER_SHARD_MAX = 20
"""Of each shard and stream in one look, so that one look stays small with 64 shards behind."""


class Tail:
    """One follower. ``begin`` fixes the place where what was kept ends and what is new begins: a
    shard's positions move with its events in one commit, so nothing is shown twice or left out.
    """

    def __init__(self, log: EventLog, workspace: WorkspaceId) -> None:
        self._log = log
        self._workspace = workspace
        self._next: dict[tuple[Shard, Stream], int] = {}

    async def begin(self) -> None:
        self._until, positions = await self._log.positions()
        self._next = dict(positions)

    async def kept(self) -> AsyncGenerator[list[KeptEvent]]:
        """Everything kept before ``begin``, earliest first, page by page."""
        ends = dict(self._next)
        last: KeptEvent | None = None
        while True:
            page = await self._log.kept(
                self._workspace, after=last, until=self._until, limit=KEPT_PAGE
            )
            before = [e for e in page if e.offset < ends.get((e.shard, e.stream), 0)]
            if before:
                yield before
            if len(page) < KEPT_PAGE:
                return
            last = page[-1]

    async def new(self) -> list[KeptEvent]:
        """What has come since, in order within each shard; empty when there is nothing."""
        _, ends = await self._log.positions()
        behind = {
            place: self._next.get(place, 0)
            for place, end in ends.items()
            if self._next.get(place, 0) < end
        }
        if not behind:
            return []
        found = await self._log.since(self._workspace, behind, per_shard=PER_SHARD_MAX)
        seen = Counter((event.shard, event.stream) for event in found)
        for event in found:
            self._next[event.shard, event.stream] = event.offset + 1
        for place in behind:
            if seen[place] < PER_SHARD_MAX:
                self._next[place] = max(self._next.get(place, 0), ends[place])
        return found
