"""``up run demo migrate doctor``: what runs a server, or looks at what it would run on."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from chappe.settings import Settings, environment, load_settings
from chappe_cli import show
from chappe_cli.failure import CHECK_FAILED, Failure
from chappe_cli.server import DATA, DEMO_DATA

Data = Annotated[
    Path | None,
    typer.Option("--data", help="Data directory (CHAPPE_DATA, else build/data)."),
]
Host = Annotated[str, typer.Option(help="Address that everything listens on.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="HTTP port; 0 takes a free one.")]


def add_to(app: typer.Typer) -> None:
    app.command(epilog="Example:  chappe up --data /srv/chappe --port 8000")(up)
    app.command(epilog="Example:  chappe run orchestrator sender --port 8001")(run)
    app.command(epilog="Example:  chappe demo --once")(demo)
    app.command(epilog="Example:  CHAPPE_DATABASE_URL=postgresql://… chappe migrate")(migrate)
    app.command(epilog="Example:  chappe doctor --json")(doctor)


def up(
    data: Data = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    smtp_port: Annotated[
        int, typer.Option(min=0, max=65535, help="SMTP port of the built-in inbox.")
    ] = 1025,
    inbox_port: Annotated[
        int, typer.Option(min=0, max=65535, help="HTTP port of the built-in inbox.")
    ] = 8025,
    *,
    demo: Annotated[
        bool,
        typer.Option("--demo", help="With the demo page, the sample shop and a movable clock."),
    ] = False,
) -> None:
    """Run all of Chappe on this machine, with its own Postgres, log and inbox."""
    settings = load_settings(environment())
    _up(data or settings.data or DATA, host, port, smtp_port, inbox_port, demo=demo)


def _up(
    data: Path, host: str, port: int, smtp_port: int, inbox_port: int, *, demo: bool
) -> NoReturn:
    options = {
        "data": str(data),
        "host": host,
        "port": port,
        "smtp_port": smtp_port,
        "inbox_port": inbox_port,
        "demo": demo,
    }
    _become("up", options)


def run(
    services: Annotated[
        list[str], typer.Argument(help="ingest, resolver, orchestrator, sender, analytics.")
    ],
    host: Host = "127.0.0.1",
    port: Port = 8000,
) -> None:
    """Run some of the services in this process, on CHAPPE_DATABASE_URL and Kafka."""
    load_settings(environment())
    _become("run", {"services": services, "host": host, "port": port})


def demo(
    *,
    once: Annotated[
        bool, typer.Option("--once", help="Play the scenario without a page, check it, clean up.")
    ] = False,
    data: Annotated[Path, typer.Option(help="Data directory of the live demo.")] = DEMO_DATA,
    port: Port = 8000,
    smtp_port: Annotated[int, typer.Option(min=0, max=65535)] = 1025,
    inbox_port: Annotated[int, typer.Option(min=0, max=65535)] = 8025,
) -> None:
    """The live demo: a page, a shop, two journeys, an inbox, and a clock you can move."""
    load_settings(environment())
    if not once:
        _up(data, "127.0.0.1", port, smtp_port, inbox_port, demo=True)
    from chappe_onebox.demo.once import play_once

    raise typer.Exit(play_once(environment()))


def migrate(*, as_json: show.Json = False) -> None:
    """Bring the schemas of CHAPPE_DATABASE_URL up to date, under a lock."""
    from chappe_onebox.box.context import migrate_everything
    from chappe_onebox.box.refusals import refusal
    from chappe_onebox.box.roles import find_roles

    settings = load_settings(environment())
    if settings.database_url is None:
        raise Failure(
            "CHAPPE_DATABASE_URL is not set: give the DSN to migrate "
            "(`chappe up` migrates its own Postgres by itself)"
        )
    dsn = settings.database_url.get_secret_value()

    async def apply() -> list[str]:
        from chappe.postgres import open_pool

        async with open_pool(dsn, size=1) as pool:
            return await migrate_everything(pool, find_roles())

    try:
        applied = asyncio.run(apply())
    except Exception as error:
        refused = refusal(error)
        if refused is None:
            raise
        raise refused from error
    if as_json:
        show.document({"applied": applied}, as_json=True)
    else:
        print("\n".join(applied) or "up to date")


def doctor(data: Data = None, *, as_json: show.Json = False) -> None:
    """Check everything a server needs, and say how to mend it."""
    settings: Settings = load_settings(environment())
    from chappe_onebox.box.doctor import examine

    directory = (data or settings.data or DATA).expanduser().resolve()
    findings = asyncio.run(examine(settings, directory))
    if as_json:
        show.document(
            {
                "good": all(each.good for each in findings),
                "checks": [
                    {"name": each.name, "good": each.good, "says": each.says} for each in findings
                ],
            },
            as_json=True,
        )
    else:
        for each in findings:
            print(f"{'✔' if each.good else '✘'} {each.name}: {each.says}")
    if not all(each.good for each in findings):
        raise typer.Exit(CHECK_FAILED)


def _become(what: str, options: Mapping[str, object]) -> NoReturn:
    """Become the server: the command line's own libraries are left behind."""
    sys.stdout.flush()
    os.execv(  # noqa: S606 - ourselves, with arguments of our own making
        sys.executable, [sys.executable, "-P", "-m", "chappe_onebox", what, json.dumps(options)]
    )
