"""``chappe suppressions``: addresses that must not be written to."""

import datetime as dt
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from chappe.clock import WallClock
from chappe_cli import show, tables
from chappe_cli.failure import Failure
from chappe_cli.importing import report
from chappe_cli.quoting import path_part
from chappe_cli.server import connect

app = typer.Typer(help="Addresses that must not be written to, and why.")

SUPPRESSIONS = "/api/v1/suppressions"
_AGO = re.compile(r"(\d{1,6})\s*(m|h|d)")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
Address = Annotated[str, typer.Argument(help="An e-mail address.")]


@app.command("list", epilog="Example:  chappe suppressions list --json")
def list_(*, as_json: show.Json = False) -> None:
    """Every suppressed address."""
    with connect() as api:
        found = list(api.every(SUPPRESSIONS))
    show.rows(found, ("address", "scope", "reason", "at"), as_json=as_json)


@app.command(epilog="Example:  chappe suppressions add zoe@example.com")
def add(
    address: Address,
    reason: Annotated[str, typer.Option(help="Why, for whoever reads it later.")] = "manual",
    *,
    as_json: show.Json = False,
) -> None:
    """Never write to an address again."""
    with connect() as api:
        show.document(
            api.post(SUPPRESSIONS, {"address": address, "reason": reason}), as_json=as_json
        )


@app.command(epilog="Example:  chappe suppressions remove zoe@example.com")
def remove(address: Address, *, as_json: show.Json = False) -> None:
    """Allow writing to an address again."""
    with connect() as api:
        api.delete(f"{SUPPRESSIONS}/{path_part(address)}")
    show.document({"address": address, "suppressed": False}, as_json=as_json)


@app.command("import", epilog="Example:  chappe suppressions import bounces.csv --reason bounced")
def import_(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A CSV file.")],
    reason: Annotated[
        str | None,
        typer.Option(help="Of rows that say none: unsubscribed, complained, bounced or manual."),
    ] = None,
    patience: Annotated[
        int, typer.Option(min=0, help="Seconds to wait for a server that went away.")
    ] = tables.PATIENCE_SECONDS,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only look.")] = False,
    as_json: show.Json = False,
) -> None:
    """Take over what another sender learnt; nothing here is ever weakened.

    Columns: email, reason, at, source; exports of Mailchimp, Klaviyo, SendGrid, Postmark, SES,
    Mailgun and Brevo as they are.
    """
    table = tables.open_table(file)
    with connect() as api:

        def post(piece: tables.Piece, from_row: int) -> dict[str, Any]:
            del from_row  # what came before changes nothing
            return api.post_csv(
                f"{SUPPRESSIONS}/import",
                piece.content,
                reason=reason,
                dry_run=str(dry_run).lower(),
                first_row=piece.first_row,
            )

        with tables.bar(hidden=as_json) as bar:
            sent = tables.Sender(table, post, patience).send(bar)
    found = {
        "dry_run": dry_run,
        "taken": sent.taken,
        "new": None if dry_run else sum(each["new"] for each in sent.answers),
        "refused": sent.refused,
    }
    report(found, sent, as_json=as_json)


@app.command(epilog="Example:  chappe suppressions undo --since 2h --mx outlook.com --dry-run")
def undo(
    since: Annotated[str, typer.Option(help="30m, 2h, 3d, or a time like 2026-01-31T09:00Z.")],
    mx: Annotated[str | None, typer.Option(help="An MX site or a domain; absent: all.")] = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only look.")] = False,
    as_json: show.Json = False,
) -> None:
    """Take back what bounces closed since then; complaints and wishes to leave stay."""
    wanted = {"since": instant_of(since), "mx": mx, "dry_run": dry_run}
    with connect() as api:
        show.document(api.post(f"{SUPPRESSIONS}/undo", wanted), as_json=as_json)


@app.command(epilog="Example:  chappe suppressions history --address zoe@example.com")
def history(
    address: Annotated[str | None, typer.Option(help="Of one address.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 50,
    *,
    as_json: show.Json = False,
) -> None:
    """Every change, the newest first."""
    with connect() as api:
        found = api.get(f"{SUPPRESSIONS}/history", address=address, limit=limit)["items"]
    columns = ("changed_at", "address", "change", "reason", "source", "site", "detail")
    show.rows(found, columns, as_json=as_json)


@app.command(epilog="Example:  chappe suppressions policy --set soft_bounces=5 --set soft_days=7")
def policy(
    change: Annotated[
        list[str] | None, typer.Option("--set", help="name=number; repeatable.")
    ] = None,
    *,
    as_json: show.Json = False,
) -> None:
    """When an address is written to no more."""
    with connect() as api:
        path = f"{SUPPRESSIONS}/policy"
        found = api.put(path, _numbers(change)) if change else api.get(path)
        show.document(found, as_json=as_json)


def instant_of(text: str) -> str:
    """``2h`` back from now, or a time. Raises ``Failure``."""
    match = _AGO.fullmatch(text.strip().lower())
    try:
        if match is not None:
            ago = dt.timedelta(**{_UNITS[match[2]]: int(match[1])})
            at = WallClock().now() - ago
        else:
            at = dt.datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        raise Failure(f"--since {text!r}: use 30m, 2h, 3d or 2026-01-31T09:00Z") from None
    return (at if at.tzinfo else at.replace(tzinfo=dt.UTC)).isoformat()


def _numbers(given: list[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not value.strip().isdigit():
            raise Failure(f"--set {each!r} is not name=number")
        found[name.strip()] = int(value)
    return found
