"""``chappe templates``: the mails themselves."""

from pathlib import Path
from typing import Annotated, Any

import typer

from chappe_cli import show
from chappe_cli.failure import Failure
from chappe_cli.server import connect

app = typer.Typer(help="The mails: Liquid over MJML or HTML.")

TEMPLATES = "/api/v1/templates"
Place = Annotated[Path, typer.Argument(exists=True, help="A template file, or a folder of them.")]


@app.command(epilog="Example:  chappe templates validate my-journey/templates")
def validate(path: Place, *, as_json: show.Json = False) -> None:
    """Check templates, storing nothing; needs no server."""
    from chappe_sender.tryout import validate_template

    errors: list[dict[str, str]] = []
    checked = _files(path)
    for name, files in checked.items():
        errors += validate_template(name, files)
    if errors:
        raise Failure("the templates cannot be used; see errors", errors=errors)
    show.document({"valid": True, "templates": sorted(checked)}, as_json=as_json)


@app.command(epilog="Example:  chappe templates publish my-journey/templates")
def publish(path: Place, *, as_json: show.Json = False) -> None:
    """Upload templates as new versions; the same content is the same version."""
    with connect() as api:
        stored: list[dict[str, Any]] = [
            api.post(TEMPLATES, {"name": name, "files": files})
            for name, files in _files(path).items()
        ]
    show.rows(stored, ("name", "version", "class", "topic"), as_json=as_json)


def _files(path: Path) -> dict[str, dict[str, str]]:
    from chappe_onebox.client import read_templates

    try:
        return read_templates(path)
    except ValueError as error:
        raise Failure(str(error)) from error
