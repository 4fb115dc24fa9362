"""When was this consent given? A client that repeats a state on every call gives it no new time.

An ``identify`` restates what the application holds. The first time it said so is the time of
the consent; repeats keep it, so they never undo an unsubscribe that came in between.
"""

import datetime as dt
from typing import Any, Final, TypeAlias, cast

from chappe.events import ConsentState
from chappe_ingest.domain.reading import ID_MAX_CHARS, Json, Reader, iso, parse_time

STATES: Final = frozenset(state.value for state in ConsentState)
CHANNELS: Final = ("email", "sms", "tracking")

STATEMENTS_MAX: Final = 32

Statements: TypeAlias = dict[str, list[str]]
"""``{"source channel": [state, since]}``: what each source last said of one contact."""


def stated(traits: Reader) -> dict[str, Json]:
    """``{channel: {"state", "at"?, "source"?}}`` of ``traits.consent``."""
    given = traits.fields.get("consent")
    if given is None:
        return {}
    if not isinstance(given, dict):
        traits.warn("consent", "an object by channel", given)
        return {}
    claims: dict[str, Json] = {}
    for channel in CHANNELS:
        said: Any = cast("Json", given).get(channel)
        at: dt.datetime | None = None
        told_by: str | None = None
        if isinstance(said, dict):
            inner = Reader(cast("Json", said), traits.warnings, f"{traits.where}consent.{channel}.")
            said, at = inner.text("state"), inner.time("at")
            told_by = inner.text("source")
        if said is None:
            continue
        if not isinstance(said, str) or said.lower() not in STATES:
            traits.note(f"consent.{channel}", "neither subscribed, unsubscribed nor pending")
            continue
        claims[channel] = {"state": said.lower()} | ({"at": iso(at)} if at else {})
        if told_by:
            claims[channel]["source"] = told_by[:ID_MAX_CHARS]
    return claims


def dated(traits: Json, source: str, occurred_at: dt.datetime, held: Statements) -> Json:
    """``traits`` with a time on each consent; ``held`` learns what was said."""
    consent = traits.get("consent")
    if not isinstance(consent, dict):
        return traits
    said: Json = {}
    for channel, claim in cast("dict[str, Json]", consent).items():
        state, own = str(claim["state"]), parse_time(claim.get("at"))
        at = own or _since(held, source, channel, state, occurred_at)
        said[channel] = {**claim, "state": state, "at": iso(at)}
        _remember(held, f"{source} {channel}", state, own or occurred_at)
    return {**traits, "consent": said}


def _since(
    held: Statements, source: str, channel: str, state: str, occurred_at: dt.datetime
) -> dt.datetime:
    before = held.get(f"{source} {channel}")
    since = parse_time(before[1]) if before and before[0] == state else None
    return min(since, occurred_at) if since else occurred_at


def _remember(held: Statements, who: str, state: str, at: dt.datetime) -> None:
    before = held.get(who)
    if before is not None:
        since = parse_time(before[1])
        older = since is not None and at <= since
        if before[0] == state or older:
            return
    elif len(held) >= STATEMENTS_MAX:
        return
    held[who] = [state, iso(at)]
