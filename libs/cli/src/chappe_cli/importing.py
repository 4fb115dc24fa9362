"""``contacts import`` and ``suppressions import``: what both say when they are done."""

import sys
from typing import Any, Final

import typer

from chappe_cli import show
from chappe_cli.failure import BAD_INPUT
from chappe_cli.tables import Sent

SHOWN_MAX: Final = 100
"""Lines on a terminal; ``--json`` has more."""


def report(found: dict[str, Any], sent: Sent, *, as_json: bool) -> None:
    """Print what was done; ends with status 2 when rows were refused."""
    if as_json:
        show.document(found | {"errors": sent.errors}, as_json=True)
    else:
        show.document(found, as_json=False)
        for each in sent.errors[:SHOWN_MAX]:
            print(f"{each['where']}: {each['what']} (row {each['row']})", file=sys.stderr)
        if sent.refused > min(len(sent.errors), SHOWN_MAX):
            print(f"{sent.refused} rows in all were refused", file=sys.stderr)
    if sent.refused:
        raise typer.Exit(BAD_INPUT)
