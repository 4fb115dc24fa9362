"""``chappe events``: put one in, or follow them as they come."""

import json
import re
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from chappe_cli import show
from chappe_cli.failure import Failure
from chappe_cli.server import connect

app = typer.Typer(help="Facts about contacts, as they come.")

_SECONDS = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m)?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, None: 1.0}


@app.command(epilog="Example:  chappe events send custom.quiz_done --contact email:zoe@example.com")
def send(
    name: Annotated[str, typer.Argument(help="order.placed, custom.quiz_done, …")],
    contact: Annotated[str, typer.Option(help="REF: an id, email:…, external_id:…")],
    data: Annotated[str, typer.Option(help="JSON, or @file.")] = "{}",
    *,
    as_json: show.Json = False,
) -> None:
    """Put one event in, as a shop would."""
    wanted = {"name": name, "contact": contact, "data": _object(data)}
    with connect() as api:
        show.document(api.post("/api/v1/events", wanted), as_json=as_json)


@app.command(epilog="Example:  chappe events tail --from earliest --until-idle 3s --json")
def tail(
    start: Annotated[str, typer.Option("--from", help="now, or earliest.")] = "now",
    until_idle: Annotated[
        str | None, typer.Option(help="End after this long without an event, as in 3s.")
    ] = None,
    *,
    as_json: show.Json = False,
) -> None:
    """Follow the events of all contacts, one per line."""
    if start not in {"now", "earliest"}:
        raise Failure("--from is now or earliest")
    idle = None if until_idle is None else _seconds(until_idle)
    with connect() as api:
        for event in api.events(start=start, idle_seconds=idle):
            if as_json:
                show.line(event)
            else:
                print(f"{event['occurred_at'][:19]}  {event['contact']}  {event['name']}")


def _object(text: str) -> dict[str, Any]:
    try:
        given = Path(text[1:]).read_text("utf-8") if text.startswith("@") else text
        found: Any = json.loads(given)
    except OSError as error:
        raise Failure(f"--data: cannot read {text[1:]}: {error.strerror}") from error
    except ValueError as error:
        raise Failure(f"--data is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise Failure("--data is not a JSON object")
    return cast("dict[str, Any]", found)


def _seconds(text: str) -> float:
    match = _SECONDS.fullmatch(text)
    if match is None:
        raise Failure(f"--until-idle {text!r} is no time: write 3s, 500ms or 1m")
    return float(match[1]) * _UNITS[match[2]]
