"""What brings somebody into a journey: tags, segments, requests, another journey; and who may."""

from typing import Any

from tests.e2e.journeys import Stage


def journey(name: str, trigger: str, entry: str = "{}", steps: str = "") -> str:
    """One mail, unless said otherwise, named as its journey."""
    steps = steps or f"[{{send: {{template: {name}}}}}]"
    return f"schema: 1\njourney: {name}\ntrigger: {trigger}\nentry: {entry}\nsteps: {steps}\n"


def once(name: str) -> list[str]:
    """The whole story of such a journey."""
    return ["entered", f"asked {name}", "finished: finished", f"handed_over {name}"]


def starts(stage: Stage, ref: str, name: str, **more: Any) -> str:
    """What the API says of a request."""
    stage.rests()
    body = {"contact": ref, "journey": name, **more}
    return stage.done("POST", "/api/v1/enrollments", body)["status"]


def test_a_tag_that_comes_and_one_that_goes_begin_journeys(stage: Stage) -> None:
    stage.publish(
        journey("vip", "{tag: vip}"),
        journey("trial-over", "{tag: {removed: trial}}"),
        journey("reader", "{list: newsletter}"),
    )
    tina = stage.meets("tina", tags=["trial"])
    stage.knows("tina", tags=["trial", "vip"])
    stage.knows("tina", tags=["vip", "list:newsletter"])
    stage.knows("tina", tags=["vip"])
    for name in ("vip", "trial-over", "reader"):
        assert stage.story(tina, name) == once(name)


def test_a_segment_begins_one_journey_for_who_comes_and_another_for_who_leaves(
    stage: Stage,
) -> None:
    rule = {"all": [{"contact.plan": "pro"}, {"did": "order.placed", "times": {"at_least": 2}}]}
    stage.done("PUT", "/api/v1/segments/loyal-pros", {"rule": rule})
    stage.publish(
        journey("hello-pro", "{segment: {entered: loyal-pros}}"),
        journey("goodbye-pro", "{segment: {left: loyal-pros}}"),
    )
    paul = stage.meets("paul", plan="pro")
    stage.hears("paul", "Order Completed", order_id="p1", total=1)
    assert stage.story(paul, "hello-pro") == []
    stage.hears("paul", "Order Completed", order_id="p2", total=1)
    assert stage.story(paul, "hello-pro") == once("hello-pro")
    assert stage.story(paul, "goodbye-pro") == []
    stage.knows("paul", plan="free")
    assert stage.story(paul, "goodbye-pro") == once("goodbye-pro")


def test_a_program_a_person_and_a_file_ask_for_a_journey_that_names_them(stage: Stage) -> None:
    many = "{when: {event.seats: {at_least: 3}}, then: [{id: out, exit: many}]}"
    steps = f"[{{id: how-many, branch: [{many}]}}]"
    stage.publish(
        journey("asked-for", "{request: [api, csv]}", "{again: always}"),
        journey("by-hand", "{request: manual}"),
        journey("seats", "{request: api}", steps=steps),
    )
    ruth = stage.meets("ruth")
    assert starts(stage, ruth, "asked-for") == "entered"
    assert starts(stage, ruth, "asked-for", by="csv") == "entered"
    assert starts(stage, ruth, "asked-for", by="manual") == "not_entered"
    assert starts(stage, ruth, "by-hand", by="manual") == "entered"
    begun = stage.commands("enrollments", "start", ruth, "seats", "--data", "seats=3")
    assert begun["status"] == "entered"
    refused = ["not_entered: no_request"]
    asked_for = stage.story(ruth, "asked-for")
    assert sorted(asked_for) == sorted([*once("asked-for"), *once("asked-for"), *refused])
    assert stage.story(ruth, "by-hand") == once("by-hand")
    assert stage.story(ruth, "seats") == [
        "entered",
        "branched how-many: when-1",
        "exited out: many",
    ]


def test_a_journey_starts_another_and_others_listen_to_its_beginning_and_its_end(
    stage: Stage,
) -> None:
    steps = "[{start_journey: second}, {wait: 1h}, {start_journey: by-api}]"
    stage.publish(
        journey("first", "{event: custom.joined}", steps=steps),
        journey("second", "{request: journey}", "{filter: {event.club: chess}}"),
        journey("at-start", "{journey: {started: first}}"),
        journey("at-end", "{journey: {finished: first}}"),
        journey("by-api", "{request: api}"),
    )
    cleo = stage.meets("cleo")
    stage.hears("cleo", "Joined", club="chess")
    assert stage.story(cleo, "second") == once("second")
    assert stage.story(cleo, "at-start") == once("at-start")
    assert stage.story(cleo, "at-end") == []
    stage.advance("PT1H")
    assert stage.story(cleo, "at-end") == once("at-end")
    assert stage.story(cleo, "by-api") == ["not_entered: no_request"]
    assert stage.story(cleo, "first") == [
        "entered",
        "journey_requested start_journey-1: second",
        "waiting wait-1",
        "wait_over wait-1: time",
        "journey_requested start_journey-2: by-api",
        "finished: finished",
    ]


def test_who_is_held_out_walks_the_journey_without_its_marketing(stage: Stage) -> None:
    steps = "[{send: {template: offer}}, {wait: 1h}, {send: {template: receipt}}]"
    trigger = "{event: custom.looked}"
    stage.publish(journey("tested", trigger, "{holdout: 99.999}", steps), transactional=["receipt"])
    hugo = stage.meets("hugo")
    stage.hears("hugo", "Looked")
    stage.advance("PT2H")
    assert stage.story(hugo, "tested") == [
        "entered",
        "trapped offer: holdout",
        "waiting wait-1",
        "wait_over wait-1: time",
        "asked receipt",
        "finished: finished",
        "handed_over receipt",
    ]
    assert stage.messages(hugo) == [("receipt", "accepted")]


def test_who_may_enter_again_is_said_by_the_journey(stage: Stage) -> None:
    rang, waits = "{event: custom.rang}", "[{wait: 40d}]"
    stage.publish(
        journey("cooling", rang, "{again: {cooldown: 30d}}"),
        journey("once-ever", rang, "{again: never}"),
        journey("one-at-a-time", rang, "{again: always, at_most: 1}", waits),
        journey("customers", rang, "{filter: {did: order.placed}}"),
    )
    rob = stage.meets("rob")
    for days in (10, 21, 1):
        stage.hears("rob", "Rang")
        stage.advance(f"P{days}D")
    again = once("cooling")
    assert stage.story(rob, "cooling") == [*again, "not_entered: cooldown", *again]
    known = "not_entered: already_entered"
    assert stage.story(rob, "once-ever") == [*once("once-ever"), known, known]
    inside = ["entered", "waiting wait-1"]
    full = "not_entered: too_many_at_once"
    assert stage.story(rob, "one-at-a-time") == [*inside, full, full]
    assert stage.story(rob, "customers") == ["not_entered: filter"] * 3
