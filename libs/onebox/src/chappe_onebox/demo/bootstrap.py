"""Put the demo together: its clock, its shop, its page."""

import asyncio
import datetime as dt
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias
from urllib.parse import urlsplit

import httpx
from fastapi import FastAPI

from chappe.clock import BusinessClock
from chappe.http import problems
from chappe.ids import random_id
from chappe.service import Service
from chappe_onebox.client import Api
from chappe_onebox.demo.clock_api import add_clock
from chappe_onebox.demo.mover import Mover
from chappe_onebox.demo.page import add_page
from chappe_onebox.demo.shop_api import Counter, add_shop
from chappe_onebox.demo.world import Directory, World, prepare
from chappe_onebox.inbox import Inbox
from chappe_onebox.shop import Shop

App: TypeAlias = Callable[..., Awaitable[None]]
PATTERNS = ("/", "/api/v1/demo/*")


class Kept(Directory, Protocol):
    """The data directory, as far as the demo goes."""

    def keep_offset(self, offset: dt.timedelta) -> None: ...


@dataclass(frozen=True, slots=True)
class Demo:
    """``routes`` to add to the box's, ``prepare`` to await once it answers."""

    routes: Sequence[tuple[str, App]]
    prepare: Callable[[], Awaitable[None]]


@asynccontextmanager
async def open_demo(
    *,
    directory: Kept,
    clock: BusinessClock,
    services: Sequence[Service],
    inbox: Inbox | None,
    url: str,
    inbox_url: str | None,
    token: str,
    local: bool,
) -> AsyncGenerator[Demo]:
    """``local``: only this machine reaches the box, so the page may carry the token."""
    app = FastAPI(title="Chappe demo", docs_url=None, redoc_url=None)
    problems.install(app)
    mover = Mover(clock=clock, services=services, inbox=inbox, keep=directory.keep_offset)
    made: dict[str, Any] = {}

    async with httpx.AsyncClient(trust_env=False) as http:

        def world() -> World | None:
            return made.get("world")

        def counter() -> Counter | None:
            return made.get("counter")

        async def set_up() -> None:
            def ask() -> World:
                with Api(url, token) as api:
                    return prepare(api, directory)

            made["world"] = ready = await asyncio.to_thread(ask)
            shop = Shop(
                client=http,
                address=url + urlsplit(ready.shop.url).path,  # the port may be another each time
                secret=ready.shop.secret,
                clock=clock,
                new_id=random_id,
            )
            made["counter"] = Counter(shop)

        add_clock(app, clock, mover, token)
        add_shop(app, counter, token)
        add_page(app, world=world, inbox_url=inbox_url, token=token if local else None)
        yield Demo([(pattern, app) for pattern in PATTERNS], set_up)
