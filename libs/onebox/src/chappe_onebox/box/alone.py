"""Some of the services in a process of their own, on a Postgres and a broker that are there."""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from urllib.parse import urlsplit

from chappe.clock import WallClock
from chappe.http import Check
from chappe.service import Context
from chappe.settings import Settings
from chappe.tokens import Tokens, Vault, secret_key_of
from chappe_onebox.box.context import Ground, name_of_process, open_ground
from chappe_onebox.box.face import ADDRESSES, create_face
from chappe_onebox.box.failures import CannotStart
from chappe_onebox.box.life import Listening, Stop, live
from chappe_onebox.box.roles import find_roles
from chappe_onebox.box.router import Router
from chappe_onebox.box.web import WebServer, listen, port_of, url_of

SPOOLING = {"ingest"}
"""Roles that keep what they are given on their own disk while the log is away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What ``chappe run`` was asked for."""

    services: Sequence[str]
    host: str = "127.0.0.1"
    port: int = 8000


async def run_services(
    options: RunOptions, settings: Settings, announce: Callable[[str], None]
) -> None:
    """Run until a signal. Raises ``CannotStart``, or whatever unexpected ended it."""
    stop = Stop()
    stop.listen()
    roles = find_roles(options.services)
    dsn = _needed(settings)
    async with AsyncExitStack() as stack:
        web = listen(options.host, options.port, "--port")
        stack.callback(web.close)
        url = url_of(options.host, port_of(web))
        ground = await stack.enter_async_context(
            open_ground(
                settings,
                dsn,
                exclusive=False,
                migrating=None,
                spooling=set(roles) == SPOOLING and settings.data is not None,
            )
        )
        context = _context(settings, ground, url)
        services = [await stack.enter_async_context(role(context)) for role in roles.values()]
        face = create_face("+".join(roles), services, _checks(ground))
        routes = [(pattern, service.app) for service in services for pattern in service.patterns]
        router = Router([*routes, *((address, face) for address in ADDRESSES)])

        async def when_running() -> None:
            announce(url)

        await live(
            services,
            [Listening(WebServer(router, "web"), web)],
            stop=stop,
            when_running=when_running,
        )


def _needed(settings: Settings) -> str:
    """The DSN; separate processes also need the same key and token."""
    if settings.database_url is None:
        raise CannotStart(
            "CHAPPE_DATABASE_URL is not set: give the DSN of the Postgres that the services share "
            "(`chappe up` needs none: it brings its own)"
        )
    for name in ("secret_key", "admin_token"):
        if getattr(settings, name) is None:
            raise CannotStart(
                f"CHAPPE_{name.upper()} is not set: give every process the same one, "
                "32 random characters or more"
            )
    return settings.database_url.get_secret_value()


def _context(settings: Settings, ground: Ground, url: str) -> Context:
    assert settings.secret_key is not None
    assert settings.admin_token is not None
    try:
        key = secret_key_of(settings.secret_key.get_secret_value())
    except ValueError as error:
        raise CannotStart(str(error)) from error
    public = (settings.public_url or url).rstrip("/")
    return Context(
        settings=settings,
        pool=ground.pool,
        broker=ground.broker,
        business=WallClock(),
        wall=WallClock(),
        tokens=Tokens(key),
        vault=Vault(key),
        me=f"{name_of_process()}-{urlsplit(url).port}",
        admin_token=settings.admin_token.get_secret_value(),
        public_url=public,
        api_url=(settings.url or public).rstrip("/"),
        smtp_url=settings.smtp_url.get_secret_value() if settings.smtp_url else None,
    )


def _checks(ground: Ground) -> dict[str, Check]:
    async def postgres() -> None:
        await ground.pool.fetchval("SELECT 1")

    return {"postgres": postgres}  # each service says itself whether it needs the log
