"""``chappe messages``: every email asked for, and what became of it."""

import sys
from typing import Annotated

import typer

from chappe_cli import show
from chappe_cli.quoting import path_part
from chappe_cli.server import connect

app = typer.Typer(help="Emails that were asked for, and what became of them.")

MESSAGES = "/api/v1/messages"
CAPTURED = "/api/v1/sending/captured"


@app.command("list", epilog="Example:  chappe messages list --state in_doubt")
def list_(
    contact: Annotated[str | None, typer.Option(help="REF of a contact.")] = None,
    state: Annotated[str | None, typer.Option(help="pending, accepted, in_doubt, …")] = None,
    reason: Annotated[
        str | None, typer.Option(help="captured, no_consent, deadline, … (why it is so).")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
    *,
    as_json: show.Json = False,
) -> None:
    """The newest first."""
    with connect() as api:
        found = api.get(MESSAGES, contact=contact, state=state, reason=reason, limit=limit)
    if as_json:
        show.document(found, as_json=True)
    else:
        show.rows(found["items"], ("id", "state", "journey", "step", "reason"), as_json=False)


@app.command("show", epilog="Example:  chappe messages show m_… --mail > kept.eml")
def show_(
    message: Annotated[str, typer.Argument(help="A message's id.")],
    *,
    mail: Annotated[
        bool, typer.Option("--mail", help="The whole mail, where it was captured instead of sent.")
    ] = False,
    as_json: show.Json = False,
) -> None:
    """One message."""
    with connect() as api:
        if not mail:
            show.document(api.get(f"{MESSAGES}/{path_part(message)}"), as_json=as_json)
            return
        content = api.get_bytes(f"{CAPTURED}/{path_part(message)}")
    if as_json:
        text = content.decode("utf-8", "replace")
        show.document({"id": message, "mail": text}, as_json=True)
    else:
        sys.stdout.buffer.write(content)


@app.command(epilog="Example:  chappe messages resolve m_… --as accepted --note 'asked the host'")
def resolve(
    message: Annotated[str, typer.Argument(help="A message in doubt.")],
    as_: Annotated[str, typer.Option("--as", help="accepted or not_accepted.")],
    note: Annotated[str, typer.Option(help="How you know; kept in the journal.")] = "",
    *,
    as_json: show.Json = False,
) -> None:
    """Settle a doubt. A receipt that was not accepted is sent again; marketing never is."""
    with connect() as api:
        path = f"{MESSAGES}/{path_part(message)}/resolve"
        show.document(api.post(path, {"as": as_, "note": note}), as_json=as_json)
