"""``chappe coupons``: pools of codes that mails hand out."""

from pathlib import Path
from typing import Annotated

import typer

from chappe_cli import show
from chappe_cli.server import connect

app = typer.Typer(help="Pools of codes; a template names its own with `coupon: POOL`.")

COUPONS = "/api/v1/coupons"


@app.command(epilog="Example:  chappe coupons add winter codes.csv")
def add(
    pool: Annotated[str, typer.Argument(help="A pool's name; made when it is new.")],
    table: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="CSV: a code in each line.")
    ],
    *,
    as_json: show.Json = False,
) -> None:
    """Put codes into a pool; those that are in it already change nothing."""
    with connect() as api:
        found = api.post_csv(COUPONS, table.read_bytes(), pool=pool)
    show.document(found, as_json=as_json)


@app.command("list", epilog="Example:  chappe coupons list --json")
def list_(*, as_json: show.Json = False) -> None:
    """The pools: how many codes, and how many are left."""
    with connect() as api:
        found = list(api.every(COUPONS))
    show.rows(found, ("pool", "codes", "left"), as_json=as_json)
