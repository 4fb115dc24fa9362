"""Who may be written to: how a claim about consent meets what we already know.

A restated state never raises consent: only a claim whose time is newer than our
last change does, and a tie goes to unsubscribed.
"""

import datetime as dt
from enum import StrEnum
from typing import Any, Final, cast

import msgspec

from chappe.events.event import Event


class ConsentState(StrEnum):
    SUBSCRIBED = "subscribed"
    UNSUBSCRIBED = "unsubscribed"
    PENDING = "pending"


STATES = {state.value: state for state in ConsentState}


class Consent(msgspec.Struct, frozen=True):
    """What we hold for one channel, with its proof."""

    state: ConsentState
    at: dt.datetime
    source: str | None = None
    proof: str | None = None


class ConsentClaim(msgspec.Struct, frozen=True):
    """What an event says about one channel."""

    channel: str
    state: ConsentState
    at: dt.datetime
    source: str | None
    proof: str | None
    historical: bool
    imported: bool = False


API_SOURCE: Final = "api"
IMPORTED: Final = "import"
"""``source`` and ``source_event`` of what came from a table that somebody uploaded."""


def claim_of(event: Event, channel: str = "email") -> ConsentClaim | None:
    """The claim that ``event`` carries for ``channel``, or None: absence says nothing.

    ``traits.consent.<channel>`` is either a state or ``{"state", "at"?}``; an unknown state says
    nothing. An unverified event may lower consent, never grant it.
    """
    said = _member(event.traits.get("consent"), channel)
    at = event.occurred_at
    if isinstance(said, dict):
        at = _time(_member(said, "at")) or at
        said = _member(said, "state")
    state = STATES.get(said) if isinstance(said, str) else None
    if state is None:
        return None
    if event.flags.unverified and state is not ConsentState.UNSUBSCRIBED:
        return None
    return ConsentClaim(
        channel=channel,
        state=state,
        at=at,
        source=event.source,
        proof=event.id,
        historical=event.flags.historical,
        imported=event.source == API_SOURCE and event.source_event == IMPORTED,
    )


def settle(held: Consent | None, claim: ConsentClaim) -> Consent:
    """What we hold after hearing ``claim``. An older or equal time never undoes an unsubscribe,
    and an imported table never does, whatever time it states.
    """
    leaves = claim.state is ConsentState.UNSUBSCRIBED
    if claim.imported and not leaves and held and held.state is ConsentState.UNSUBSCRIBED:
        return held
    new = Consent(state=claim.state, at=claim.at, source=claim.source, proof=claim.proof)
    if held is None or claim.at > held.at:
        return new
    if claim.at == held.at and leaves:
        return new
    return held


def _member(value: Any, name: str) -> Any:
    return cast("dict[str, Any]", value).get(name) if isinstance(value, dict) else None


def _time(value: Any) -> dt.datetime | None:
    if not isinstance(value, str):
        return None
    try:
        at = dt.datetime.fromisoformat(value)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=dt.UTC)
