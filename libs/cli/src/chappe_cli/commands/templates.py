"""``chappe templates``: the mails themselves."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeAlias, cast

import typer

from chappe_cli import show
from chappe_cli.failure import CHECK_FAILED, Failure
from chappe_cli.quoting import path_part
from chappe_cli.server import connect

app = typer.Typer(help="The mails: Liquid over MJML or HTML.")

TEMPLATES = "/api/v1/templates"
Place = Annotated[Path, typer.Argument(exists=True, help="A template file, or a folder of them.")]
Name: TypeAlias = Annotated[str, typer.Argument(help="A template's name.")]
Contact: TypeAlias = Annotated[
    str | None, typer.Option("--contact", help="An id, email:…, phone:… or external_id:….")
]
EventData: TypeAlias = Annotated[
    str | None, typer.Option("--event", help="An event's data as JSON, or @file.")
]
Locale: TypeAlias = Annotated[
    str | None, typer.Option("--locale", help="Instead of the contact's own, like fr-CA.")
]


@app.command(epilog="Example:  chappe templates validate my-journey/templates")
def validate(path: Place, *, as_json: show.Json = False) -> None:
    """Check templates, storing nothing; needs no server."""
    from chappe_sender.tryout import examine_template

    errors: list[dict[str, str]] = []
    warnings: list[dict[str, str]] = []
    checked = _files(path)
    for name, files in checked.items():
        wrong, unwise = examine_template(name, files)
        errors += wrong
        warnings += unwise
    if errors:
        raise Failure("the templates cannot be used; see errors", errors=errors)
    found: dict[str, Any] = {"valid": True, "templates": sorted(checked)}
    if as_json:
        show.document({**found, "warnings": warnings}, as_json=True)
        return
    show.document(found, as_json=False)
    _warn(warnings)


@app.command(epilog="Example:  chappe templates publish my-journey/templates")
def publish(path: Place, *, as_json: show.Json = False) -> None:
    """Upload templates as new versions; the same content is the same version."""
    with connect() as api:
        stored: list[dict[str, Any]] = [
            api.post(TEMPLATES, {"name": name, "files": files})
            for name, files in _files(path).items()
        ]
    show.rows(stored, ("name", "version", "class", "topic"), as_json=as_json)
    if not as_json:
        for each in stored:
            _warn(each.get("warnings") or [])


@app.command("list", epilog="Example:  chappe templates list --json")
def list_(*, as_json: show.Json = False) -> None:
    """Every template, with its current version."""
    with connect() as api:
        found = list(api.every(TEMPLATES))
    show.rows(found, ("name", "version", "class", "topic", "updated_at"), as_json=as_json)


@app.command("show", epilog="Example:  chappe templates show cart-1")
def show_(name: Name, *, as_json: show.Json = False) -> None:
    """One template: its versions and its files."""
    with connect() as api:
        found = api.get(f"{TEMPLATES}/{path_part(name)}")
    show.document(found, as_json=as_json)


@app.command(
    epilog="Example:  chappe templates preview cart-1 --contact email:zoe@example.com "
    "--event @cart.json --out build/preview"
)
def preview(
    name: Name,
    *,
    contact: Contact = None,
    event: EventData = None,
    locale: Locale = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write page, text, headers and all here.")
    ] = None,
    as_json: show.Json = False,
) -> None:
    """What a contact would get: subject, links, size, spam score. Sends nothing."""
    with connect() as api:
        asked = _as_whom(contact, event, locale)
        found: dict[str, Any] = api.post(f"{TEMPLATES}/{path_part(name)}/preview", asked)
    if out is not None:
        _write(out, name, found)
    if as_json:
        show.document(found, as_json=True)
        return
    keys = ("template", "locale", "subject", "size", "message_size", "spam_score", "links")
    show.document({key: found[key] for key in keys}, as_json=False)


@app.command(
    "send-test",
    epilog="Example:  chappe templates send-test cart-1 --to ada@example.com --to bob@example.com",
)
def send_test(
    name: Name,
    *,
    to: Annotated[list[str], typer.Option("--to", help="An address; at most five.")],
    contact: Contact = None,
    event: EventData = None,
    locale: Locale = None,
    as_json: show.Json = False,
) -> int:
    """Send it as a test: untracked, unsubscribing nobody. Exit 1 when an address was not taken."""
    with connect() as api:
        asked = {**_as_whom(contact, event, locale), "to": to}
        found: list[dict[str, Any]] = api.post(f"{TEMPLATES}/{path_part(name)}/send-test", asked)
    show.rows(found, ("to", "outcome", "said", "meaning"), as_json=as_json)
    return 0 if all(each["outcome"] == "taken" for each in found) else CHECK_FAILED


def _as_whom(contact: str | None, event: str | None, locale: str | None) -> dict[str, Any]:
    given = {"contact": contact, "event": _data(event) if event else None, "locale": locale}
    return {key: value for key, value in given.items() if value is not None}


def _data(given: str) -> dict[str, Any]:
    """An event's data: JSON, or ``@file`` that holds it; a whole event is taken for its data."""
    try:
        text = Path(given[1:]).read_text("utf-8") if given.startswith("@") else given
        found: Any = json.loads(text)
    except (OSError, ValueError) as error:
        raise Failure(f"--event cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise Failure("--event must be a JSON object")
    said = cast("dict[str, Any]", found)
    inner: Any = said.get("data")
    whole = "name" in said and isinstance(inner, dict)
    return cast("dict[str, Any]", inner) if whole else said


def _write(out: Path, name: str, found: dict[str, Any]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    stem = out / name
    stem.with_suffix(".html").write_text(found["html"], "utf-8")
    stem.with_suffix(".txt").write_text(found["text"], "utf-8")
    headers = "".join(f"{key}: {value}\n" for key, value in found["headers"])
    stem.with_suffix(".headers").write_text(headers, "utf-8")
    stem.with_suffix(".json").write_text(json.dumps(found, ensure_ascii=False, indent=2), "utf-8")


def _warn(warnings: Sequence[dict[str, str]]) -> None:
    for each in warnings:
        print(f"warning: {each['where']}: {each['what']}", file=sys.stderr)


def _files(path: Path) -> dict[str, dict[str, str]]:
    from chappe_onebox.client import read_templates

    try:
        return read_templates(path)
    except ValueError as error:
        raise Failure(str(error)) from error
