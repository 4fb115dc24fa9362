"""``chappe journeys drafts``: journeys that are kept and not published yet."""

from typing import Annotated, Any

import typer

from chappe_cli import show
from chappe_cli.failure import Failure
from chappe_cli.quoting import path_part
from chappe_cli.server import connect

app = typer.Typer(help="Drafts: kept by `chappe journeys apply DIR --draft`, published by name.")

JOURNEYS = "/api/v1/journeys"
Name = Annotated[str, typer.Argument(help="A journey's name.")]


@app.command("list", epilog="Example:  chappe journeys drafts list")
def list_(*, as_json: show.Json = False) -> None:
    """Every draft, and the version that is published beside it."""
    with connect() as api:
        found = list(api.every(JOURNEYS, draft="true"))
    columns = ("journey", "draft_saved_at", "status", "version")
    show.rows(found, columns, as_json=as_json)


@app.command("show", epilog="Example:  chappe journeys drafts show welcome > welcome.yaml")
def show_(name: Name, *, as_json: show.Json = False) -> None:
    """A draft as a file, with all its step ids."""
    with connect() as api:
        found = api.get(_path(name))
    if as_json:
        show.document(found, as_json=True)
    else:
        print(found["yaml"], end="")


@app.command(epilog="Example:  chappe journeys drafts validate welcome")
def validate(name: Name, *, as_json: show.Json = False) -> None:
    """Whether it could be published now; lines are those of `drafts show`."""
    with connect() as api:
        found = api.post(f"{_path(name)}/validate")
    errors: list[dict[str, str]] = found.pop("errors")
    if errors:
        raise Failure("the draft cannot be published; see errors", errors=errors)
    show.document(found, as_json=as_json)


@app.command(epilog="Example:  chappe journeys drafts publish welcome")
def publish(name: Name, *, as_json: show.Json = False) -> None:
    """Make it the next version; then the draft is gone."""
    with connect() as api:
        found: list[dict[str, Any]] = api.post(f"{_path(name)}/publish")["journeys"]
    show.rows(found, ("journey", "version", "changed"), as_json=as_json)


@app.command(epilog="Example:  chappe journeys drafts drop welcome")
def drop(name: Name, *, as_json: show.Json = False) -> None:
    """Forget a draft; what is published stays."""
    with connect() as api:
        api.delete(_path(name))
    show.document({"journey": name, "dropped": True}, as_json=as_json)


def _path(name: str) -> str:
    return f"{JOURNEYS}/{path_part(name)}/draft"
