"""The journeys of the simulated shop: seconds where others wait for days."""

from functools import cache

from chappe.ids import WorkspaceId
from chappe.journey import Pinned, Program, canonical_json, compile_program, read_journey
from chappe_orchestrator.application.ports import StoredVersion

DEFAULT = WorkspaceId("default")
QUIET_SECONDS = 15.0
WAITS = {"a": 12.0, "b": 8.0}
"""Of the cart's first version: how long before each mail."""

CART = """
schema: 1
journey: cart
trigger: {event: custom.a}
entry: {key: event.k}
exit: [{event: custom.stop, match: {event.k: entry.key}}]
steps:
  - {id: w, wait: {time: PT12S, restart: true}}
  - {send: {template: a}}
  - {id: v, wait: PT8S}
  - {send: {template: b}}
"""

LONGER_CART = """
schema: 1
journey: cart
trigger: {event: custom.a}
entry: {key: event.k}
exit: [{event: custom.stop, match: {event.k: entry.key}}]
steps:
  - {id: w, wait: {time: PT14S, restart: true}}
  - {send: {template: a}}
  - {id: u, wait: PT5S}
  - {send: {template: b}}
  - {id: x, wait: PT3S}
  - {send: {template: c}}
"""
MOVES = {"v": "u"}
"""Where those go who stand at a step that the longer one does not have."""

NOTES = """
schema: 1
journey: notes
trigger: {event: custom.note}
entry: {again: always}
steps: [{send: {template: n}}]
"""

SILENT = """
schema: 1
journey: silent
trigger: {inactive: {event: custom.a, for: PT15S}}
steps: [{send: {template: q}}]
"""

ODD = """
schema: 1
journey: odd
trigger: {event: custom.odd}
steps:
  - {id: o, wait: PT3S}
  - {update: {set: {refused: true}}}
  - {send: {template: m}}
"""

DATES = """
schema: 1
journey: dates
trigger: {date: contact.day}
steps: [{send: {template: d}}]
"""

TEXTS = {
    ("cart", 1): CART,
    ("cart", 2): LONGER_CART,
    ("notes", 1): NOTES,
    ("silent", 1): SILENT,
    ("dates", 1): DATES,
    ("odd", 1): ODD,
}
STEPS = {1: ["a", "b"], 2: ["a", "b", "c"]}
"""What a cart that nothing stops is sent, by version."""


@cache
def compiled() -> dict[tuple[WorkspaceId, str, int], Program]:
    """Every version, ready to be walked."""
    pinned = {n: Pinned(f"{n}@1", marketing=True, topic="offers") for n in "abcnqdm"}
    return {
        (DEFAULT, name, version): compile_program(
            read_journey(text), version=version, templates=pinned
        )
        for (name, version), text in TEXTS.items()
    }


@cache
def stored(name: str, version: int = 1) -> StoredVersion:
    """A version as the database keeps it."""
    body = canonical_json(read_journey(TEXTS[name, version]))
    return StoredVersion(DEFAULT, name, version, body, b"{}", paused=False)
