"""People who turn out to be one, who are forgotten, and one whose state is broken."""

import asyncio

import asyncpg

from tests.e2e.journeys import Stage


def journey(name: str, event: str) -> str:
    """Two mails, a day before each."""
    first, second = f"{name}-1", f"{name}-2"
    return f"""\
schema: 1
journey: {name}
trigger: {{event: custom.{event}}}
steps:
  - wait: 1d
  - send: {{template: {first}}}
  - wait: 1d
  - send: {{template: {second}}}
"""


BROWSING = journey("browsing", "looked_around")
ENTERED = ["entered", "waiting wait-1"]
FIRST = ["wait_over wait-1: time", "asked browsing-1", "waiting wait-2", "handed_over browsing-1"]
SECOND = [
    "wait_over wait-2: time",
    "asked browsing-2",
    "finished: finished",
    "handed_over browsing-2",
]


def does(stage: Stage, event: str, **who: str) -> None:
    stage.says("track", {"event": event, **who})


def contact_of(stage: Stage, ref: str) -> str:
    stage.rests()
    return stage.done("GET", f"/api/v1/identities/{ref}")["contact"]


def test_a_stranger_who_says_their_name_goes_on_where_they_were(stage: Stage) -> None:
    stage.publish(BROWSING)
    does(stage, "Looked Around", anonymousId="anon-1")
    traits = {"email": "sue@example.com", "consent": {"email": "subscribed"}}
    stage.says("identify", {"anonymousId": "anon-1", "userId": "sue", "traits": traits})
    stage.advance("P3D")
    assert stage.story("email:sue@example.com", "browsing") == [*ENTERED, *FIRST, *SECOND]


def test_a_stranger_who_is_somebody_we_know_brings_their_journeys_along(stage: Stage) -> None:
    stage.publish(BROWSING, journey("visiting", "came_in"))
    ted = stage.meets("ted")
    stage.hears("ted", "Looked Around")
    stage.advance("P1DT1H")
    does(stage, "Looked Around", anonymousId="anon-2")
    does(stage, "Came In", anonymousId="anon-2")
    stage.rests()
    stage.says("identify", {"anonymousId": "anon-2", "userId": "ted"})
    stage.advance("P3D")
    further, given_up = stage.enrollments(ted, "browsing")  # Who has sent more goes on.
    assert stage.story_of(ted, further["id"]) == [*ENTERED, *FIRST, *SECOND]
    merged = ["moved wait-1", "exited wait-1: merged"]
    assert stage.story_of(ted, given_up["id"]) == [*ENTERED, *merged]
    (brought,) = stage.enrollments(ted, "visiting")
    rest = [one.replace("browsing", "visiting") for one in [*FIRST, *SECOND]]
    assert stage.story_of(ted, brought["id"]) == [*ENTERED, "moved wait-1", *rest]
    (told,) = [line for line in stage.timeline(ted) if line["name"] == "contact.merged"]
    assert told["data"]["into"] == contact_of(stage, ted)


def test_who_is_forgotten_while_inside_gets_nothing_more_and_leaves_no_timeline(
    stage: Stage,
) -> None:
    stage.publish(BROWSING)
    una = stage.meets("una")
    stage.hears("una", "Looked Around")
    who = contact_of(stage, una)
    queue = stage.done("POST", "/api/v1/sending/stops", {"kind": "journey", "value": "browsing"})
    stage.advance("P1DT1H")
    assert stage.story(una, "browsing") == [*ENTERED, *FIRST[:-1]]
    assert stage.messages(una) == [("browsing-1", "pending")]
    assert stage.commands("contacts", "erase", una, "--yes")["applied"]
    stage.done("POST", "/api/v1/sending/resume", {"stop": queue["id"]})
    stage.advance("P3D")
    ((_, state),) = stage.messages(who)
    assert state in {"cancelled", "skipped"}  # By the journey or by the sender, who hears it too.
    assert stage.box.mails("una@example.com") == []
    for path in (f"/api/v1/contacts/{who}/timeline", f"/api/v1/contacts/{una}"):
        assert stage.box.api("GET", path).status_code == 404


async def becomes(stage: Stage, contact: str, version: str) -> None:
    """What a restore from two moments would leave: the contact's run is of another version."""
    running = (stage.box.data / "postgres" / "postmaster.pid").read_text().splitlines()
    port, sockets = running[3:5]
    connection = await asyncpg.connect(
        host=sockets, port=int(port), user="postgres", database="postgres"
    )
    try:
        changed = await connection.execute(
            "UPDATE orchestrator.enrollment SET doc = convert_to("
            "regexp_replace(convert_from(doc, 'UTF8'), '\"version\":\\d+', $2), 'UTF8')"
            " WHERE contact = $1",
            contact,
            f'"version":{version}',
        )
    finally:
        await connection.close()
    assert changed == "UPDATE 1"


def test_who_cannot_take_a_step_is_set_aside_alone_and_released_in_order(stage: Stage) -> None:
    stage.publish(BROWSING)
    vera, will = stage.meets("vera"), stage.meets("will")
    for who in ("vera", "will"):
        stage.hears(who, "Looked Around")
    broken = contact_of(stage, vera)
    asyncio.run(becomes(stage, broken, "99"))
    stage.advance("P1DT1H")
    assert stage.story(vera, "browsing") == ENTERED
    assert stage.story(will, "browsing") == [*ENTERED, *FIRST]
    for plan in ("one", "two"):
        stage.knows("vera", plan=plan)
    stage.rests()
    (parked,) = stage.done("GET", "/api/v1/contacts/parked")["items"]
    assert (parked["contact"], parked["events"]) == (broken, 2)
    assert "no program for browsing version 99" in parked["reason"]
    asyncio.run(becomes(stage, broken, "1"))
    assert stage.done("POST", f"/api/v1/contacts/{broken}/release")["applied"]
    stage.advance("P2D")
    assert stage.done("GET", "/api/v1/contacts/parked")["items"] == []
    assert stage.done("GET", f"/api/v1/contacts/{vera}")["traits"]["plan"] == "two"
    assert stage.story(vera, "browsing") == [*ENTERED, *FIRST, *SECOND]
