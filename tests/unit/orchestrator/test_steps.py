"""What each step does, each in a journey of its own."""

from collections import Counter
from typing import Any

from chappe.ids import ContactId
from chappe.journey import JourneySettings
from chappe_orchestrator.domain import arrange
from chappe_orchestrator.domain.journeys import policy_of
from tests.unit.orchestrator import world as world_module
from tests.unit.orchestrator.world import World, small

GO = "{event: custom.go}"


def met(*programs: Any, **settings: Any) -> World:
    world = World(*programs, settings=settings)
    world.meet()
    return world


SPLIT = """[{id: ab, split: [{variant: a, weight: 3, then: [{send: {template: mail-a}}]},
  {variant: b, then: [{send: {template: mail-b}}]}]}, {send: {template: end}}]"""


def variant_of(contact: str, **settings: Any) -> str:
    world = World(small(GO, SPLIT), settings=settings)
    event = world.event("custom.go", email="x@example.com")
    who = ContactId(contact)
    import msgspec  # noqa: PLC0415

    from chappe_orchestrator.domain import Contact, Profile, step  # noqa: PLC0415

    state = Contact(id=who, workspace=event.workspace, profile=Profile())
    event = msgspec.structs.replace(event, contact=who)
    _, effects = step(state, [event], now=world.now, journeys=world.journeys)
    return next(d.reason or "" for d in effects.decisions if d.what == "split")


def test_a_split_draws_by_weight_and_always_the_same_for_one_contact() -> None:
    drawn = Counter(variant_of(f"c_{n}") for n in range(800))
    assert 540 < drawn["a"] < 660
    assert variant_of("c_7") == variant_of("c_7")


def test_a_variant_stands_on_the_entry_and_the_ways_meet_again() -> None:
    world = met(small(GO, SPLIT))
    world.hear("custom.go")
    (way,) = world.reasons("split")
    assert world.mails == [f"mail-{way}", "end"]
    assert world.sends[0].snapshot.entry["variant"] == way


def test_a_split_that_has_a_winner_sends_everybody_there() -> None:
    winners = {"winners": {"j": {"ab": "b"}}}
    assert {variant_of(f"c_{n}", **winners) for n in range(20)} == {"b"}


def test_an_update_sets_attributes_tags_and_points_for_the_steps_behind_it() -> None:
    steps = """[{update: {set: {vip: true, last: {from: event.title}, old: null}, add_tags: [gold],
      remove_tags: iron, score: 5}},
      {branch: [{when: {contact.vip: true, contact.tags: {contains: gold}},
        then: [{send: {template: a}}]}]}]"""
    world = met(small(GO, steps))
    world.hear("contact.updated", traits={"old": 1, "tags": ["iron"]})
    world.facts.clear()
    world.hear("custom.go", {"title": "A hat"})
    assert world.mails == ["a"]
    assert world.sends[0].snapshot.contact["last"] == "A hat"
    assert "old" not in world.sends[0].snapshot.contact
    assert [fact.name for fact in world.facts] == ["contact.updated", "contact.tags_changed"]
    assert world.facts[0].traits == {"vip": True, "last": "A hat", "old": None}
    assert world.facts[0].data["score"] == 5
    assert world.facts[1].data == {"added": ["gold"], "removed": ["iron"]}


def test_a_tag_that_a_journey_adds_begins_another() -> None:
    world = met(
        small(GO, "[{update: {add_tags: gold}}]", name="first"),
        small("{tag: gold}", "[{send: {template: a}}]", name="second"),
    )
    world.hear("custom.go")
    assert world.mails == ["a"]


def test_an_update_may_take_the_contact_off_a_topic_and_tells_the_sender() -> None:
    world = met(small(GO, "[{update: {opt_out: offers}}]"))
    world.hear("custom.go")
    (fact,) = world.facts
    assert fact.name == "email.unsubscribed"
    assert (fact.data["scope"], fact.data["topic"]) == ("topic", "offers")


def test_an_update_is_not_applied_twice_when_its_fact_comes_back() -> None:
    world = met(small(GO, "[{update: {score: 5}}]"))
    world.hear("custom.go")
    before = world.profile
    for fact in world.facts:
        world.apply(fact)
    assert world.profile == before


def test_a_webhook_is_asked_for_once_with_what_it_may_show() -> None:
    world = met(
        small(
            GO,
            '[{id: hook, webhook: {url: "https://crm.example.com/x", body: {a: 1}, within: 1h}}]',
        )
    )
    world.hear("custom.go", {"n": 1})
    (call,) = world.calls
    assert (call.url, call.method, call.body) == ("https://crm.example.com/x", "POST", {"a": 1})
    assert call.snapshot.event == {"n": 1}
    assert (call.deadline - call.at).total_seconds() == 3600
    assert world.said("called")[0].seen == {"call": call.id}


def test_an_answer_that_came_back_can_be_read_later() -> None:
    steps = """[{id: hook, webhook: {url: "https://crm.example.com/x"}}, {wait: 1h},
      {branch: [{when: {entry.webhook.hook.status: 200}, then: [{send: {template: ok}}]}]}]"""
    world = met(small(GO, steps))
    world.hear("custom.go")
    said = {"call": world.calls[0].id, "answer": {"status": 200, "ok": True, "body": None}}
    world.hear("webhook.answered", said)
    world.hear("webhook.answered", {"call": "another", "answer": {"status": 500}})
    world.advance(hours=1)
    assert world.mails == ["ok"]


def test_the_team_is_told_by_mail_or_by_a_webhook() -> None:
    steps = """[{notify: {email: team@shop.example, subject: "New", text: "{{ contact.email }}"}},
      {notify: {webhook: "https://chat.example.com/x", text: hello}}]"""
    world = met(small(GO, steps))
    world.hear("custom.go")
    assert [(call.email, call.url) for call in world.calls] == [
        ("team@shop.example", None),
        (None, "https://chat.example.com/x"),
    ]
    assert all(call.notice for call in world.calls)


def test_a_goal_step_marks_the_enrollment() -> None:
    world = met(small(GO, "[{goal: activated}, {wait: 1d}]"))
    world.hear("custom.go")
    assert world.standing()[0].goal_at == world.now


def test_a_journey_starts_another_and_goes_on_itself() -> None:
    world = met(
        small(GO, "[{start_journey: second}, {send: {template: first}}]", name="first"),
        small("{request: journey}", "[{send: {template: second}}]", name="second"),
        small("{request: api}", "[{send: {template: third}}]", name="third"),
    )
    world.hear("custom.go", {"n": 7})
    assert world.mails == ["first", "second"]
    assert world.sends[1].snapshot.event["n"] == 7


def test_goto_joins_two_ways() -> None:
    steps = """[{branch: [{when: {event.n: 1}, then: [{goto: end}]}]}, {send: {template: a}},
      {id: end, send: {template: b}}]"""
    world = met(small(GO, steps))
    world.hear("custom.go", {"n": 1})
    assert world.mails == ["end"]
    assert world.sends[0].template == "b@1"


def test_a_branch_takes_the_first_arm_that_holds_or_else() -> None:
    steps = """[{branch: [{when: {event.n: {at_least: 5}}, then: [{send: {template: many}}]},
      {when: {event.n: {at_least: 1}}, then: [{send: {template: some}}]},
      {else: [{send: {template: none}}]}]}]"""
    for n, mail in ((7, "many"), (3, "some"), (0, "none")):
        world = met(small(GO, steps))
        world.hear("custom.go", {"n": n})
        assert world.mails == [mail]


def test_an_exit_step_says_its_reason() -> None:
    world = met(small(GO, "[{exit: enough}]"))
    world.hear("custom.go")
    assert world.reasons("exited") == ["enough"]


def test_every_decision_says_when_for_whom_and_why() -> None:
    world = met(small(GO, SPLIT))
    world.hear("custom.go")
    assert {d.contact for d in world.decisions} == {world_module.ZOE}
    assert all(d.at == world.now for d in world.decisions)
    assert len({d.id for d in world.decisions}) == len(world.decisions)


def test_an_event_costs_what_the_journeys_that_listen_cost() -> None:
    many = [small(f"{{event: custom.e{n}}}", SPLIT, name=f"j{n}") for n in range(30)]
    tags = [small(f"{{tag: t{n}}}", SPLIT, name=f"t{n}") for n in range(30)]
    journeys = arrange([*many, *tags], policy=policy_of(JourneySettings()))
    world = World(journeys=journeys)
    assert [len(journeys.by_trigger[f"custom.e{n}"]) for n in range(3)] == [1, 1, 1]
    world.hear("contact.updated", traits={"tags": ["t3"]})
    assert [d.journey for d in world.said("entered")] == ["t3"]
    assert {d.journey for d in world.decisions} == {"t3"}
