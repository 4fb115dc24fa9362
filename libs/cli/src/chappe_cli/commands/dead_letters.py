"""``chappe dead-letters``: what nobody could use, and why."""

from typing import Annotated, Any

import typer

from chappe_cli import show
from chappe_cli.server import connect

app = typer.Typer(help="What could not be used, and why.")

SERVICES = ("resolver", "orchestrator", "sender", "analytics")
NOT_FOUND = 404


@app.command("list", epilog="Example:  chappe dead-letters list --service resolver")
def list_(
    service: Annotated[str | None, typer.Option(help="One service; all when absent.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many of each.")] = 50,
    *,
    as_json: show.Json = False,
) -> None:
    """The newest of each service."""
    from chappe_onebox.client import Refused

    found: list[dict[str, Any]] = []
    with connect() as api:
        for name in (service,) if service else SERVICES:
            try:
                page = api.get(f"/api/v1/dead-letters/{name}", limit=limit)
            except Refused as refused:
                if refused.status != NOT_FOUND or service:
                    raise
                continue
            found += [{"service": name, **item} for item in page["items"]]
    show.rows(found, ("service", "at", "stream", "reason", "id"), as_json=as_json)
