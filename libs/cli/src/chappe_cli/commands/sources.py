"""``chappe sources``: where events come from."""

import json
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from chappe.clock import WallClock
from chappe_cli import backfilling, leaving, show
from chappe_cli.failure import Failure
from chappe_cli.server import connect

app = typer.Typer(help="Where events come from: shops and write keys.")

SOURCES = "/api/v1/sources"
KINDS = (
    "shopify, woocommerce, stripe, bigcommerce, saleor, shopware, adobe, segment, cloudevents, "
    "generic"
)
Ref = Annotated[str, typer.Argument(help="A source's id or name.")]
Config = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="A generic source's mapping, as JSON."),
]
Options = Annotated[
    list[str] | None,
    typer.Option(help="NAME=VALUE of the kind's own, as consent_key=…; repeatable."),
]
OldLives = Annotated[
    int | None,
    typer.Option(min=0, help="Seconds for which the old secret is still taken; a day if absent."),
]


@app.command(epilog="Example:  chappe sources add shopify --name my-shop --secret shpss_…")
def add(
    kind: Annotated[str, typer.Argument(help=KINDS)],
    name: Annotated[str, typer.Option(help="A name of your choice.")],
    secret: Annotated[str | None, typer.Option(help="The vendor's secret, or your own.")] = None,
    domain: Annotated[
        list[str] | None, typer.Option(help="A host that links may lead to; repeatable.")
    ] = None,
    *,
    public: Annotated[bool, typer.Option("--public", help="A browser's key.")] = False,
    namespace: Annotated[
        str | None, typer.Option(help="Whose ids these are; sources of one shop may share it.")
    ] = None,
    api_token: Annotated[
        str | None, typer.Option(help="The shop's API token, to ask back what webhooks leave out.")
    ] = None,
    role: Annotated[
        str | None,
        typer.Option(help="What it may say of its shop: store, payments or subscriptions."),
    ] = None,
    config: Config = None,
    option: Options = None,
    as_json: show.Json = False,
) -> None:
    """Add a source, and read what to paste where."""
    wanted: dict[str, Any] = {
        "kind": kind,
        "name": name,
        "domains": domain or [],
        "public": public,
    }
    given = {
        "secret": secret,
        "namespace": namespace,
        "api_token": api_token,
        "role": role,
        "config": _with_options(_config(config), option),
    }
    wanted |= {field: value for field, value in given.items() if value is not None}
    with connect() as api:
        show.document(api.post(SOURCES, wanted), as_json=as_json)


@app.command("list", epilog="Example:  chappe sources list --json")
def list_(*, as_json: show.Json = False) -> None:
    """Every source."""
    with connect() as api:
        found = list(api.every(SOURCES))
    show.rows(found, ("id", "kind", "name", "state", "accepted", "status"), as_json=as_json)


@app.command(epilog="Example:  chappe sources status my-shop")
def status(
    ref: Annotated[str | None, typer.Argument(help="Id or name; absent: every source.")] = None,
    *,
    as_json: show.Json = False,
) -> None:
    """How a source is doing, in words; with what went wrong the last time."""
    if ref is None:
        list_(as_json=as_json)
        return
    with connect() as api:
        show.document(api.get(f"{SOURCES}/{ref}"), as_json=as_json)


@app.command("set-secret", epilog="Example:  chappe sources set-secret my-shop --secret shpss_…")
def set_secret(
    ref: Ref,
    secret: Annotated[str, typer.Option(help="The vendor's secret.")],
    *,
    old_lives: OldLives = None,
    as_json: show.Json = False,
) -> None:
    """Give a source its vendor's secret; what came before it is verified now."""
    wanted = {"secret": secret, "old_lives_seconds": old_lives}
    with connect() as api:
        show.document(api.post(f"{SOURCES}/{ref}/secret", wanted), as_json=as_json)


@app.command(epilog="Example:  chappe sources rotate my-site")
def rotate(ref: Ref, *, old_lives: OldLives = None, as_json: show.Json = False) -> None:
    """Make a new secret where we issue it; the old one is taken for another day."""
    wanted = {"old_lives_seconds": old_lives}
    with connect() as api:
        show.document(api.post(f"{SOURCES}/{ref}/secret", wanted), as_json=as_json)


@app.command(epilog="Example:  chappe sources pause my-shop")
def pause(ref: Ref, *, as_json: show.Json = False) -> None:
    """Keep what comes and resolve nothing; the shop still hears 200."""
    _change(ref, "pause", "paused", as_json=as_json)


@app.command(epilog="Example:  chappe sources resume my-shop")
def resume(ref: Ref, *, as_json: show.Json = False) -> None:
    """Go on after a pause."""
    _change(ref, "resume", "active", as_json=as_json)


@app.command(epilog="Example:  chappe sources disable my-shop")
def disable(ref: Ref, *, as_json: show.Json = False) -> None:
    """Refuse what comes, and read what the vendor does then."""
    with connect() as api:
        found = api.post(f"{SOURCES}/{ref}/disable")
    show.document({"source": ref, "state": "disabled", **found}, as_json=as_json)


@app.command(epilog="Example:  chappe sources domains my-shop --domain shop.example.com")
def domains(
    ref: Ref,
    domain: Annotated[list[str], typer.Option(help="A host that links may lead to; repeatable.")],
    *,
    as_json: show.Json = False,
) -> None:
    """Say anew which hosts the links of a source may lead to."""
    with connect() as api:
        api.put(f"{SOURCES}/{ref}/domains", {"domains": domain})
    show.document({"source": ref, "domains": domain}, as_json=as_json)


@app.command("api-token", epilog="Example:  chappe sources api-token my-shop --token shpat_…")
def api_token(
    ref: Ref,
    token: Annotated[str | None, typer.Option(help="Absent: forget it.")] = None,
    *,
    as_json: show.Json = False,
) -> None:
    """Set the token for asking the shop back; it is sealed and never shown."""
    with connect() as api:
        api.put(f"{SOURCES}/{ref}/api-token", {"api_token": token})
    show.document({"source": ref, "api_token": "set" if token else None}, as_json=as_json)


@app.command(epilog="Example:  chappe sources backfill my-shop --since 2y")
def backfill(
    ref: Ref,
    since: Annotated[
        str | None, typer.Option(help="90d, 8w, 6mo, 2y or a date; absent: watch the newest one.")
    ] = None,
    *,
    cancel: Annotated[bool, typer.Option("--cancel", help="End the one under way.")] = False,
    as_json: show.Json = False,
) -> None:
    """Fetch the customers and orders that a shop held before; starts nothing, mails nobody."""
    path = f"{SOURCES}/{ref}/backfill"
    with connect() as api:
        if cancel:
            show.document(api.delete(path), as_json=as_json)
            return
        if since is None:
            job = api.get(path)
        else:
            wanted = {"since": backfilling.since_of(since, WallClock().now())}
            job = api.post(path, wanted)
        try:
            job = backfilling.follow(ref, job, lambda: api.get(path), as_json=as_json)
        except KeyboardInterrupt:
            backfilling.left_running(ref)
            raise
    if not as_json:
        show.document(job, as_json=False)
    if job["state"] == "failed":
        raise typer.Exit(1)


@app.command(epilog="Example:  chappe sources divergences my-shop")
def divergences(ref: Ref, *, as_json: show.Json = False) -> None:
    """Who unsubscribed from you and could not be unsubscribed in the shop, and why."""
    with connect() as api:
        found = list(api.every(f"{SOURCES}/{ref}/divergences"))
    show.rows(found, ("contact", "external_id", "at", "reason"), as_json=as_json)


@app.command(epilog="Example:  chappe sources erasures my-shop --confirm e_4f…")
def erasures(
    ref: Ref,
    confirm: Annotated[
        str | None, typer.Option(metavar="TASK", help="Erase, and watch until it is done.")
    ] = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: show.Json = False,
) -> None:
    """Shops that have left ask to erase their people; whom another source knows is kept."""
    path = f"{SOURCES}/{ref}/erasures"
    with connect() as api:
        if confirm is None:
            found = list(api.every(path))
            columns = ("id", "shop", "state", "due_at", "erased", "kept", "finished_at")
            show.rows(found, columns, as_json=as_json)
            return
        leaving.agreed(ref, yes=yes, as_json=as_json)
        api.post(f"{path}/{confirm}/confirm")
        try:
            task = leaving.follow(confirm, lambda: api.every(path), as_json=as_json)
        except KeyboardInterrupt:
            leaving.left_running(ref)
            raise
    if not as_json:
        show.document(task, as_json=False)


@app.command(epilog="Example:  chappe sources delete my-shop")
def delete(ref: Ref, *, as_json: show.Json = False) -> None:
    """Forget a source and its secrets; its deliveries are answered 410 from now on."""
    with connect() as api:
        api.delete(f"{SOURCES}/{ref}")
    show.document({"source": ref, "state": "deleted"}, as_json=as_json)


@app.command(
    "try", epilog="Example:  chappe sources try shopify --body order.json -H 'X-Shopify-Topic: …'"
)
def try_(
    kind: Annotated[str, typer.Argument(help=KINDS)],
    body: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="The delivery's body.")],
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", help="'Name: value'; repeatable.")
    ] = None,
    secret: Annotated[str | None, typer.Option(help="The source's secret.")] = None,
    *,
    config: Config = None,
    option: Options = None,
    as_json: show.Json = False,
) -> None:
    """Verify and normalise one delivery, storing nothing; needs no server."""
    from chappe_ingest.tryout import try_source

    headers: dict[str, str] = {}
    for each in header or []:
        name, colon, value = each.partition(":")
        if not colon:
            raise Failure(f"--header {each!r} is not 'Name: value'")
        headers[name.strip()] = value.strip()
    settings = _with_options(_config(config), option)
    try:
        found = try_source(kind, body.read_bytes(), headers, secret, config=settings)
    except ValueError as error:
        raise Failure(str(error)) from error
    if as_json:
        show.document(found, as_json=True)
        return
    show.document({name: found[name] for name in ("verified", "reason", "answer")}, as_json=False)
    for event in found["events"]:
        show.line(event)
    for warning in found["warnings"]:
        print(f"warning: {warning}")


def _config(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    try:
        found: Any = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise Failure(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise Failure(f"{path}: a mapping is a JSON object")
    return cast("dict[str, Any]", found)


def _with_options(
    config: dict[str, Any] | None, options: list[str] | None
) -> dict[str, Any] | None:
    given: dict[str, Any] = {}
    for each in options or []:
        name, equals, value = each.partition("=")
        if not equals or not name.strip():
            raise Failure(f"--option {each!r} is not NAME=VALUE")
        given[name.strip()] = value.strip()
    return (config or {}) | given if given else config


def _change(ref: str, how: str, state: str, *, as_json: bool) -> None:
    with connect() as api:
        api.post(f"{SOURCES}/{ref}/{how}")
    show.document({"source": ref, "state": state}, as_json=as_json)
