"""``chappe contacts``: who somebody is, and why they got what they got."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from chappe_cli import show, tables
from chappe_cli.failure import BAD_INPUT, Failure
from chappe_cli.importing import report
from chappe_cli.quoting import path_part
from chappe_cli.server import connect

app = typer.Typer(help="People. REF is an id, email:…, phone:… or external_id:…")

IMPORTS = "/api/v1/imports"
NOT_FOUND = 404
EXPORT_PAGES_MAX = 1_000
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


@app.command(epilog="Example:  chappe contacts export email:zoe@example.com --out zoe.json")
def export(
    ref: Ref,
    out: Annotated[Path | None, typer.Option(dir_okay=False, help="A file to write.")] = None,
    *,
    as_json: show.Json = False,
) -> None:
    """Everything held of one person, of every service, as one JSON document.

    With --json on one line, as the other commands print it.
    """
    with connect() as api:
        document = whole(api, ref)
    text = json.dumps(document, ensure_ascii=False, indent=None if as_json else 2)
    if out is None:
        print(text)
        return
    out.write_text(text + "\n", encoding="utf-8")


@app.command(epilog="Example:  chappe contacts erase email:zoe@example.com --yes")
def erase(
    ref: Ref,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: show.Json = False,
) -> None:
    """Forget a person everywhere: nothing brings them back but a new visit of their own."""
    if not yes and not as_json:
        typer.confirm(f"Erase {ref} from every service? This cannot be undone", abort=True)
    elif not yes:
        raise Failure("erasing cannot be undone: say --yes", BAD_INPUT)
    with connect() as api:
        show.document(api.delete(f"/api/v1/contacts/{path_part(ref)}"), as_json=as_json)


@app.command(epilog="Example:  chappe contacts parked")
def parked(*, as_json: show.Json = False) -> None:
    """Contacts set aside because a step of theirs failed, and how much waits for each."""
    with connect() as api:
        found = list(api.every("/api/v1/contacts/parked"))
    show.rows(found, ("contact", "events", "parked_at", "reason"), as_json=as_json)


@app.command(epilog="Example:  chappe contacts release c_4f…")
def release(ref: Ref, *, as_json: show.Json = False) -> None:
    """Apply in order all that waits for a parked contact; what fails again stays parked."""
    with connect() as api:
        show.document(api.post(f"/api/v1/contacts/{path_part(ref)}/release"), as_json=as_json)


@app.command("import", epilog="Example:  chappe contacts import people.csv --dry-run")
def import_(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A CSV file.")],
    namespace: Annotated[
        str, typer.Option(help="Whose external ids these are: a source's namespace.")
    ] = "",
    patience: Annotated[
        int, typer.Option(min=0, help="Seconds to wait for a server that went away.")
    ] = tables.PATIENCE_SECONDS,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only look.")] = False,
    as_json: show.Json = False,
) -> None:
    """Bring people in from a table, starting nothing; run it again and it goes on.

    Columns: email, phone, external_id, first_name, last_name, locale, timezone, country;
    consent_email with consent_email_at and consent_email_source; any other becomes a trait.
    """
    table = tables.open_table(file)
    with connect() as api:

        def post(piece: tables.Piece, from_row: int) -> dict[str, Any]:
            return api.post_csv(
                IMPORTS,
                piece.content,
                namespace=namespace,
                dry_run=str(dry_run).lower(),
                table=table.digest,
                first_row=piece.first_row,
                from_row=from_row,
                more=str(piece.more).lower(),
            )

        next_row = tables.FIRST_ROW if dry_run else _next_row(api, table, namespace)
        with tables.bar(hidden=as_json) as bar:
            sent = tables.Sender(table, post, patience).send(bar, next_row=next_row)
    id_ = sent.answers[-1]["id"] if sent.answers else None
    found = {
        "id": id_,
        "dry_run": dry_run,
        "taken": sent.taken,
        "refused": sent.refused,
        "in_before": sent.skipped,
    }
    report(found, sent, as_json=as_json)


def whole(api: Any, ref: str) -> dict[str, Any]:
    """Each service's part. One that never heard of the person has none."""
    known = api.get(f"/api/v1/identities/{path_part(ref)}/export")
    contact = known["contact"]
    at = path_part(contact)
    return {
        "contact": contact,
        "identity": known,
        "journeys": _part(api, f"/api/v1/contacts/{at}/export"),
        "mail": _pages(api, f"/api/v1/messages/export/{at}", "messages"),
        "history": _pages(api, f"/api/v1/contacts/{at}/timeline/export", "timeline"),
    }


def _part(api: Any, path: str, cursor: str | None = None) -> dict[str, Any] | None:
    from chappe_onebox.client import Refused

    try:
        return api.get(path, cursor=cursor)
    except Refused as refused:
        if refused.status == NOT_FOUND:
            return None
        raise


def _pages(api: Any, path: str, name: str) -> dict[str, Any] | None:
    """All pages of a part as one."""
    part = _part(api, path)
    if part is None:
        return None
    page, found = part, list[Any]()
    for _ in range(EXPORT_PAGES_MAX):
        # The mail's list is a page of its own inside its part.
        held: dict[str, Any] = page[name] if "next" not in page else page
        found += held["items" if held is not page else name]
        cursor: str | None = held["next"]
        if cursor is None:
            break
        page = _part(api, path, cursor) or {name: [], "next": None}
    part.pop("next", None)
    return {**part, name: found}


def _next_row(api: Any, table: tables.Table, namespace: str) -> int:
    """Where an earlier run of the same file stopped."""
    from chappe_onebox.client import Refused

    try:
        found = api.get(f"{IMPORTS}/{table.digest}", namespace=namespace)
    except Refused as refused:
        if refused.status == NOT_FOUND:
            return tables.FIRST_ROW
        raise
    return found["next_row"]
