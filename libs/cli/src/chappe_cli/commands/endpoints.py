"""``chappe providers endpoint``: where providers tell us what became of our mail."""

from pathlib import Path
from typing import Annotated, Any

import typer

from chappe_cli import show
from chappe_cli.failure import Failure
from chappe_cli.quoting import path_part
from chappe_cli.server import connect

app = typer.Typer(help="Where providers tell us what became of our mail.")

ENDPOINTS = "/api/v1/providers/endpoints"
SHOWN = ("name", "kind", "state", "accepted", "refused", "refused_reason")
Name = Annotated[str, typer.Argument(help="An endpoint's name or id.")]


@app.callback()
def about() -> None:
    """Where providers tell us what became of our mail."""


@app.command(epilog="Example:  chappe providers endpoint add mailgun --secret @key.txt")
def add(
    kind: Annotated[
        str, typer.Argument(help="ses sendgrid mailgun postmark mailjet brevo resend sparkpost")
    ],
    name: Annotated[str | None, typer.Option(help="A name; absent: the kind.")] = None,
    secret: Annotated[
        str | None,
        typer.Option(help="The provider's signing secret or key, or @FILE; may come later."),
    ] = None,
    topic: Annotated[str | None, typer.Option(help="ses: the only SNS topic to believe.")] = None,
    queue_url: Annotated[str | None, typer.Option(help="ses: an SQS queue to read.")] = None,
    access_key: Annotated[str | None, typer.Option(help="ses: may read that queue.")] = None,
    secret_key: Annotated[str | None, typer.Option(help="ses: its secret, or @FILE.")] = None,
    *,
    as_json: show.Json = False,
) -> None:
    """Make an address for a provider's webhooks, and say what to paste where."""
    wanted: dict[str, Any] = {"kind": kind, "topic": topic, "secret": _read(secret)}
    if name is not None:
        wanted["name"] = name
    if queue_url is not None:
        if access_key is None or secret_key is None:
            raise Failure("--queue-url needs --access-key and --secret-key")
        wanted["queue"] = {
            "url": queue_url,
            "access_key": access_key,
            "secret_key": _read(secret_key),
        }
    with connect() as api:
        show.document(api.post(ENDPOINTS, wanted), as_json=as_json)


@app.command("list", epilog="Example:  chappe providers endpoint list --json")
def list_(*, as_json: show.Json = False) -> None:
    """What came to each, and what was refused, with the last reason."""
    with connect() as api:
        found = list(api.every(ENDPOINTS))
    show.rows(found, SHOWN, as_json=as_json)


@app.command(
    "set-secret", epilog="Example:  chappe providers endpoint set-secret mailgun --secret @key.txt"
)
def set_secret(
    name: Name,
    secret: Annotated[str, typer.Option(help="The signing secret or key, or @FILE.")],
    *,
    as_json: show.Json = False,
) -> None:
    """Set what its webhooks are verified with. The secret before it stays good for 24 hours; what
    waited for one is looked at now.
    """
    with connect() as api:
        path = f"{ENDPOINTS}/{path_part(name)}/secret"
        show.document(api.put(path, {"secret": _read(secret)}), as_json=as_json)


@app.command(epilog="Example:  chappe providers endpoint delete mailgun")
def delete(name: Name, *, as_json: show.Json = False) -> None:
    """Believe nothing more that comes to its address."""
    with connect() as api:
        api.delete(f"{ENDPOINTS}/{path_part(name)}")
    show.document({"name": name, "state": "deleted"}, as_json=as_json)


@app.command(epilog="Example:  chappe providers endpoint feedback-loop")
def feedback_loop(*, as_json: show.Json = False) -> None:
    """The address to register with mailbox providers for complaints (ARF)."""
    with connect() as api:
        show.document(api.get(f"{ENDPOINTS}/feedback-loop"), as_json=as_json)


def _read(given: str | None) -> str | None:
    if given is None or not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).read_text("utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise Failure(f"{given[1:]} cannot be read: {error}") from None
