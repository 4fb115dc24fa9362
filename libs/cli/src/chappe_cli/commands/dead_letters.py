"""``chappe dead-letters``: what nobody could use, and why."""

from typing import Annotated, Any

import typer

from chappe_cli import show
from chappe_cli.failure import Failure
from chappe_cli.server import connect

app = typer.Typer(help="What could not be used, and why.")

SERVICES = ("ingest", "resolver", "orchestrator", "sender", "analytics")
INGEST = "ingest"
"""Too large for the log: on the disk of the edge."""
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


@app.command("show", epilog="Example:  chappe dead-letters show raw.commerce-3-17")
def show_(
    letter: Annotated[str, typer.Argument(help="A dead letter's id.")],
    service: Annotated[str, typer.Option(help="Whose it is.")] = "resolver",
    *,
    as_json: show.Json = False,
) -> None:
    """One of them, masked: ids, times and states as they are, no word of a person."""
    with connect() as api:
        show.document(api.get(f"/api/v1/dead-letters/{service}/{letter}"), as_json=as_json)


@app.command(epilog="Example:  chappe dead-letters replay --source my-shop --no-effects")
def replay(
    letters: Annotated[list[str] | None, typer.Argument(help="Ids; none with a filter.")] = None,
    service: Annotated[str, typer.Option(help="Whose: resolver, or ingest by id.")] = "resolver",
    source: Annotated[str | None, typer.Option(help="A source's name or id.")] = None,
    reason: Annotated[str | None, typer.Option(help="Words in the reason.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Set aside at or after, as 2026-11-22T09:00Z.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Set aside before.")] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All that were not replayed yet.")] = False,
    effects: Annotated[
        bool, typer.Option(help="Without: they count as history and start nothing.")
    ] = True,
    as_json: show.Json = False,
) -> None:
    """Send deliveries through the resolver again, in the order in which they came."""
    if service == INGEST:
        _replay_one_by_one(letters or [], as_json=as_json)
        return
    chosen = {
        "ids": letters or None,
        "source": source,
        "reason": reason,
        "since": since,
        "until": until,
    }
    wanted = {name: value for name, value in chosen.items() if value is not None}
    wanted |= {"all": every, "effects": effects}
    done = {"replayed": 0, "unusable": 0}
    with connect() as api:
        while True:
            found = api.post("/api/v1/dead-letters/resolver/replay", wanted)
            done["replayed"] += found["replayed"]
            done["unusable"] += found["unusable"]
            if not found["more"] or not found["replayed"]:
                break
    show.document(done, as_json=as_json)


@app.command(epilog="Example:  chappe dead-letters discard raw_abc --service ingest")
def discard(
    letter: Annotated[str, typer.Argument(help="A dead letter's id.")],
    service: Annotated[str, typer.Option(help="Whose it is: ingest.")] = INGEST,
    *,
    as_json: show.Json = False,
) -> None:
    """Throw one away that the log will never take."""
    with connect() as api:
        api.delete(f"/api/v1/dead-letters/{service}/{letter}")
    show.document({"id": letter, "discarded": True}, as_json=as_json)


def _replay_one_by_one(letters: list[str], *, as_json: bool) -> None:
    if not letters:
        raise Failure("say which: chappe dead-letters replay ID… --service ingest")
    with connect() as api:
        for letter in letters:
            api.post(f"/api/v1/dead-letters/{INGEST}/{letter}/replay")
    show.document({"replayed": len(letters), "unusable": 0}, as_json=as_json)
