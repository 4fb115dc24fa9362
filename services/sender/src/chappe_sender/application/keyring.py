"""The keys that sign, at hand: read every few seconds, so that signing a message asks nobody."""

import asyncio
import datetime as dt
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Protocol

import structlog

from chappe.ids import WorkspaceId
from chappe_sender.domain.dkim import Key, KeyProblem, signer
from chappe_sender.domain.mime import Signer
from chappe_sender.domain.sender_domain import (
    DomainKey,
    KeyState,
    SenderDomain,
    signing_domains,
)

REFRESH_SECONDS: Final = 5.0

logger = structlog.get_logger(__name__)


class Signing(Enum):
    """How a message is signed for a way out; the value is what its signature leaves out."""

    WHOLE = frozenset[bytes]()
    BUT_ITS_ID = frozenset((b"message-id", b"date"))
    """For providers that write their own."""
    NOT = None
    """For those that take no finished message."""


class DomainShelf(Protocol):
    """Where domains and keys are kept."""

    async def all(
        self, workspace: WorkspaceId | None = None, name: str | None = None
    ) -> list[SenderDomain]: ...

    async def add(
        self, workspace: WorkspaceId, name: str, keys: Sequence[DomainKey], now: dt.datetime
    ) -> bool: ...

    async def add_keys(
        self, workspace: WorkspaceId, name: str, keys: Sequence[DomainKey]
    ) -> None: ...

    async def set_states(
        self, workspace: WorkspaceId, name: str, states: Mapping[str, KeyState], now: dt.datetime
    ) -> None: ...

    async def checked(
        self, domain: SenderDomain, found: Sequence[Mapping[str, Any]], now: dt.datetime
    ) -> None: ...

    async def to_check(
        self, now: dt.datetime, well: dt.datetime, wrong: dt.datetime, limit: int
    ) -> list[tuple[WorkspaceId, str]]: ...

    async def remove(self, workspace: WorkspaceId, name: str) -> bool: ...


class _Empty:
    async def all(self) -> list[SenderDomain]:
        return []


class _Reads(Protocol):
    async def all(self) -> list[SenderDomain]: ...


@dataclass(slots=True)
class Keyring:
    """All workspaces' signing keys, and which domains' marketing waits."""

    shelf: _Reads = field(default_factory=_Empty)
    _keys: dict[tuple[str, str], list[Key]] = field(default_factory=dict)
    _blocked: dict[tuple[str, str], str] = field(default_factory=dict)
    _known: dict[tuple[str, str], tuple[DomainKey, ...]] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def signer(
        self,
        workspace: str,
        domain: str,
        preferred: str,
        signed_at: int,
        without: AbstractSet[bytes],
    ) -> Signer | None:
        """For mail from ``domain``; None where no key may sign it."""
        if not self._keys:
            return None
        for name in signing_domains(domain, preferred):
            if keys := self._keys.get((workspace, name)):
                return signer(keys, signed_at=signed_at, without=without)
        return None

    def blocked(self, workspace: str, domain: str) -> str | None:
        """Why marketing from ``domain`` waits."""
        if not self._blocked:
            return None
        names = signing_domains(domain)
        return next(
            (self._blocked[workspace, n] for n in names if (workspace, n) in self._blocked), None
        )

    async def refresh(self) -> None:
        known = {(each.workspace, each.name): each for each in await self.shelf.all()}
        self._blocked = {key: each.blocked for key, each in known.items() if each.blocked}
        self._keys = {key: self._load(key, each) for key, each in known.items()}
        self._known = {key: each.keys for key, each in known.items()}

    def _load(self, key: tuple[str, str], domain: SenderDomain) -> list[Key]:
        if self._known.get(key) == domain.keys:
            return self._keys[key]
        try:
            return domain.signing_keys()
        except KeyProblem as problem:
            logger.exception("A domain's keys cannot sign", domain=domain.name, reason=str(problem))
            return []

    def changed(self) -> None:
        self._changed.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_SECONDS):
                    await self._changed.wait()
            await self.refresh()
