"""``chappe sending``: the bad day. Stop, see who got it, resume, go live."""

from typing import Annotated, Any

import typer

from chappe_cli import show
from chappe_cli.commands.suppressions import instant_of
from chappe_cli.failure import Failure
from chappe_cli.quoting import path_part
from chappe_cli.server import connect

app = typer.Typer(help="Stop and resume sending, and see who already got it.")

SENDING = "/api/v1/sending"
RECEIVED = ("accepted_at", "contact", "address", "journey", "template", "state", "id")
STOPS = ("id", "kind", "value", "created_at", "counts", "reason")


@app.command(epilog="Example:  chappe sending stop --journey abandoned-cart --reason 'wrong price'")
def stop(
    journey: Annotated[str | None, typer.Option(help="One journey's mail.")] = None,
    template: Annotated[str | None, typer.Option(help="One template's, all versions.")] = None,
    provider: Annotated[
        str | None, typer.Option(help="What one provider carries; default: CHAPPE_SMTP_URL.")
    ] = None,
    domain: Annotated[str | None, typer.Option(help="Mail from or to a domain.")] = None,
    mail_class: Annotated[
        str | None, typer.Option("--class", help="marketing or transactional.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Why, for whoever reads it later.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Tell who got it since then: 2h, 3d, a time. Default 24h.")
    ] = None,
    *,
    workspace: Annotated[
        bool, typer.Option("--workspace", help="All of the workspace's mail (the default).")
    ] = False,
    as_json: show.Json = False,
) -> None:
    """Stop mail that is not yet on the wire, everywhere, until `chappe sending resume`."""
    asked = {
        "journey": journey, "template": template, "provider": provider, "domain": domain,
        "class": mail_class,
    }  # fmt: skip
    named = [(kind, value) for kind, value in asked.items() if value is not None]
    if len(named) + workspace > 1:
        raise Failure("one stop is about one thing: stop several one by one")
    kind, value = named[0] if named else ("workspace", "")
    body: dict[str, Any] = {"kind": kind, "value": value, "reason": reason}
    body["since"] = instant_of(since) if since is not None else None
    with connect() as api:
        found = api.post(f"{SENDING}/stops", body)
        got = list(api.every(f"{SENDING}/stops/{path_part(found['id'])}/received"))
    if as_json:
        show.document({**found, "received": got}, as_json=True)
        return
    show.document(found, as_json=False)
    show.rows(got, RECEIVED, as_json=False)


@app.command(epilog="Example:  chappe sending received st_0123 --json")
def received(
    stop_id: Annotated[str, typer.Argument(help="A stop's id.")], *, as_json: show.Json = False
) -> None:
    """Who got it before the stop, or perhaps did."""
    with connect() as api:
        got = list(api.every(f"{SENDING}/stops/{path_part(stop_id)}/received"))
    show.rows(got, RECEIVED, as_json=as_json)


@app.command(epilog="Example:  chappe sending resume")
def resume(
    stop_id: Annotated[str | None, typer.Argument(help="A stop's id; absent: all.")] = None,
    *,
    as_json: show.Json = False,
) -> None:
    """Let go on what waited, unless its deadline has passed."""
    with connect() as api:
        show.document(api.post(f"{SENDING}/resume", {"stop": stop_id}), as_json=as_json)


@app.command(epilog="Example:  chappe sending status --json")
def status(*, as_json: show.Json = False) -> None:
    """Whether mail leaves, and what is stopped."""
    with connect() as api:
        found = api.get(SENDING)
    if as_json:
        show.document(found, as_json=True)
        return
    show.document({k: v for k, v in found.items() if k != "stops"}, as_json=False)
    show.rows(found["stops"], STOPS, as_json=False)


@app.command("go-live", epilog="Example:  chappe sending go-live")
def go_live(*, as_json: show.Json = False) -> None:
    """Send what is asked for from now on; what was captured is never sent."""
    with connect() as api:
        show.document(api.post(f"{SENDING}/go-live"), as_json=as_json)


@app.command(epilog="Example:  chappe sending policy --consent opt_out --tracking-countries FR,BE")
def policy(
    consent: Annotated[
        str | None, typer.Option(help="opt_in, or opt_out: also those who said nothing.")
    ] = None,
    tracking_countries: Annotated[
        str | None, typer.Option(help="Where silence is no consent to be measured: FR,BE or none.")
    ] = None,
    tracking_refused: Annotated[
        str | None, typer.Option(help="For those who refused: aggregate or none.")
    ] = None,
    *,
    as_json: show.Json = False,
) -> None:
    """Who may be written to without having asked, and who is measured. No option: show it."""
    tracking: dict[str, Any] = {}
    if tracking_countries is not None:
        said = [one.strip().upper() for one in tracking_countries.split(",")]
        tracking["countries"] = [] if said == ["NONE"] else said
    if tracking_refused is not None:
        tracking["refused"] = tracking_refused
    body: dict[str, Any] = {"tracking": tracking} if tracking else {}
    if consent is not None:
        body["consent"] = consent
    with connect() as api:
        found = api.patch(f"{SENDING}/policy", body) if body else api.get(f"{SENDING}/policy")
    show.document(found, as_json=as_json)
