"""``chappe segments``: who belongs together, as code."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chappe_cli import show
from chappe_cli.failure import Failure
from chappe_cli.quoting import path_part
from chappe_cli.server import connect

if TYPE_CHECKING:
    from chappe.journey.segments import Segment

app = typer.Typer(help="Segments as code: files with a rule each.")

SEGMENTS = "/api/v1/segments"
FILES_MAX = 100
ENDINGS = ("*.yaml", "*.yml", "*.json")
Place = Annotated[Path, typer.Argument(exists=True, help="A segment's file, or a folder of them.")]
Name = Annotated[str, typer.Argument(help="A segment's name.")]


@app.command("list", epilog="Example:  chappe segments list")
def list_(*, as_json: show.Json = False) -> None:
    """Every segment."""
    with connect() as api:
        found = [_with_sentence(each) for each in api.every(SEGMENTS)]
    show.rows(found, ("segment", "rule", "updated_at"), as_json=as_json)


@app.command("show", epilog="Example:  chappe segments show loyal")
def show_(name: Name, *, as_json: show.Json = False) -> None:
    """A segment as a file; as JSON also what it says in English and in French."""
    from chappe.journey.reading import yaml_of

    with connect() as api:
        found = api.get(f"{SEGMENTS}/{path_part(name)}")
    if as_json:
        show.document(found, as_json=True)
    else:
        print(yaml_of(found["definition"]), end="")


@app.command(epilog="Example:  chappe segments validate segments")
def validate(path: Place, *, as_json: show.Json = False) -> None:
    """Check segments, by file:line:col; needs no server. Warns of rules that can never hold."""
    from chappe.journey.notes import notes_on_segment

    segments = _read(path)
    warnings = [f"{one.segment}: {note}" for one in segments for note in notes_on_segment(one)]
    found = {"valid": True, "segments": [one.segment for one in segments], "warnings": warnings}
    show.document(found, as_json=as_json)


@app.command(epilog="Example:  chappe segments apply segments")
def apply(path: Place, *, as_json: show.Json = False) -> None:
    """Check all, then keep each. Warns of names of segments and topics that do not exist."""
    import json

    from chappe.journey.segments import canonical_segment

    segments = _in_order(_read(path))
    kept: list[dict[str, Any]] = []
    with connect() as api:
        for one in segments:
            body = json.loads(canonical_segment(one))
            kept.append(api.put(f"{SEGMENTS}/{path_part(one.segment)}", body))
    if not as_json:
        show.warnings(f"{each['segment']}: {note}" for each in kept for note in each["warnings"])
    show.rows([_with_sentence(each) for each in kept], ("segment", "rule"), as_json=as_json)


@app.command(epilog="Example:  chappe segments count loyal")
def count(name: Name, *, as_json: show.Json = False) -> None:
    """How many contacts it holds for now."""
    with connect() as api:
        show.document(api.get(f"{SEGMENTS}/{path_part(name)}/count"), as_json=as_json)


@app.command(epilog="Example:  chappe segments delete loyal")
def delete(name: Name, *, as_json: show.Json = False) -> None:
    """Forget a segment; nobody is in it any more."""
    with connect() as api:
        api.delete(f"{SEGMENTS}/{path_part(name)}")
    show.document({"segment": name, "deleted": True}, as_json=as_json)


def _with_sentence(found: dict[str, Any]) -> dict[str, Any]:
    return {**found, "rule": found["sentences"]["en"]}


def _read(path: Path) -> "list[Segment]":
    """Every segment at ``path``. Raises ``Failure`` with everything that is wrong."""
    from chappe.journey import JourneyInvalidError
    from chappe.journey.reading import read_segment
    from chappe.journey.segments import loops_in
    from chappe_onebox.client import FileError, text_of

    files = [path] if path.is_file() else sorted(f for each in ENDINGS for f in path.glob(each))
    if not files or len(files) > FILES_MAX:
        raise Failure(f"{path} holds {len(files)} segments; it should hold 1 to {FILES_MAX}")
    errors: list[dict[str, str]] = []
    found: list[Segment] = []
    for file in files:
        try:
            one = read_segment(text_of(file), file=str(file))
        except JourneyInvalidError as error:
            errors += [{"where": each.where, "what": each.what} for each in error.complaints]
            continue
        except FileError as error:
            errors.append({"where": error.where, "what": error.what})
            continue
        if any(one.segment == other.segment for other in found):
            errors.append({"where": f"{file}:1:1", "what": f"a second {one.segment!r}"})
        else:
            found.append(one)
    for name in loops_in(found):
        errors.append({"where": str(path), "what": f"{name!r} would depend on itself"})
    if errors:
        raise Failure("the segments cannot be accepted; see errors", errors=errors)
    return found


def _in_order(segments: "Sequence[Segment]") -> "list[Segment]":
    """Those that others ask for come first, so that nobody is warned of what is on its way."""
    from chappe.journey.mentions import mentions_in

    left = {one.segment: one for one in segments}
    found: list[Segment] = []
    while left:
        needs = {
            name: {each.name for each in mentions_in(one) if each.kind == "segment"}
            for name, one in left.items()
        }
        ready = sorted(name for name, others in needs.items() if not others & left.keys())
        found += [left.pop(name) for name in ready]
    return found
