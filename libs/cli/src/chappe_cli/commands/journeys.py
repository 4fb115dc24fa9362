"""``chappe journeys``: journeys as code."""

from pathlib import Path
from typing import Annotated, Any

import typer

from chappe_cli import show
from chappe_cli.commands import drafts
from chappe_cli.failure import BAD_INPUT, Failure
from chappe_cli.quoting import path_part
from chappe_cli.server import connect

app = typer.Typer(help="Journeys as code: folders with journey.yaml and templates/.")

app.add_typer(drafts.app, name="drafts", no_args_is_help=True)

JOURNEYS = "/api/v1/journeys"
EFFECT = ("version", "step", "people", "effect", "to", "by_s")
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
    from chappe_orchestrator.tryout import Tried, try_journeys

    tried = try_journeys(
        Tried(each.file, each.yaml, sorted(each.templates) or None) for each in _folders(path)
    )
    if tried.complaints:
        errors = [{"where": each.where, "what": each.what} for each in tried.complaints]
        raise Failure("the journeys cannot be accepted; see errors", errors=errors)
    found = {"valid": True, "journeys": tried.journeys, "warnings": tried.warnings}
    show.document(found, as_json=as_json)


@app.command(epilog="Example:  chappe journeys apply my-journeys")
def apply(
    path: Place,
    *,
    draft: Annotated[
        bool,
        typer.Option("--draft", help="Stop before publishing: keep drafts, see `drafts`."),
    ] = False,
    as_json: show.Json = False,
) -> None:
    """Upload templates and publish journeys, all or nothing."""
    _apply(path, draft=draft, as_json=as_json)


@app.command(epilog="Example:  chappe journeys publish my-journeys/welcome")
def publish(
    what: Annotated[str, typer.Argument(help="A journey's folder, or a stored draft's name.")],
    *,
    as_json: show.Json = False,
) -> None:
    """Publish what stands in a folder, as apply does; or a draft that is stored, by its name."""
    if Path(what).exists():
        _apply(Path(what), draft=False, as_json=as_json)
    else:
        drafts.publish(what, as_json=as_json)


@app.command(epilog="Example:  chappe journeys plan my-journeys")
def plan(path: Place, *, as_json: show.Json = False) -> None:
    """What apply would change: steps that come and go, and who is inside. Changes nothing."""
    folders = _folders(path)
    written = [{"file": each.file, "yaml": each.yaml} for each in folders]
    names = sorted({name for each in folders for name in each.templates})
    with connect() as api:
        found = api.post(f"{JOURNEYS}/plan", {"journeys": written, "templates": names or None})
    columns = ("journey", "change", "version", "added", "removed", "inside")
    show.rows(found["journeys"], columns, as_json=as_json)


@app.command(epilog="Example:  chappe journeys versions welcome")
def versions(name: Name, *, as_json: show.Json = False) -> None:
    """The versions of a journey, newest first, and how many people are inside each."""
    with connect() as api:
        found = api.get(f"{JOURNEYS}/{path_part(name)}/versions")["items"]
    show.rows(found, ("version", "published_at", "current", "inside"), as_json=as_json)


@app.command(epilog="Example:  chappe journeys archive spring-sale --exit")
def archive(
    name: Name,
    *,
    leave: Annotated[
        bool, typer.Option("--exit", help="Those inside leave; else they walk to the end.")
    ] = False,
    as_json: show.Json = False,
) -> None:
    """Nobody enters any more; publishing it brings it back."""
    with connect() as api:
        path = f"{JOURNEYS}/{path_part(name)}/archive?exit={str(leave).lower()}"
        show.document(api.post(path), as_json=as_json)


@app.command(epilog="Example:  chappe journeys upgrade welcome --move wait-2=wait-3 --yes")
def upgrade(
    name: Name,
    start: Annotated[
        int | None, typer.Option("--from", min=1, help="Only those of this version.")
    ] = None,
    to: Annotated[int | None, typer.Option(min=1, help="Not the current one.")] = None,
    move: Annotated[
        list[str] | None,
        typer.Option(help="STEP=STEP where a step is no more; STEP= to leave. Repeatable."),
    ] = None,
    *,
    preview: Annotated[bool, typer.Option("--preview", help="Only show what it does.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: show.Json = False,
) -> None:
    """Move people between versions; first shows how many, from where, and what happens to them."""
    body = {"from": start, "to": to, "moves": _moves(move or [])}
    path = f"{JOURNEYS}/{path_part(name)}/upgrade"
    with connect() as api:
        found = api.post(f"{path}?preview=true", body)
        if not preview:
            if not yes and as_json:
                raise Failure("moving people cannot be undone: say --yes, or --preview", BAD_INPUT)
            if not yes:
                show.rows(found["effects"], EFFECT, as_json=False)
                typer.confirm(f"Move {found['people']} people to {found['to']}?", abort=True)
            found = api.post(path, body)
    if as_json or found["move"]:
        show.document(found if as_json else found["move"], as_json=as_json)
    else:
        show.rows(found["effects"], EFFECT, as_json=False)


@app.command(epilog="Example:  chappe journeys move welcome mv_4f…")
def move(
    name: Name,
    move: Annotated[str, typer.Argument(help="What upgrade or archive --exit answered.")],
    *,
    as_json: show.Json = False,
) -> None:
    """How far an upgrade, or the leaving of an archived journey, has come."""
    with connect() as api:
        path = f"{JOURNEYS}/{path_part(name)}/moves/{path_part(move)}"
        show.document(api.get(path), as_json=as_json)


@app.command(epilog="Example:  chappe journeys export welcome > welcome.yaml")
def export(name: Name, *, as_json: show.Json = False) -> None:
    """A journey as it stands, with all its step ids."""
    from chappe.journey import canonical_json, stored_journey, with_ids
    from chappe.journey.reading import yaml_of

    with connect() as api:
        found = api.get(f"{JOURNEYS}/{path_part(name)}")
    import json

    definition: Any = json.loads(
        canonical_json(with_ids(stored_journey(json.dumps(found["definition"]))))
    )
    if as_json:
        show.document(definition, as_json=True)
    else:
        print(yaml_of(definition), end="")


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


def _moves(said: list[str]) -> dict[str, str | None]:
    moves: dict[str, str | None] = {}
    for one in said:
        step, equals, to = one.partition("=")
        if not equals or not step:
            raise Failure(f"--move is STEP=STEP, or STEP= to leave; not {one!r}", BAD_INPUT)
        moves[step] = to or None
    return moves


def _apply(path: Path, *, draft: bool, as_json: bool) -> None:
    from chappe_onebox.client import apply as apply_folders

    folders = _folders(path)
    with connect() as api:
        applied = apply_folders(api, folders, draft=draft)
    published: list[dict[str, Any]] = applied.answer["journeys"] if applied.answer else []
    if not as_json:
        show.warnings(applied.warnings)
    if as_json:
        found = {"templates": applied.templates, "journeys": published}
        show.document({**found, "warnings": applied.warnings}, as_json=True)
    elif draft:
        show.document({"templates": sorted(applied.templates), "published": False}, as_json=False)
    else:
        show.rows(published, ("journey", "version", "changed"), as_json=False)


def _folders(path: Path) -> list[Any]:
    from chappe_onebox.client import FileError, read_folders

    try:
        return list(read_folders(path))
    except FileError as error:
        errors = [{"where": error.where, "what": error.what}]
        raise Failure("the journeys cannot be accepted; see errors", errors=errors) from error
    except (ValueError, OSError) as error:
        raise Failure(str(error)) from error
