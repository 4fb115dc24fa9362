"""``chappe contacts``: who somebody is, and why they got what they got."""

from typing import Annotated

import typer

from chappe_cli import show
from chappe_cli.quoting import path_part
from chappe_cli.server import connect

app = typer.Typer(help="People. REF is an id, email:…, phone:… or external_id:…")

Ref = Annotated[str, typer.Argument(help="An id, email:…, phone:… or external_id:…")]


@app.command("show", epilog="Example:  chappe contacts show email:zoe@example.com")
def show_(ref: Ref, *, as_json: show.Json = False) -> None:
    """One contact: identifiers, traits, consent, what they did."""
    with connect() as api:
        show.document(api.get(f"/api/v1/contacts/{path_part(ref)}"), as_json=as_json)


@app.command(epilog="Example:  chappe contacts timeline email:zoe@example.com --limit 20")
def timeline(
    ref: Ref,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many lines.")] = 50,
    *,
    as_json: show.Json = False,
) -> None:
    """What happened to a contact, and why, newest first."""
    with connect() as api:
        found = api.get(f"/api/v1/contacts/{path_part(ref)}/timeline", limit=limit)
    if as_json:
        show.document(found, as_json=True)
    else:
        show.rows(found["items"], ("at", "name", "text", "reason"), as_json=False)
