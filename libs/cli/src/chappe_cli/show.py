"""Print for a person, or as JSON for a program; never both."""

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, TypeAlias, cast

import typer

from chappe_cli.failure import Failure

Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]

CELL_LETTERS_MAX = 80
PIPED_COLUMNS = 220
"""How wide a table is where nobody looks at it."""

_INSTANT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)[\d.]*(?:Z|\+00:00)")


def document(found: Any, *, as_json: bool) -> None:
    """One thing: JSON, or its fields one per line."""
    if as_json or not isinstance(found, Mapping):
        print(json.dumps(found, ensure_ascii=False, default=str))
        return
    fields = cast("Mapping[str, Any]", found)
    width = max((len(name) for name in fields), default=0)
    for name, value in fields.items():
        print(f"{name:<{width}}  {_cell(value)}")


def rows(found: Iterable[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool) -> None:
    """Several things: one JSON document ``{"items": […]}``, or a table of these columns."""
    items = list(found)
    if as_json:
        print(json.dumps({"items": items, "next": None}, ensure_ascii=False, default=str))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for item in items:
        table.add_row(*(_short(_cell(item.get(column))) for column in columns))
    width = None if sys.stdout.isatty() else PIPED_COLUMNS
    Console(width=width).print(table if items else "[dim]none[/dim]")


def line(found: Any) -> None:
    """One of a stream of things: one JSON object per line."""
    print(json.dumps(found, ensure_ascii=False, default=str), flush=True)


def warnings(found: Iterable[str]) -> None:
    """What is right as it stands but should be known; on stderr, for people."""
    for each in found:
        print(f"warning: {each}", file=sys.stderr)


def failure(error: Failure, *, as_json: bool) -> None:
    """Why it ended. As JSON on stdout, where a program reads; else on stderr."""
    if as_json:
        line({"error": str(error), "errors": error.errors, "exit": error.code})
        return
    print(f"chappe: {error}", file=sys.stderr)
    for each in error.errors:
        print(f"  {each['where']}: {each['what']}", file=sys.stderr)


def _short(text: str) -> str:
    """As a table shows it: an instant to the second, in UTC."""
    return _INSTANT.sub(r"\1 \2", text)[:CELL_LETTERS_MAX]


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return "yes" if value else "no"
        case _ if isinstance(value, list) and all(isinstance(e, str) for e in cast("Any", value)):
            return "\n".join(cast("list[str]", value))
        case _:
            return json.dumps(value, ensure_ascii=False, default=str)
