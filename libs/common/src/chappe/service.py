"""What a service is to whoever starts it: the command for one process, or the one box for all.

A service's ``bootstrap`` module has one function per process role, registered under the entry
point group ``chappe.services``: an async context manager factory ``role(context) -> Service``.
"""

import datetime as dt
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import asyncpg

from chappe.broker import Broker
from chappe.clock import Clock
from chappe.settings import Settings
from chappe.tokens import Tokens, Vault


class Evidence(Protocol):
    """Knows whether a message arrived, before it is called in doubt."""

    async def has(self, message_id: str) -> bool:
        """Whether a mail with this Message-ID header arrived."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Everything a service is given: it opens nothing of these itself and closes nothing of them.

    ``me`` names this process among those that share shards. ``public_url`` is in links, without a
    trailing slash; ``api_url`` is where the other services' public HTTP APIs are reached (the
    proxy, or the one box itself). ``business`` and ``wall`` are the two clocks. ``evidence`` is
    the built-in inbox, on one box. ``smtp_url`` is the default way out.
    """

    settings: Settings
    pool: asyncpg.Pool
    broker: Broker
    business: Clock
    wall: Clock
    tokens: Tokens
    vault: Vault
    me: str
    admin_token: str
    public_url: str
    api_url: str
    smtp_url: str | None
    exclusive: bool = False
    evidence: Evidence | None = None


async def _not_busy() -> str | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service that is ready to run.

    ``app`` is its ASGI app; ``run`` works until cancelled or until something unexpected ends the
    process; ``stop`` asks ``run`` to finish what it holds and return. ``patterns`` are the paths it
    owns, as in the table of addresses (a trailing ``*`` is any rest). ``busy`` says what is not at
    rest, ``next_due`` when the earliest timer or schedule is due on the business clock, ``wake``
    makes it look again after the clock was moved.
    """

    name: str
    app: Callable[..., Awaitable[None]]
    patterns: tuple[str, ...]
    run: Callable[[], Awaitable[None]]
    stop: Callable[[], Awaitable[None]]
    busy: Callable[[], Awaitable[str | None]] = _not_busy
    next_due: Callable[[], Awaitable[dt.datetime | None]] | None = None
    wake: Callable[[], None] = lambda: None
    checks: dict[str, Callable[[], Awaitable[None]]] = field(default_factory=dict[str, Any])


class Role(Protocol):
    """The shape of the functions under ``chappe.services``."""

    def __call__(self, context: Context) -> AbstractAsyncContextManager[Service]: ...
