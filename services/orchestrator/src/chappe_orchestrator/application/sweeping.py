"""A journey that a date or a silence begins was published, or a segment written: look once at
everybody who is there already.

Each shard walks its contacts a few at a time, between other work, and keeps its place.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from chappe.ids import WorkspaceId
from chappe_orchestrator.application.library import Library
from chappe_orchestrator.application.ports import Store, SweepRow, Who
from chappe_orchestrator.domain.segments import SEGMENTS

CONTACTS_PER_BATCH = 100
NO_SEGMENTS = 0
"""The version of a workspace's segments once the last of them is deleted."""

_Place = tuple[int, WorkspaceId, str]


@dataclass(frozen=True, slots=True)
class Portion:
    """The contacts of one shard to look at in one batch, and the place after them."""

    journey: str
    workspace: WorkspaceId
    contacts: list[Who]
    row: SweepRow


@dataclass(slots=True)
class Sweeps:
    """What the owned shards still have to look at."""

    store: Store
    library: Library
    _rows: dict[_Place, SweepRow] = field(default_factory=dict[_Place, SweepRow])
    _owned: set[int] = field(default_factory=set[int])
    _open: dict[int, list[SweepRow]] = field(default_factory=dict[int, list[SweepRow]])

    async def claim(self, shards: Iterable[int]) -> None:
        """Learn how far these shards have come."""
        claimed = list(shards)
        self._owned |= set(claimed)
        for row in await self.store.sweeps(claimed):
            self._rows[row.shard, row.workspace, row.journey] = row
        self.plan()

    def release(self, shards: Iterable[int]) -> None:
        gone = set(shards)
        self._owned -= gone
        self._rows = {place: row for place, row in self._rows.items() if place[0] not in gone}
        self._open = {shard: rows for shard, rows in self._open.items() if shard not in gone}

    def plan(self) -> None:
        """Find what is left to do; the journeys may be others now."""
        self._open = {}
        watching = list(self.library.watching())
        with_segments = {workspace for workspace, name, _ in watching if name == SEGMENTS}
        without = {place[1] for place in self._rows if place[2] == SEGMENTS} - with_segments
        watching += [(workspace, SEGMENTS, NO_SEGMENTS) for workspace in without]
        for workspace, journey, version in watching:
            for shard in self._owned:
                row = self._rows.get((shard, workspace, journey))
                if row is None or row.version != version:
                    row = SweepRow(shard, workspace, journey, version, "", done=False)
                if not row.done:
                    self._open.setdefault(shard, []).append(row)

    def waiting(self) -> list[int]:
        """The shards that have something left to do."""
        return list(self._open)

    async def portions(self, shards: Iterable[int]) -> list[Portion]:
        """The next few contacts of each of these shards."""
        found: list[Portion] = []
        for shard in shards:
            rows = self._open.get(shard)
            if not rows:
                continue
            row = rows[0]
            contacts = await self.store.contacts_after(
                shard, row.workspace, row.after, CONTACTS_PER_BATCH
            )
            done = len(contacts) < CONTACTS_PER_BATCH
            after = row._replace(after=contacts[-1] if contacts else row.after, done=done)
            whos = [Who(shard, contact) for contact in contacts]
            found.append(Portion(row.journey, row.workspace, whos, after))
        return found

    def apply(self, rows: Iterable[SweepRow]) -> None:
        """Follow a commit."""
        moved = {(row.shard, row.workspace, row.journey): row for row in rows}
        if moved:
            self._rows |= moved
            self.plan()
