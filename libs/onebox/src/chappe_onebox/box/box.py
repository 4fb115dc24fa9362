"""One box: Postgres, log, inbox and every service in one process, ready in seconds."""

import os
import socket
import urllib.parse
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chappe.clock import BusinessClock, WallClock
from chappe.http import Check
from chappe.http.app import run_checks
from chappe.service import Context, Service
from chappe.settings import Settings
from chappe.tokens import Tokens, Vault, secret_key_of
from chappe_onebox.box.context import Ground, name_of_process, open_ground
from chappe_onebox.box.directory import DataDirectory, open_directory
from chappe_onebox.box.face import ADDRESSES, create_face
from chappe_onebox.box.failures import CannotStart
from chappe_onebox.box.life import Listening, Stop, live, wait_until_good
from chappe_onebox.box.postgres import open_postgres
from chappe_onebox.box.roles import find_roles
from chappe_onebox.box.router import App, Router
from chappe_onebox.box.web import (
    WebServer,
    is_loopback,
    listen,
    port_failure,
    port_of,
    url_of,
)
from chappe_onebox.inbox import Inbox, open_inbox

READY_SECONDS_MAX = 60.0
ENDPOINTS = "endpoints.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What ``chappe up`` was asked for. Port 0 is a free one."""

    data: Path
    host: str = "127.0.0.1"
    port: int = 8000
    smtp_port: int = 1025
    inbox_port: int = 8025
    demo: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where everything listens; what ``endpoints.json`` holds."""

    url: str
    inbox: str | None
    smtp: str
    token: str
    pid: int


@dataclass(frozen=True, slots=True)
class _Doors:
    """Addresses on top of the services': the demo's. ``prepare`` runs once all is ready."""

    routes: Sequence[tuple[str, App]] = ()
    prepare: Callable[[], Awaitable[None]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Box:
    options: Options
    settings: Settings
    directory: DataDirectory
    clock: BusinessClock
    web: socket.socket
    inbox_web: socket.socket | None
    url: str
    token: str
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)


async def run_box(
    options: Options, settings: Settings, announce: Callable[[Endpoints], None]
) -> None:
    """Run until a signal. Raises ``CannotStart``, or whatever unexpected ended it."""
    stop = Stop()
    stop.listen()
    if options.demo:
        _check_demo(settings)
    with open_directory(options.data.expanduser().resolve()) as directory:
        directory.remove(ENDPOINTS)
        offset = directory.offset(movable=options.demo)
        async with AsyncExitStack() as stack:
            web = listen(options.host, options.port, "--port")
            stack.callback(web.close)
            inbox_web = None
            if settings.smtp_url is None:
                inbox_web = listen(options.host, options.inbox_port, "--inbox-port")
                stack.callback(inbox_web.close)
            given = settings.admin_token
            box = _Box(
                options=options,
                settings=settings.model_copy(update={"data": directory.path}),
                directory=directory,
                clock=BusinessClock(WallClock(), offset),
                web=web,
                inbox_web=inbox_web,
                url=url_of(options.host, port_of(web)),
                token=directory.secret("admin-token", given.get_secret_value() if given else None),
                stack=stack,
            )
            await _run(box, stop, announce)


def _check_demo(settings: Settings) -> None:
    """A demo writes to invented people: it may reach no real mail server."""
    if settings.smtp_url is None:
        return
    host = urllib.parse.urlsplit(settings.smtp_url.get_secret_value()).hostname or ""
    if not is_loopback(host):
        raise CannotStart(
            f"the demo writes to an inbox on this machine alone, CHAPPE_SMTP_URL leads to {host}:"
            " unset it for the built-in inbox, or leave out --demo"
        )


async def _run(box: _Box, stop: Stop, announce: Callable[[Endpoints], None]) -> None:
    roles = find_roles()
    embedded = box.settings.database_url is None
    guards: list[Callable[[], Coroutine[None, None, None]]] = []
    if box.settings.database_url is None:
        server = await box.stack.enter_async_context(open_postgres(box.directory.path / "postgres"))
        dsn = server.dsn
        guards.append(server.died)
    else:
        dsn = box.settings.database_url.get_secret_value()
    ground = await box.stack.enter_async_context(
        open_ground(box.settings, dsn, exclusive=embedded, migrating=roles)
    )
    inbox = await box.stack.enter_async_context(_open_inbox(box))
    context = _context(box, ground, inbox, exclusive=embedded)
    services = [await box.stack.enter_async_context(role(context)) for role in roles.values()]
    doors = await _doors(box, services, inbox)

    checks = _checks(ground, services, exclusive=embedded)
    face = create_face("onebox", services, checks)
    routes = [(pattern, service.app) for service in services for pattern in service.patterns]
    routes += [*doors.routes, *((address, face) for address in ADDRESSES)]
    listening = [Listening(WebServer(Router(routes), "web"), box.web)]
    if inbox is not None and box.inbox_web is not None:
        listening.append(Listening(WebServer(inbox.app, "inbox"), box.inbox_web))
    every = dict(checks)
    for service in services:
        every |= {f"{service.name}.{name}": check for name, check in service.checks.items()}

    async def when_running() -> None:
        await wait_until_good(lambda: run_checks(every), READY_SECONDS_MAX)
        if doors.prepare is not None:
            await doors.prepare()
        endpoints = _endpoints(box, context)
        box.directory.write(ENDPOINTS, _document(endpoints))
        announce(endpoints)

    def when_stopping() -> None:
        box.directory.remove(ENDPOINTS)
        if inbox is not None:
            inbox.end_streams()

    try:
        await live(
            services,
            listening,
            stop=stop,
            when_running=when_running,
            when_stopping=when_stopping,
            guards=guards,
        )
    finally:
        box.directory.remove(ENDPOINTS)


@asynccontextmanager
async def _open_inbox(box: _Box) -> AsyncGenerator[Inbox | None]:
    if box.inbox_web is None:
        yield None
        return
    port = box.options.smtp_port
    async with AsyncExitStack() as stack:
        try:
            inbox = await stack.enter_async_context(
                open_inbox(
                    directory=box.directory.path / "inbox",
                    host=box.options.host,
                    smtp_port=port,
                    clock=box.clock,
                )
            )
        except OSError as error:
            raise port_failure(error, box.options.host, port, "--smtp-port") from error
        yield inbox


def _context(box: _Box, ground: Ground, inbox: Inbox | None, *, exclusive: bool) -> Context:
    given = box.settings.secret_key
    text = box.directory.secret("secret-key", given.get_secret_value() if given else None)
    try:
        key = secret_key_of(text)
    except ValueError as error:
        raise CannotStart(str(error)) from error
    if inbox is not None:
        smtp_url = f"smtp://{_reachable(box.options.host)}:{inbox.smtp_port}"
    else:
        smtp_url = box.settings.smtp_url.get_secret_value() if box.settings.smtp_url else None
    return Context(
        settings=box.settings,
        pool=ground.pool,
        broker=ground.broker,
        business=box.clock,
        wall=WallClock(),
        tokens=Tokens(key),
        vault=Vault(key),
        me=name_of_process(),
        admin_token=box.token,
        public_url=(box.settings.public_url or box.url).rstrip("/"),
        api_url=box.url,
        smtp_url=smtp_url,
        exclusive=exclusive,
        evidence=inbox,
    )


def _reachable(host: str) -> str:
    return urllib.parse.urlsplit(url_of(host, 0)).hostname or host


async def _doors(box: _Box, services: Sequence[Service], inbox: Inbox | None) -> _Doors:
    if not box.options.demo:
        return _Doors()
    from chappe_onebox.demo.bootstrap import open_demo  # noqa: PLC0415 - a shop needs none of it

    inbox_url = None
    if inbox is not None and box.inbox_web is not None:
        inbox_url = url_of(box.options.host, port_of(box.inbox_web))
        for origin in (box.url, box.url.replace("127.0.0.1", "localhost")):
            inbox.app.allow_origin(origin)
    demo = await box.stack.enter_async_context(
        open_demo(
            directory=box.directory,
            clock=box.clock,
            services=services,
            inbox=inbox,
            url=box.url,
            inbox_url=inbox_url,
            token=box.token,
            local=is_loopback(box.options.host),
        )
    )
    return _Doors(demo.routes, demo.prepare)


def _checks(ground: Ground, services: Sequence[Service], *, exclusive: bool) -> dict[str, Check]:
    async def postgres() -> None:
        await ground.pool.fetchval("SELECT 1")

    checks: dict[str, Check] = {"postgres": postgres, "broker": ground.broker.ping}
    if exclusive:
        checks["shards"] = _claimed(services)
    return checks


def _claimed(services: Sequence[Service]) -> Check:
    """Alone on its data, this process owns every shard: until then it is not ready."""
    waiting = list(services)

    async def check() -> None:
        while waiting:
            busy = await waiting[0].busy()
            if busy is not None and "claiming" in busy:
                raise RuntimeError(busy)
            waiting.pop(0)

    return check


def _endpoints(box: _Box, context: Context) -> Endpoints:
    inbox = None if box.inbox_web is None else url_of(box.options.host, port_of(box.inbox_web))
    smtp = urllib.parse.urlsplit(context.smtp_url or "")
    return Endpoints(
        url=box.url,
        inbox=inbox,
        smtp=f"{smtp.hostname}:{smtp.port or 25}",
        token=box.token,
        pid=os.getpid(),
    )


def _document(endpoints: Endpoints) -> dict[str, Any]:
    return {name: getattr(endpoints, name) for name in Endpoints.__slots__}
