"""What a source may say of its shop, where several sources speak of one.

A payment service beside a store would place every order twice, under numbers of its own. Its role
says what it is there for; what it is not there for still says who somebody is.
"""

import dataclasses
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from chappe.events import rename
from chappe_ingest.domain.normalised import Fact, Normalised


class Role(StrEnum):
    STORE = "store"
    PAYMENTS = "payments"
    SUBSCRIPTIONS = "subscriptions"


_PEOPLE: Final = ("contact.updated", "contact.consent_changed", "contact.deleted", "contact.merged")
_MAY: Final = {
    Role.PAYMENTS: frozenset({*_PEOPLE, "order.paid", "order.refunded"}),
    Role.SUBSCRIPTIONS: frozenset(_PEOPLE),
}
_FAMILIES: Final = {
    Role.PAYMENTS: ("subscription.", "privacy.", "custom."),
    Role.SUBSCRIPTIONS: ("subscription.", "privacy.", "custom."),
}
_PAYING: Final = frozenset({"stripe"})
"""Kinds that take money for a shop that somebody else runs, where there is one."""


def default_role(kind: str, neighbours: Iterable[tuple[str, Role]]) -> Role:
    """``neighbours``: kind and role of the sources that share the namespace.

    A payment service is its own store until there is another.
    """
    has_store = any(role is Role.STORE and other not in _PAYING for other, role in neighbours)
    return Role.PAYMENTS if kind in _PAYING and has_store else Role.STORE


def may_say(role: Role, name: str) -> bool:
    return role is Role.STORE or name in _MAY[role] or name.startswith(_FAMILIES[role])


def within(role: Role, meant: Normalised) -> Normalised:
    """``meant`` without what is for others to say; what it says of the person stays."""
    if all(may_say(role, fact.event.name) for fact in meant.facts):
        return meant
    facts: list[Fact] = []
    for fact in meant.facts:
        if may_say(role, fact.event.name):
            facts.append(fact)
        elif fact.event.traits and not facts:
            person = rename(fact.event, name="contact.updated", object=None, data={})
            facts.append(Fact(person))
    return dataclasses.replace(meant, facts=tuple(facts))
