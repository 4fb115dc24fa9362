"""Two contacts that turn out to be one person, and one who wants to be nobody.

Names move with the person: after a merge whoever was named leads to the one that stays; after an
erasure nobody does, and the next contact of the same name is another one.
"""

import datetime as dt

from chappe.ids import ContactId, WorkspaceId
from chappe_ingest.domain.consent import STATEMENTS_MAX, Statements
from chappe_ingest.domain.identity import Binding, Erased, Key, View
from chappe_ingest.domain.reading import parse_time

UNSUBSCRIBED = "unsubscribed"


def merge(view: View, workspace: WorkspaceId, gone: ContactId, into: ContactId) -> list[Key]:
    """Lead every name of ``gone`` to ``into``; returns the names that moved."""
    moved = [
        key
        for key, binding in view.bindings.items()
        if key[0] == workspace and binding.contact == gone
    ]
    view.names.pop(gone, None)
    for key in moved:
        before = view.bindings[key]
        view.bind(key, Binding(into, before.scope, before.trusted))
    return moved


def forget(view: View, workspace: WorkspaceId, contact: ContactId, at: dt.datetime) -> None:
    """Let nobody be known by what ``contact`` was known by. ``at``: when that was asked."""
    names = [
        key
        for key, binding in view.bindings.items()
        if key[0] == workspace and binding.contact == contact
    ]
    view.names.pop(contact, None)
    for key in names:
        del view.bindings[key]
        before = view.erased.get(key)
        view.erased[key] = Erased(1, at) if before is None else _once_more(before, at)


def _once_more(before: Erased, at: dt.datetime) -> Erased:
    return Erased(before.times + 1, max(before.at, at))


def folded(into: Statements, gone: Statements) -> Statements:
    """What each source last said of the two: an unsubscribe wins, else the later word."""
    together = dict(into)
    for who, said in gone.items():
        held = together.get(who)
        if held is not None:
            together[who] = _stronger(held, said)
        elif len(together) < STATEMENTS_MAX or said[0] == UNSUBSCRIBED:
            together[who] = said
    return together


def _stronger(one: list[str], other: list[str]) -> list[str]:
    if (one[0] == UNSUBSCRIBED) != (other[0] == UNSUBSCRIBED):
        return one if one[0] == UNSUBSCRIBED else other
    first, second = parse_time(one[1]), parse_time(other[1])
    if first is None or second is None:
        return other if first is None else one
    return one if first >= second else other
