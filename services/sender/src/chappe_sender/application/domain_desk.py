"""Sender domains: add, rotate, look at DNS, and let marketing wait where DNS contradicts us."""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import structlog

from chappe.clock import Clock
from chappe.ids import NewId, WorkspaceId
from chappe_sender.application.keyring import DomainShelf, Keyring
from chappe_sender.domain.domain_check import (
    Finding,
    Look,
    Names,
    Result,
    ReturnTest,
    Way,
    to_publish,
)
from chappe_sender.domain.sender_domain import (
    FREEMAIL,
    RETIRED_FOR,
    DomainKey,
    KeyState,
    SenderDomain,
    new_keys,
    parse_domain,
)

BLOCK_AFTER: Final = 2
"""Looks in a row that must see a mismatch before marketing waits."""
LOOK_EVERY: Final = dt.timedelta(days=1)
LOOK_AGAIN: Final = dt.timedelta(minutes=30)
LOOKS_AT_ONCE: Final = 20
IDLE_SECONDS: Final = 600.0

logger = structlog.get_logger(__name__)


class DomainRefused(Exception):
    """The domain cannot be used; the text says why."""


@dataclass(slots=True)
class DomainDesk:
    """What people do with domains. ``ways`` gives a workspace's ways out for mail from a domain."""

    shelf: DomainShelf
    keyring: Keyring
    names: Names
    ways: Callable[[WorkspaceId, str], Awaitable[Sequence[Way]]]
    bounce_domain: str | None
    wall: Clock
    new_id: NewId
    returning: ReturnTest | None = None

    async def add(self, workspace: WorkspaceId, text: str, *, ed25519: bool) -> SenderDomain:
        """With a key that signs at once. Raises ``DomainRefused``."""
        name = parse_domain(text)
        if name is None:
            raise DomainRefused(f"{text!r} is not a domain")
        if name in FREEMAIL:
            raise DomainRefused(f"{name} is everybody's: mail from it by others fails DMARC")
        keys = await self._make(name, KeyState.ACTIVE, ed25519=ed25519)
        if not await self.shelf.add(workspace, name, keys, self.wall.now()):
            raise DomainRefused(f"{name} is there already")
        await self.keyring.refresh()
        return await self.find(workspace, name)

    async def find(self, workspace: WorkspaceId, text: str) -> SenderDomain:
        """Raises ``LookupError``."""
        found = await self.shelf.all(workspace, parse_domain(text) or "")
        if not found:
            raise LookupError(text)
        return found[0]

    async def rotate(self, workspace: WorkspaceId, text: str, *, now: bool) -> SenderDomain:
        """New keys, which sign once a check has seen them published, or ``now``."""
        domain = await self.find(workspace, text)
        both = any(key.algorithm.startswith("ed25519") for key in _current(domain))
        state = KeyState.ACTIVE if now else KeyState.WAITING
        fresh = await self._make(domain.name, state, ed25519=both)
        await self.shelf.add_keys(workspace, domain.name, fresh)
        old = [key.selector for key in _current(domain) if now or key.state is KeyState.WAITING]
        await self._set(domain, dict.fromkeys(old, KeyState.RETIRED))
        return await self.find(workspace, domain.name)

    async def remove(self, workspace: WorkspaceId, text: str) -> bool:
        gone = await self.shelf.remove(workspace, parse_domain(text) or "")
        await self.keyring.refresh()
        return gone

    async def check(self, workspace: WorkspaceId, text: str) -> dict[str, Any]:
        """Look, remember what was seen, and say it. One that was never added is looked at too."""
        name = parse_domain(text)
        if name is None:
            raise DomainRefused(f"{text!r} is not a domain")
        known = await self.shelf.all(workspace, name)
        now = self.wall.now()
        domain = known[0] if known else SenderDomain(workspace, name, now)
        ways = await self.ways(workspace, name)
        look = Look(self.names, name, domain.keys, self.bounce_domain, self.returning)
        seen = await look.dkim()
        if known:
            domain = await self._activate(domain, seen)
            look = replace(look, keys=domain.keys)
            seen = [(_same(domain, key), finding) for key, finding in seen]
        returned = await look.returned()
        routes = [await _route(look, way, seen, returned) for way in ways]
        mismatches = [
            each["detail"] for route in routes for each in route["results"] if each["mismatch"]
        ]
        if known:
            domain = _judged(domain, mismatches)
            await self.shelf.checked(domain, routes, now)
            await self.keyring.refresh()
        return _shown(domain, routes, ways, self.bounce_domain, now, known=bool(known))

    async def run(self) -> None:
        """Look again at what was looked at once: daily, sooner where something was wrong."""
        while True:
            await asyncio.sleep(IDLE_SECONDS)
            now = self.wall.now()
            for workspace, name in await self.shelf.to_check(
                now, now - LOOK_EVERY, now - LOOK_AGAIN, LOOKS_AT_ONCE
            ):
                found = await self.check(workspace, name)
                if found["blocked"]:
                    logger.warning("Marketing waits", domain=name, reason=found["blocked"])

    async def _make(self, name: str, state: KeyState, *, ed25519: bool) -> list[DomainKey]:
        now = self.wall.now()
        return await asyncio.to_thread(
            new_keys, name, ed25519_too=ed25519, state=state, new_id=self.new_id, now=now
        )

    async def _activate(
        self, domain: SenderDomain, seen: Sequence[tuple[DomainKey, Finding]]
    ) -> SenderDomain:
        """What waited and is published signs from now on, in the place of its elders."""
        ready = [
            key
            for key, finding in seen
            if key.state is KeyState.WAITING and finding.result is Result.PASS
        ]
        if not ready:
            return domain
        replaced = {key.algorithm for key in ready}
        states = {
            key.selector: KeyState.RETIRED
            for key in domain.keys
            if key.state is KeyState.ACTIVE and key.algorithm in replaced
        }
        states |= {key.selector: KeyState.ACTIVE for key in ready}
        await self._set(domain, states)
        return await self.find(domain.workspace, domain.name)

    async def _set(self, domain: SenderDomain, states: dict[str, KeyState]) -> None:
        await self.shelf.set_states(domain.workspace, domain.name, states, self.wall.now())
        await self.keyring.refresh()


def _current(domain: SenderDomain) -> list[DomainKey]:
    return [key for key in domain.keys if key.state is not KeyState.RETIRED]


def _same(domain: SenderDomain, key: DomainKey) -> DomainKey:
    return next(each for each in domain.keys if each.selector == key.selector)


async def _route(
    look: Look, way: Way, seen: Sequence[tuple[DomainKey, Finding]], returned: Finding | None
) -> dict[str, Any]:
    if way.kind == "inbox":
        why = "the built-in inbox asks for nothing"
        names = ("SPF", "DKIM", "DMARC", "PTR", "MX")
        findings = [Finding(name, Result.UNKNOWN, why) for name in names]
    else:
        findings = await look.way(way, seen)
        findings += [returned] if returned is not None else []
    return {
        "route": way.name,
        "kind": way.kind,
        "results": [asdict(each) for each in findings],
    }


def _judged(domain: SenderDomain, mismatches: Sequence[str]) -> SenderDomain:
    count = domain.mismatches + 1 if mismatches else 0
    why = "; ".join(dict.fromkeys(mismatches)) if count >= BLOCK_AFTER else None
    return replace(domain, mismatches=count, blocked=why)


def _shown(
    domain: SenderDomain,
    routes: Sequence[dict[str, Any]],
    ways: Sequence[Way],
    bounce_domain: str | None,
    now: dt.datetime,
    *,
    known: bool,
) -> dict[str, Any]:
    results = {each["result"] for route in routes for each in route["results"]}
    worst = next((r for r in (Result.FAIL, Result.UNKNOWN) if r in results), Result.PASS)
    kept = [
        key.record_name(domain.name)
        for key in domain.keys
        if key.state is KeyState.RETIRED and now - key.changed_at < RETIRED_FOR
    ]
    return {
        "domain": domain.name,
        "added": known,
        "result": worst,
        "blocked": domain.blocked,
        "routes": list(routes),
        "publish": [asdict(e) for e in to_publish(domain.name, domain.keys, ways, bounce_domain)],
        "keep_published": kept,
    }
