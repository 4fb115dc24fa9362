"""``chappe providers try`` and ``chappe bounces try``: what one answer from outside says."""

from pathlib import Path
from typing import Annotated, Any

import typer

from chappe_cli import show
from chappe_cli.failure import Failure

providers = typer.Typer(help="Ways out: set them up, try them, and what a webhook says.")
bounces = typer.Typer(help="Returned mails: who did not get it, and why.")


@providers.callback()
def about_providers() -> None:
    """Ways out: set them up, try them, and what a webhook says."""


@bounces.callback()
def about_bounces() -> None:
    """Returned mails: who did not get it, and why."""


@providers.command(
    "try", epilog="Example:  chappe providers try sendgrid --body webhook.json --secret …"
)
def try_provider_webhook(
    kind: Annotated[str, typer.Argument(help="ses sendgrid mailgun postmark mailjet brevo …")],
    body: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="The webhook's body.")],
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", help="'Name: value'; repeatable.")
    ] = None,
    secret: Annotated[str | None, typer.Option(help="What the webhook is verified with.")] = None,
    *,
    as_json: show.Json = False,
) -> None:
    """Classify one provider webhook, storing nothing; needs no server."""
    from chappe_sender.tryout import try_provider

    try:
        found = try_provider(kind, body.read_bytes(), headers_of(header), secret)
    except ValueError as error:
        raise Failure(str(error)) from error
    _print(found, as_json=as_json)


@bounces.command("try", epilog="Example:  chappe bounces try returned.eml --json")
def try_returned_mail(
    mail: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="The mail, as it came.")
    ],
    *,
    as_json: show.Json = False,
) -> None:
    """Classify one returned mail, storing nothing; needs no server."""
    from chappe_sender.tryout import try_bounce

    _print(try_bounce(mail.read_bytes()), as_json=as_json)


def headers_of(given: list[str] | None) -> dict[str, str]:
    """``Name: value`` as typed. Raises ``Failure`` on anything else."""
    headers: dict[str, str] = {}
    for each in given or []:
        name, colon, value = each.partition(":")
        if not colon:
            raise Failure(f"--header {each!r} is not 'Name: value'")
        headers[name.strip()] = value.strip()
    return headers


def _print(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show.document(found, as_json=True)
        return
    show.document({name: found[name] for name in ("verified", "reason")}, as_json=False)
    for event in found["events"]:
        show.line(event)
