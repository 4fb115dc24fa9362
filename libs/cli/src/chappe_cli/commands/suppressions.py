"""``chappe suppressions``: addresses that must not be written to."""

from typing import Annotated

import typer

from chappe_cli import show
from chappe_cli.quoting import path_part
from chappe_cli.server import connect

app = typer.Typer(help="Addresses that must not be written to, and why.")

SUPPRESSIONS = "/api/v1/suppressions"
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
