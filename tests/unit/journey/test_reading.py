"""A journey file: what is accepted, and how everything that is wrong is said at once."""

import json
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import BaseModel

from chappe.journey import (
    JourneyInvalidError,
    cadence,
    canonical_json,
    journey_schema,
    read_journey,
    rules,
    stored_journey,
    triggers,
    waits,
)
from chappe.journey import conditions as conditions_module
from chappe.journey import definition as definition_module
from chappe.journey import steps as steps_module
from chappe.journey.reading import FILE_BYTES_MAX
from chappe.journey.values import Strict
from chappe_recipes import recipes

EXAMPLE = """\
# yaml-language-server: $schema=https://example.com/journey.v1.json
schema: 1
journey: abandoned-cart
title: {en: Abandoned cart, fr: Panier abandonné}
trigger: {event: [checkout.started, checkout.updated], where: {event.total: {at_least: "20 EUR"}}}
entry: {key: [event.checkout_token, event.cart_token], again: once_per_key, newest_only: true}
exit:
  - {event: order.placed, match: {any: [event.checkout_token, event.cart_token], is: entry.key}}
  - {event: order.placed}
goal: {event: order.placed, within: 5d}
steps:
  - wait: 1h
  - send: {template: cart-1}
  - wait: {for: {event: email.clicked, of: cart-1}, at_most: 23h}
    then: [{wait: 20m}]
    timeout: []
  - branch:
      - when: {did: order.placed, times: {exactly: 0}}
        then: [{send: {template: cart-2-first-order}}]
      - else: [{send: {template: cart-2}}]
  - wait: 2d
  - send: {template: cart-3-coupon}
"""

LANGUAGE = (cadence, rules, steps_module, triggers, waits)
HEAD = "schema: 1\njourney: j\ntrigger: {event: order.placed}\n"


def complaints(text: str, templates: list[str] | None = None) -> list[str]:
    with pytest.raises(JourneyInvalidError) as caught:
        read_journey(text, file="j.yaml", templates=templates)
    return [one.sentence for one in caught.value.complaints]


def steps_of(text: str) -> list[dict[str, Any]]:
    return json.loads(canonical_json(read_journey(text)))["steps"]


def test_the_example_of_the_manual_is_accepted() -> None:
    journey = read_journey(EXAMPLE)
    assert journey.journey == "abandoned-cart"
    assert journey.title["fr"] == "Panier abandonné"


@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: recipe.name)
def test_the_recipes_are_accepted_with_their_own_templates(recipe: Any) -> None:
    journey = read_journey(recipe.journey, templates=list(recipe.template_files()))
    assert journey.journey == recipe.name
    for files in recipe.template_files().values():
        assert {file.partition(".")[2] for file in files} == {"mjml", "fr.mjml"}


def test_what_is_stored_reads_back_as_the_same() -> None:
    stored = canonical_json(read_journey(EXAMPLE))
    assert canonical_json(stored_journey(stored)) == stored
    assert canonical_json(read_journey(stored.decode())) == stored


def test_every_step_gets_an_id_from_its_template_or_from_its_place() -> None:
    steps = steps_of(EXAMPLE)
    assert [step["id"] for step in steps] == [
        *("wait-1", "cart-1", "wait-2", "branch-1", "wait-3", "cart-3-coupon")
    ]
    assert steps[2]["then"][0]["id"] == "wait-2.then.wait-1"


def test_an_id_that_is_given_stays() -> None:
    (step,) = steps_of(HEAD + "steps: [{id: mine, send: {template: a}}]")
    assert step["id"] == "mine"


def test_everything_wrong_is_said_at_once_with_its_place_and_a_suggestion() -> None:
    assert complaints("""\
schema: 1
journey: Abandoned
trigger: {event: order.place, wher: 1}
entry: {key: evnt.x, again: onc_per_key, filter: {event.total: {atleast: 1}}}
steps:
  - wait: 1hh
  - send: {template: cart-1, topik: x}
  - wait: {for: {evnt: email.clicked}}
  - snd: {template: cart}
  - branch: [{when: {did: order.placed, times: {exacty: 0}}}]
""") == [
        "j.yaml:2:1: journey: 'Abandoned' should be lower-case letters, digits, - and _",
        (
            "j.yaml:3:11: trigger.event: 'order.place' is not an event; others are called"
            " custom.NAME, did you mean 'order.placed'?"
        ),
        "j.yaml:3:31: trigger.wher: unknown key, did you mean 'where'?",
        (
            "j.yaml:4:9: entry.key: 'evnt.x' is not a path; it begins with event., contact. or"
            " entry., did you mean 'event.'?"
        ),
        (
            "j.yaml:4:22: entry.again: should be 'once_per_key', 'always' or 'never',"
            " did you mean 'once_per_key'?"
        ),
        "j.yaml:4:65: entry.filter.event.total.atleast: unknown key, did you mean 'at_least'?",
        "j.yaml:6:5: steps[0].wait: '1hh' is not a duration; write 20m, 1h, 2d, 1h30m or PT4H",
        "j.yaml:7:30: steps[1].send.topik: unknown key, did you mean 'topic'?",
        "j.yaml:8:5: steps[2].wait.at_most: is required",
        "j.yaml:8:12: steps[2].wait.for.event: is required",
        "j.yaml:8:18: steps[2].wait.for.evnt: unknown key, did you mean 'event'?",
        "j.yaml:9:5: steps[3]: 'snd' is no step, did you mean 'send'?",
        "j.yaml:10:14: steps[4].branch[0].then: is required",
        "j.yaml:10:49: steps[4].branch[0].when.times.exacty: unknown key, did you mean 'exactly'?",
    ]


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ("[{goto: nowhere}]", "steps[0].goto: no step is called 'nowhere'"),
        ("[{send: {template: a}}, {send: {template: a}}]", "a second step is called 'a'"),
        ("[{exit: done}, {wait: 1h}]", "steps[1]: step 'wait-1' can never be reached"),
        ("[{send: {template: a}}, {goto: a}]", "'a' comes back to itself without a wait"),
        ("[{id: x, goto: y}, {id: y, goto: x}]", "leads back to itself without a wait"),
        (
            "[{wait: {for: {event: email.clicked, of: a}, at_most: 1d}}]",
            "steps[0].wait.for.of: no send step is called 'a'",
        ),
        (
            "[{send: {template: a}}, {wait: {for: {event: order.placed, of: a}, at_most: 1d}}]",
            "only email events are about a message",
        ),
        ("[{wait: 1h, then: [{exit: x}]}]", "then and timeout belong to a wait for an event"),
        ("[{branch: [{else: []}, {when: {contact.a: 1}, then: []}]}]", "else comes last"),
        ("[{branch: [{else: []}]}]", "needs at least one when"),
        ("[{send: {template: a}, wait: 1h}]", "write wait as a step of its own"),
        ("[]", "steps: should hold at least one"),
        ("[{wait: 0h}]", "is not between 1 second and 3660 days"),
        ("[{branch: [{when: {}, then: []}]}]", "is an empty condition"),
        ("[{branch: [{when: {event.a: {}}, then: []}]}]", "says nothing"),
        ("[{branch: [{when: {event.a: [1]}, then: []}]}]", "should be a text, a number"),
        ("[{branch: [{when: {did: order.placed, times: {}}, then: []}]}]", "needs exactly"),
    ],
)
def test_a_step_that_cannot_work_is_refused(steps: str, said: str) -> None:
    found = complaints(HEAD + f"steps: {steps}")
    assert said in found[0]


def test_a_template_that_is_not_there_is_refused_with_the_nearest() -> None:
    found = complaints(HEAD + "steps: [{send: {template: thank}}]", templates=["thanks"])
    assert found == [
        "j.yaml:4:17: steps[0].send.template: no template is called 'thank', did you mean 'thanks'?"
    ]


def test_a_loop_with_a_wait_in_it_is_fine() -> None:
    assert steps_of(HEAD + "steps: [{send: {template: a}}, {wait: 1d}, {goto: a}]")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("a: [", "j.yaml:1:5"),
        ("a: &x [1]\nb: *x", "anchors and aliases are not supported"),
        ("[" * 50_000, "nested too deeply"),
        ("a: " + "[" * 200 + "]" * 200, "nested too deeply"),
        ("1: 2", "a key must be a text"),
        ("x" * (FILE_BYTES_MAX + 1), "is larger than"),
        ("- 1", "should be a mapping"),
        ("\x00", "holds a character that YAML does not take"),
    ],
)
def test_what_is_no_journey_file_is_said_in_one_sentence(text: str, said: str) -> None:
    assert said in complaints(text)[0]


def test_plain_words_stay_words() -> None:
    journey = read_journey(
        HEAD + "entry: {filter: {contact.locale: no}}\nsteps: [{send: {template: a}}]"
    )
    assert json.loads(canonical_json(journey))["entry"]["filter"] == {
        "contact.locale": {"is": "no"}
    }


def test_a_file_that_nests_steps_too_deeply_is_refused() -> None:
    steps = "[{exit: x}]"
    for _ in range(20):
        steps = f"[{{branch: [{{when: {{contact.a: 1}}, then: {steps}}}]}}]"
    assert "nested at most 16 deep" in complaints(HEAD + f"steps: {steps}")[0]


def test_the_schema_knows_every_key() -> None:
    schema = journey_schema()
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert set(schema["properties"]) == {
        *("schema", "journey", "title", "trigger", "entry", "exit", "goal", "cadence", "steps")
    }


EVERY_SHORT_FORM = """\
schema: 1
journey: j
title: Everything short
trigger: {event: checkout.started, where: {contact.locale: fr, event.n: 1, event.vip: true}}
entry: {key: event.ref, again: {cooldown: 3d}, filter: {consent: subscribed}}
exit: [{event: order.placed, match: {event.ref: entry.key}}]
steps:
  - branch:
      - when: {not: {any: [{did: order.placed, since: entry}, {contact.x: {in: [1, a]}}]}}
        then: [{exit: }]
  - wait: PT4H
  - exit: done
"""


@pytest.mark.parametrize(
    "text", [EXAMPLE, EVERY_SHORT_FORM, *(recipe.journey for recipe in recipes())]
)
def test_what_is_accepted_is_valid_by_the_published_schema(text: str) -> None:
    read_journey(text)
    jsonschema.validate(yaml.safe_load(text), journey_schema())


def test_every_mapping_of_the_language_can_suggest_its_keys() -> None:
    from chappe.journey.wording import _KEYS_UNDER  # noqa: PLC0415 - looked at, not used

    models = {
        model
        for module in (definition_module, conditions_module, *LANGUAGE)
        for model in vars(module).values()
        if isinstance(model, type) and issubclass(model, Strict) and model is not Strict
        if not model.__name__.startswith("_")
    }
    known: set[type[BaseModel]] = {*_KEYS_UNDER.values()}
    missing = {model.__name__ for model in models - known}
    whole = {"Journey", "JourneySettings"}
    assert missing == {*whole, "Comparison"}, "what is left when no key fits"
