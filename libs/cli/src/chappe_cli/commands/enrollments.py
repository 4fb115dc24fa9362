"""``chappe enrollments``: who stands where; let somebody in, or out."""

import itertools
import json
from typing import Annotated, Any

import typer

from chappe_cli import show
from chappe_cli.failure import BAD_INPUT, Failure
from chappe_cli.quoting import path_part
from chappe_cli.server import connect

app = typer.Typer(help="People inside journeys. REF is an id, email:…, phone:… or external_id:…")

ENROLLMENTS = "/api/v1/enrollments"
LIST_MAX = 10_000
Ref = Annotated[str, typer.Argument(help="An id, email:…, phone:… or external_id:…")]


@app.command("list", epilog="Example:  chappe enrollments list --journey welcome --step wait-1")
def list_(
    journey: Annotated[str | None, typer.Option(help="A journey's name.")] = None,
    step: Annotated[str | None, typer.Option(help="Those who stand at this step.")] = None,
    state: Annotated[str | None, typer.Option(help="active or finished.")] = None,
    contact: Annotated[str | None, typer.Option(help="A REF.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=LIST_MAX, help="How many.")] = 50,
    *,
    as_json: show.Json = False,
) -> None:
    """Newest first."""
    asked = {"journey": journey, "step": step, "status": state, "contact": contact}
    given = {name: value for name, value in asked.items() if value is not None}
    with connect() as api:
        found = list(itertools.islice(api.every(ENROLLMENTS, **given), limit))
    columns = ("contact", "journey", "version", "status", "step", "due_at", "reason", "id")
    show.rows(found, columns, as_json=as_json)


@app.command(epilog="Example:  chappe enrollments start email:zoe@example.com trial")
def start(
    ref: Ref,
    journey: Annotated[str, typer.Argument(help="One that a `request` begins.")],
    data: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, as event.NAME in steps. Repeatable.")
    ] = None,
    by: Annotated[
        str, typer.Option(help="Who asks, as the trigger `request` names it: api, manual or csv.")
    ] = "api",
    *,
    as_json: show.Json = False,
) -> None:
    """Begin a journey for somebody, if its trigger takes requests of whoever asks."""
    body = {"contact": ref, "journey": journey, "data": _data(data or []), "by": by}
    with connect() as api:
        found = api.post(ENROLLMENTS, body)
    show.document(found, as_json=as_json)


@app.command("exit", epilog="Example:  chappe enrollments exit email:zoe@example.com en_4f…")
def exit_(
    ref: Ref,
    enrollment: Annotated[str, typer.Argument(help="Its id, as list shows it.")],
    reason: Annotated[str, typer.Option(help="A word for the timeline.")] = "asked",
    *,
    as_json: show.Json = False,
) -> None:
    """End one at once, with its timer and its messages not yet handed over."""
    with connect() as api:
        path = f"{ENROLLMENTS}/{path_part(enrollment)}/exit"
        show.document(api.post(path, {"contact": ref, "reason": reason}), as_json=as_json)


def _data(said: list[str]) -> dict[str, Any]:
    """JSON where it is JSON, text where it is not."""
    found: dict[str, Any] = {}
    for one in said:
        name, equals, value = one.partition("=")
        if not equals or not name:
            raise Failure(f"--data is NAME=VALUE; not {one!r}", BAD_INPUT)
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found
