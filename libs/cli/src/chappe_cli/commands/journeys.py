"""``chappe journeys``: journeys as code."""

from pathlib import Path
from typing import Annotated, Any

import typer

from chappe_cli import show
from chappe_cli.failure import Failure
from chappe_cli.quoting import path_part
from chappe_cli.server import connect

app = typer.Typer(help="Journeys as code: folders with journey.yaml and templates/.")

JOURNEYS = "/api/v1/journeys"
Place = Annotated[Path, typer.Argument(exists=True, help="A journey's folder, or one of several.")]
Name = Annotated[str, typer.Argument(help="A journey's name.")]


@app.command("list", epilog="Example:  chappe journeys list")
def list_(*, as_json: show.Json = False) -> None:
    """Every journey."""
    with connect() as api:
        found = list(api.every(JOURNEYS))
    show.rows(found, ("journey", "status", "version", "published_at"), as_json=as_json)


@app.command(epilog="Example:  chappe journeys validate my-journeys")
def validate(path: Place, *, as_json: show.Json = False) -> None:
    """Check journeys, by file:line:col; needs no server."""
    from chappe.journey import JourneyInvalidError, read_journey

    folders = _folders(path)
    errors: list[dict[str, str]] = []
    names: list[str] = []
    for folder in folders:
        try:
            journey = read_journey(
                folder.yaml, file=folder.file, templates=folder.templates or None
            )
        except JourneyInvalidError as error:
            errors += [{"where": each.where, "what": each.what} for each in error.complaints]
        else:
            names.append(journey.journey)
    if errors:
        raise Failure("the journeys cannot be accepted; see errors", errors=errors)
    show.document({"valid": True, "journeys": names}, as_json=as_json)


@app.command(epilog="Example:  chappe journeys apply my-journeys")
def apply(
    path: Place,
    *,
    draft: Annotated[bool, typer.Option("--draft", help="Stop before publishing.")] = False,
    as_json: show.Json = False,
) -> None:
    """Upload templates and publish journeys, all or nothing."""
    _apply(path, draft=draft, as_json=as_json)


@app.command(epilog="Example:  chappe journeys publish my-journeys/welcome")
def publish(path: Place, *, as_json: show.Json = False) -> None:
    """The same as apply: what is published is what stands in the folder."""
    _apply(path, draft=False, as_json=as_json)


@app.command(epilog="Example:  chappe journeys export welcome > welcome.yaml")
def export(name: Name, *, as_json: show.Json = False) -> None:
    """A journey as it stands, with all its step ids."""
    import yaml

    from chappe.journey import canonical_json, stored_journey, with_ids

    with connect() as api:
        found = api.get(f"{JOURNEYS}/{path_part(name)}")
    import json

    definition: Any = json.loads(
        canonical_json(with_ids(stored_journey(json.dumps(found["definition"]))))
    )
    if as_json:
        show.document(definition, as_json=True)
    else:
        print(yaml.safe_dump(definition, sort_keys=False, allow_unicode=True), end="")


@app.command(epilog="Example:  chappe journeys graph abandoned-cart")
def graph(name: Name, *, as_json: show.Json = False) -> None:
    """The steps, and how many people stand where."""
    with connect() as api:
        found = api.get(f"{JOURNEYS}/{path_part(name)}/graph")
    if as_json:
        show.document(found, as_json=True)
    else:
        show.rows(found["nodes"], ("id", "kind", "label", "people"), as_json=False)


@app.command(epilog="Example:  chappe journeys pause welcome")
def pause(name: Name, *, as_json: show.Json = False) -> None:
    """Nobody enters, nobody moves, no mail is handed over, until it is resumed."""
    with connect() as api:
        show.document(api.post(f"{JOURNEYS}/{path_part(name)}/pause"), as_json=as_json)


@app.command(epilog="Example:  chappe journeys resume welcome")
def resume(name: Name, *, as_json: show.Json = False) -> None:
    """Go on after a pause."""
    with connect() as api:
        show.document(api.post(f"{JOURNEYS}/{path_part(name)}/resume"), as_json=as_json)


@app.command(epilog="Example:  chappe journeys report welcome")
def report(name: Name, *, as_json: show.Json = False) -> None:
    """How a journey does: entered, sent, opened, clicked, bought."""
    with connect() as api:
        found = api.get(f"/api/v1/reports/journeys/{path_part(name)}")
    if as_json:
        show.document(found, as_json=True)
    else:
        show.document(found["totals"], as_json=False)


def _apply(path: Path, *, draft: bool, as_json: bool) -> None:
    from chappe_onebox.client import apply as apply_folders

    folders = _folders(path)
    with connect() as api:
        applied = apply_folders(api, folders, draft=draft)
    published: list[dict[str, Any]] = applied.answer["journeys"] if applied.answer else []
    if as_json:
        show.document({"templates": applied.templates, "journeys": published}, as_json=True)
    elif draft:
        show.document({"templates": sorted(applied.templates), "published": False}, as_json=False)
    else:
        show.rows(published, ("journey", "version", "changed"), as_json=False)


def _folders(path: Path) -> list[Any]:
    from chappe_onebox.client import read_folders

    try:
        return list(read_folders(path))
    except (ValueError, OSError) as error:
        raise Failure(str(error)) from error
