"""Every condition can be said, in English and in French."""

from typing import Any

import pytest
from pydantic import TypeAdapter

from chappe.journey import Condition, read_journey
from chappe.journey.conditions import NODES, OPERATORS
from chappe.journey.predicates import nodes_of
from chappe.journey.program import conditions_in
from chappe.journey.sentences import sentence
from chappe_recipes import recipes

_parse: TypeAdapter[Any] = TypeAdapter(Condition)

TABLE: list[tuple[Any, str, str]] = [
    (
        {"all": [{"tag": "vip"}, {"any": [{"segment": "new"}, {"not": {"score": {"below": 5}}}]}]},
        (
            "The contact is tagged “vip” and (the contact is in the segment “new” or it is not so"
            " that (the score is less than 5))"
        ),
        (
            "Le contact a l'étiquette « vip » et (le contact est dans le segment « new » ou il"
            " n'est pas vrai que (le score est moins de 5))"
        ),
    ),
    (
        {
            "did": "order.placed",
            "times": {"at_least": 2, "at_most": 3},
            "since": "30d",
            "where": {"event.total": {"above": "20.50 EUR"}},
        },
        (
            "The contact placed an order at least 2 and at most 3 times where the event's “total”"
            " is more than 20.50 EUR in the last 30 days"
        ),
        (
            "Le contact a passé une commande au moins 2 et au plus 3 fois où « total » de"
            " l'événement est plus de 20,50 EUR depuis 30 jours"
        ),
    ),
    (
        {"did": "custom.seen_it", "times": {"exactly": 0}, "since": "entry"},
        "The contact never did “seen_it” since the entry",
        "Le contact a fait « seen_it » 0 fois depuis l'entrée",
    ),
    (
        {"first": "order.paid", "at": {"before": "2026-12-24"}},
        "The first time the contact paid an order was before 2026-12-24",
        "La première fois que le contact a payé une commande était avant 2026-12-24",
    ),
    (
        {"last": "email.opened", "at": {"before": "-90d"}},
        "The last time the contact opened an email was more than 90 days ago",
        "La dernière fois que le contact a ouvert un e-mail était il y a plus de 90 jours",
    ),
    (
        {"sum": "event.total", "of": "order.placed", "at_least": "100 EUR"},
        "The sum of “total”, each time the contact placed an order, is at least 100 EUR",
        (
            "La somme de « total », chaque fois que le contact a passé une commande, est au moins"
            " 100 EUR"
        ),
    ),
    (
        {"max": "event.pages", "of": "page.viewed", "less_than": 2},
        "The largest “pages”, of the times the contact viewed a page, is less than 2",
        "Le plus grand « pages », parmi les fois où le contact a vu une page, est moins de 2",
    ),
    (
        {"opened": 3, "of_last": 5},
        "The contact opened at least 3 of the last 5 emails",
        "Le contact a ouvert au moins 3 des 5 derniers e-mails",
    ),
    (
        {"clicked": {"exactly": 0}, "of_last": 5},
        "The contact clicked in exactly 0 of the last 5 emails",
        "Le contact a cliqué exactement 0 des 5 derniers e-mails",
    ),
    (
        {"consent": {"email": "unsubscribed"}},
        "Consent for e-mail is withdrawn",
        "Le consentement pour e-mail est retiré",
    ),
    (
        {"topic": {"offers": "unsubscribed"}},
        "The topic “offers” was opted out of",
        "Le thème « offers » a été refusé",
    ),
    (
        {"contact.city": "Lyon", "contact.b2b": False},
        "The contact's “city” is “Lyon” and the contact's “b2b” is false",
        "« city » du contact est « Lyon » et « b2b » du contact est faux",
    ),
]

OPERATOR_TABLE: list[tuple[str, Any, str, str]] = [
    ("is", "Lyon", "is “Lyon”", "est « Lyon »"),
    ("not", 2, "is not 2", "n'est pas 2"),
    ("in", ["a", 1.5], "is one of “a”, 1.5", "est parmi « a », 1,5"),
    ("not_in", ["a"], "is none of “a”", "n'est pas parmi « a »"),
    ("exists", False, "is not known", "n'est pas connu"),
    ("at_least", "20 EUR", "is at least 20 EUR", "est au moins 20 EUR"),
    ("at_most", 3, "is at most 3", "est au plus 3"),
    ("more_than", 3, "is more than 3", "est plus de 3"),
    ("less_than", 3, "is less than 3", "est moins de 3"),
    ("contains", "a", "contains “a”", "contient « a »"),
    ("starts_with", "a", "starts with “a”", "commence par « a »"),
    ("before", "now", "is before now", "est avant maintenant"),
    ("after", "+1d", "is more than 1 day from now", "est dans plus de 1 jour"),
    ("within_last", "1d", "is within the last 1 day", "est dans les 1 jour passés"),
    ("within_next", "2h", "is within the next 2 hours", "est dans les 2 heures à venir"),
    ("anniversary", "today", "has its anniversary today", "a son anniversaire aujourd'hui"),
]


@pytest.mark.parametrize(("written", "english", "french"), TABLE)
def test_a_condition_is_said_as_people_say_it(written: Any, english: str, french: str) -> None:
    condition = _parse.validate_python(written)
    assert sentence(condition) == english
    assert sentence(condition, "fr") == french


@pytest.mark.parametrize(("operator", "value", "english", "french"), OPERATOR_TABLE)
def test_a_comparison_is_said(operator: str, value: Any, english: str, french: str) -> None:
    condition = _parse.validate_python({"event.x": {operator: value}})
    assert sentence(condition) == f"The event's “x” {english}"
    assert sentence(condition, "fr") == f"« x » de l'événement {french}"


def test_the_tables_leave_no_node_and_no_operator_out() -> None:
    said = {
        type(node) for written, *_ in TABLE for node in nodes_of(_parse.validate_python(written))
    }
    assert said >= set(NODES.values())
    assert [operator for operator, *_ in OPERATOR_TABLE] == list(OPERATORS)


@pytest.mark.parametrize("one", recipes(), ids=lambda one: one.name)
def test_the_conditions_of_every_recipe_can_be_said(one: Any) -> None:
    for condition in conditions_in(read_journey(one.journey)):
        for language in ("en", "fr"):
            text = sentence(condition, language)
            assert text[0] in "«“(" or text[0].isupper()
            assert "None" not in text
