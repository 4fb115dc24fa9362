"""``chappe providers``: the ways out, and what is to be known of each."""

from pathlib import Path
from typing import Annotated, Any

import typer

from chappe_cli import show
from chappe_cli.commands.feedback import providers as app
from chappe_cli.failure import CHECK_FAILED, Failure
from chappe_cli.server import connect

PROVIDERS = "/api/v1/providers"
KINDS = "smtp direct ses sendgrid mailgun postmark mailjet brevo resend sparkpost"
TEST_SECONDS_MAX = 90.0
Ref = Annotated[str, typer.Argument(help="A provider's name or id.")]
SecretPairs = Annotated[
    list[str] | None,
    typer.Option("--secret", help="name=value, or name=@FILE to read it; repeatable."),
]

__all__ = ["app"]


@app.command(
    epilog="Example:  chappe providers add resend --name main --secret api_key=@key.txt "
    "--option tracking=off"
)
def add(
    kind: Annotated[str, typer.Argument(help=KINDS)],
    name: Annotated[str, typer.Option(help="A name of your choice.")],
    secret: SecretPairs = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", help="name=value; repeatable.")
    ] = None,
    mail_class: Annotated[
        list[str] | None,
        typer.Option("--class", help="marketing or transactional; absent: both. Repeatable."),
    ] = None,
    domain: Annotated[
        list[str] | None, typer.Option(help="A From domain; absent: all. Repeatable.")
    ] = None,
    priority: Annotated[int, typer.Option(min=0, help="The lowest goes first.")] = 100,
    *,
    as_json: show.Json = False,
) -> None:
    """Add a way out; mail goes this way at once."""
    wanted: dict[str, Any] = {
        "kind": kind,
        "name": name,
        "secrets": _pairs("--secret", secret, files=True),
        "options": _pairs("--option", option),
        "classes": mail_class or [],
        "domains": domain or [],
        "priority": priority,
    }
    with connect() as api:
        show.document(api.post(PROVIDERS, wanted), as_json=as_json)


@app.command("list", epilog="Example:  chappe providers list --json")
def list_(*, as_json: show.Json = False) -> None:
    """Every provider, and whether mail goes there now."""
    with connect() as api:
        found = list(api.every(PROVIDERS))
    columns = ("name", "kind", "priority", "classes", "domains", "state", "route", "reason")
    show.rows(found, columns, as_json=as_json)


@app.command("show", epilog="Example:  chappe providers show main")
def show_(ref: Ref, *, as_json: show.Json = False) -> None:
    """One provider; its secrets by name only."""
    with connect() as api:
        show.document(api.get(f"{PROVIDERS}/{ref}"), as_json=as_json)


@app.command("test", epilog="Example:  chappe providers test main --to me@shop.example")
def send_test(
    ref: Ref,
    to: Annotated[str, typer.Option(help="Where the test mail goes.")],
    *,
    as_json: show.Json = False,
) -> int:
    """Send one test mail, and say in words what the provider answered."""
    with connect(TEST_SECONDS_MAX) as api:
        found = api.post(f"{PROVIDERS}/{ref}/test", {"to": to})
    show.document(found, as_json=as_json)
    return 0 if found["outcome"] == "taken" else CHECK_FAILED


@app.command(epilog="Example:  chappe providers pause main")
def pause(ref: Ref, *, as_json: show.Json = False) -> None:
    """Give it nothing more; what only it may carry waits."""
    _change(ref, "pause", as_json=as_json)


@app.command(epilog="Example:  chappe providers resume main")
def resume(ref: Ref, *, as_json: show.Json = False) -> None:
    """Go on after a pause, or after the sender stopped it."""
    _change(ref, "resume", as_json=as_json)


@app.command(
    "set-secrets", epilog="Example:  chappe providers set-secrets main --secret api_key=@key.txt"
)
def set_secrets(ref: Ref, secret: SecretPairs = None, *, as_json: show.Json = False) -> None:
    """Change its credentials, all of them."""
    wanted = {"secrets": _pairs("--secret", secret, files=True)}
    with connect() as api:
        show.document(api.put(f"{PROVIDERS}/{ref}/secrets", wanted), as_json=as_json)


@app.command(epilog="Example:  chappe providers remove main")
def remove(ref: Ref, *, as_json: show.Json = False) -> None:
    """Forget it and its credentials; its mail goes the next way."""
    with connect() as api:
        api.delete(f"{PROVIDERS}/{ref}")
    show.document({"provider": ref, "state": "removed"}, as_json=as_json)


def _change(ref: str, how: str, *, as_json: bool) -> None:
    with connect() as api:
        found = api.post(f"{PROVIDERS}/{ref}/{how}")
    show.document({"provider": found["name"], "state": found["state"]}, as_json=as_json)


def _pairs(option: str, given: list[str] | None, *, files: bool = False) -> dict[str, str]:
    """``name=value`` as typed; ``name=@FILE`` reads the value, so that it is in no history."""
    pairs: dict[str, str] = {}
    for each in given or []:
        name, equals, value = each.partition("=")
        if not equals or not name:
            shown = name if files else each  # what may be a secret is not repeated
            raise Failure(f"{option} {shown!r} is not name=value")
        pairs[name] = _read(option, value[1:]) if files and value.startswith("@") else value
    return pairs


def _read(option: str, path: str) -> str:
    try:
        return Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise Failure(f"{option}: cannot read {path}: {error}") from error
