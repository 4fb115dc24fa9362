"""``chappe domains``: the domains that mail is from, their keys, and what DNS says of them."""

from typing import Annotated, Any

import typer

from chappe_cli import show
from chappe_cli.failure import CHECK_FAILED
from chappe_cli.quoting import path_part
from chappe_cli.server import connect

app = typer.Typer(help="The domains that mail is from: keys, records, checks.")

DOMAINS = "/api/v1/domains"
Domain = Annotated[str, typer.Argument(help="A domain, like shop.example.")]
PUBLISH = ("type", "name", "value", "why")


@app.command(epilog="Example:  chappe domains add shop.example")
def add(
    domain: Domain,
    *,
    ed25519: Annotated[bool, typer.Option("--ed25519", help="A second key beside RSA.")] = False,
    as_json: show.Json = False,
) -> None:
    """Sign this domain's mail; prints the records to publish."""
    with connect() as api:
        found = api.post(DOMAINS, {"domain": domain, "ed25519": ed25519})
    _records(found, as_json=as_json)


@app.command("list", epilog="Example:  chappe domains list --json")
def list_(*, as_json: show.Json = False) -> None:
    """Every domain."""
    with connect() as api:
        found = list(api.every(DOMAINS))
    columns = ("domain", "blocked", "checked_at", "created_at")
    show.rows(found, columns, as_json=as_json)


@app.command(epilog="Example:  chappe domains rotate shop.example")
def rotate(
    domain: Domain,
    *,
    now: Annotated[
        bool, typer.Option("--now", help="Sign with the new key before DNS shows it.")
    ] = False,
    as_json: show.Json = False,
) -> None:
    """Make new keys. They sign once `chappe domains check` has seen them in DNS."""
    with connect() as api:
        found = api.post(f"{DOMAINS}/{path_part(domain)}/rotate", {"now": now})
    _records(found, as_json=as_json)


@app.command(epilog="Example:  chappe domains check shop.example")
def check(domain: Domain, *, as_json: show.Json = False) -> int:
    """What DNS says, for each way out, and what to publish. Exit 1 when something fails."""
    with connect() as api:
        found = api.post(f"{DOMAINS}/{path_part(domain)}/check", {})
    if as_json:
        show.document(found, as_json=True)
    else:
        results = [
            {"route": route["route"], **each}
            for route in found["routes"]
            for each in route["results"]
        ]
        show.rows(results, ("route", "check", "result", "detail"), as_json=False)
        _say(found)
    return CHECK_FAILED if found["result"] == "fail" else 0


@app.command(epilog="Example:  chappe domains remove shop.example")
def remove(domain: Domain, *, as_json: show.Json = False) -> None:
    """Forget a domain and its keys."""
    with connect() as api:
        api.delete(f"{DOMAINS}/{path_part(domain)}")
    show.document({"domain": domain, "removed": True}, as_json=as_json)


def _records(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show.document(found, as_json=True)
    else:
        _say(found)


def _say(found: dict[str, Any]) -> None:
    """Values whole, so that they can be copied."""
    print("Publish:")
    for record in found["publish"]:
        print(f"  {record['type']}  {record['name']}  ({record['why']})\n    {record['value']}")
    if found.get("blocked"):
        print(f"Marketing from here waits: {found['blocked']}")
