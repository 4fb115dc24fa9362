"""What the engine reads of the simulated tables; it writes by the statement of production."""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import msgspec
from typing_extensions import override

from chappe.ids import ContactId, WorkspaceId
from chappe.journey import Program
from chappe.shards import Input
from chappe_orchestrator.adapters.store import PostgresStore
from chappe_orchestrator.application.library import Library
from chappe_orchestrator.application.ports import (
    KeptInput,
    Loaded,
    StoredVersion,
    SweepRow,
    Wakeup,
    Who,
)
from chappe_orchestrator.domain import Contact, Enrollment, Key, KeyMark, Timer
from chappe_orchestrator.domain.profile import read_profile
from tests.sim.database import Database
from tests.sim.faults import Faults
from tests.sim.journeys import compiled
from tests.sim.pool import SimPool

read_enrollment = msgspec.json.Decoder(Enrollment).decode


class SimDefinitions:
    """The journeys as published (``chappe_orchestrator.application.ports.Definitions``)."""

    def __init__(self, database: Database, faults: Faults) -> None:
        self._kept = database.kept
        self._faults = faults

    async def read(self) -> tuple[int, Sequence[StoredVersion]]:
        await self._faults.trip()
        kept = self._kept
        found = [replace(v, paused=v.journey in kept.paused) for v in kept.versions]
        generation = kept.generation
        await self._faults.trip()
        return generation, found

    async def settings(self) -> Mapping[WorkspaceId, bytes]:
        return {}

    async def segments(self) -> Mapping[WorkspaceId, Sequence[bytes]]:
        return {}

    async def generation(self) -> int:
        await self._faults.trip()
        return self._kept.generation


class SimLibrary(Library):
    """Every process compiles the journeys again; here they are compiled once for all worlds."""

    def __init__(self, database: Database, faults: Faults) -> None:
        super().__init__(SimDefinitions(database, faults))
        known: dict[tuple[WorkspaceId, str, int], Program] = compiled()
        self._programs = dict(known)


class SimStore(PostgresStore):
    """One process's view of the tables."""

    def __init__(self, pool: SimPool, database: Database, faults: Faults) -> None:
        super().__init__(cast("Any", pool))
        self._database = database
        self._faults = faults

    @override
    async def load(
        self, contacts: Sequence[Who], keys: Collection[tuple[Who, Key]], now: dt.datetime
    ) -> Loaded:
        await self._faults.trip()
        database = self._database
        loaded = Loaded(generation=database.kept.generation)
        for who in contacts:
            held = database.profiles.get(who)
            if who in database.gone:
                loaded.gone[who] = cast("Any", database.gone[who][1])
            if who in database.parked:
                loaded.parked.add(who)
            if held is not None:
                workspace, doc = held
                state = Contact(who.contact, WorkspaceId(workspace), read_profile(doc))
                found = [e for e in self._of(who) if e.status == "active" or _watched(e, now)]
                state.enrollments = {e.id: e for e in found}
                loaded.contacts[who] = state
        for who, key in keys:
            mark = database.keys.get(who, {}).get((key.journey, key.value))
            if mark is not None:
                loaded.keys.setdefault(who, {})[key] = KeyMark(*mark)
        for who, state in loaded.contacts.items():
            state.keys = loaded.keys.get(who, {})
        await self._faults.trip()
        return loaded

    @override
    async def everything(
        self, contacts: Sequence[Who]
    ) -> dict[Who, tuple[list[Enrollment], dict[Key, KeyMark]]]:
        await self._faults.trip()
        return {
            who: (
                self._of(who),
                {
                    Key(*key): KeyMark(*mark)
                    for key, mark in self._database.keys.get(who, {}).items()
                },
            )
            for who in contacts
        }

    def _of(self, who: Who) -> list[Enrollment]:
        found = [read_enrollment(doc) for doc in self._database.enrollments.get(who, {}).values()]
        return sorted(found, key=lambda one: (one.entered_at, one.id))

    @override
    async def timers(self, after: Mapping[int, dt.datetime], limit: int) -> dict[int, list[Wakeup]]:
        await self._faults.trip()
        found: dict[int, list[Wakeup]] = {}
        for (shard, due, kind, subject, token), contact in sorted(self._database.timers.items()):
            if shard in after and due >= after[shard]:
                wakeup = Wakeup(Timer(due, subject, token, kind), ContactId(contact))
                found.setdefault(shard, []).append(wakeup)
        return found

    @override
    async def sweeps(self, shards: Iterable[int]) -> list[SweepRow]:
        await self._faults.trip()
        wanted = set(shards)
        return [
            SweepRow(shard, WorkspaceId(workspace), journey, *place)
            for (shard, workspace, journey), place in self._database.sweeps.items()
            if shard in wanted
        ]

    @override
    async def contacts_after(
        self, shard: int, workspace: WorkspaceId, after: str, limit: int
    ) -> list[ContactId]:
        await self._faults.trip()
        found = sorted(who[1] for who in self._database.profiles if who[0] == shard)
        return [ContactId(one) for one in found if one > after][:limit]

    @override
    async def resumable(
        self, shards: Iterable[int], after: tuple[int, str, str], limit: int
    ) -> list[tuple[Who, Timer]]:
        await self._faults.trip()
        wanted, paused = set(shards), self._database.kept.paused
        found: list[tuple[Who, Timer]] = []
        for (shard, contact), held in self._database.enrollments.items():
            for one in map(read_enrollment, held.values() if shard in wanted else ()):
                is_free = one.held and one.status == "active" and one.journey not in paused
                if is_free and one.due_at is not None and (shard, contact, one.id) > after:
                    who = Who(shard, ContactId(contact))
                    found.append((who, Timer(one.due_at, one.id, one.token)))
        return sorted(found, key=lambda one: (*one[0], one[1].subject))[:limit]

    @override
    async def parked_inputs(self, contacts: Sequence[Who], limit: int) -> list[KeptInput]:
        await self._faults.trip()
        return [
            KeptInput(who, number, Input(who.shard, cast("Any", stream), offset, b"", body))
            for who in contacts
            for number, stream, offset, body in self._database.waiting.get(who, [])[:limit]
        ]


def _watched(one: Enrollment, at: dt.datetime) -> bool:
    return one.watch_until is not None and one.watch_until > at
