"""Steps that wait, choose, change, call a server, tell the team, come back, and end."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook
from typing_extensions import override

from tests.e2e.journeys import Stage


class Crm:
    """A server of somebody else: busy at the first call, then it answers."""

    def __init__(self) -> None:
        self.heard: list[tuple[dict[str, str], bytes]] = []
        crm = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                crm.heard.append(({k.lower(): v for k, v in self.headers.items()}, body))
                busy = len(crm.heard) == 1
                answer = b"later" if busy else b'{"tier": "gold"}'
                self.send_response(503 if busy else 200)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            @override
            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"


@pytest.fixture
def crm() -> Iterator[Crm]:
    made = Crm()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


CALLING = """\
schema: 1
journey: calling
trigger: {event: custom.asked_for_help}
steps:
  - id: crm
    webhook: {url: "URL", body: {email: "{{ contact.email }}", topic: "{{ event.topic }}"}}
  - wait: {for: {event: webhook.answered, of: crm}, at_most: 10m}
  - id: who
    branch:
      - when: {entry.webhook.crm.body.tier: gold}
        then:
          - id: team
            notify:
              email: team@shop.example
              subject: "A {{ entry.webhook.crm.body.tier }} customer"
              text: "{{ contact.email }} asks"
          - send: {template: at-once}
      - else: [{send: {template: in-time}}]
"""
TRIAL = """\
schema: 1
journey: trial
trigger: {event: custom.trial_began}
exit: [{when: {contact.plan: closed}}]
steps:
  - id: first
    wait:
      for:
        - {event: order.placed, then: [{id: bought, goal: bought}, {id: out, exit: bought}]}
        - {when: {contact.plan: pro}, then: [{send: {template: pro}}]}
      at_most: 7d
    timeout: [{send: {template: help}}]
"""
SPLIT = """\
schema: 1
journey: trying
trigger: {event: custom.came_by}
entry: {again: always}
steps:
  - id: way
    split:
      - {variant: short, weight: 1, then: [{id: s, update: {set: {way: short}}}]}
      - {variant: long, weight: 1, then: [{id: l, update: {set: {way: long}}}]}
"""
ASKING = """\
schema: 1
journey: asking
trigger: {event: custom.delivered}
steps:
  - id: ask
    send: {template: ask}
  - id: answer
    wait: {for: {event: custom.reviewed}, at_most: 7d}
    then:
      - id: thank
        update: {add_tags: [reviewer], score: 10, set: {last_parcel: {from: event.parcel}}}
      - {id: reached, goal: reviewed}
      - {id: done, exit: done}
    timeout:
      - {id: pause, wait: 30d}
      - goto: ask
"""


def test_a_server_is_called_until_it_answers_and_its_answer_chooses_the_way(
    stage: Stage, crm: Crm
) -> None:
    stage.publish(CALLING.replace("URL", crm.url))
    gail = stage.meets("gail")
    stage.hears("gail", "Asked For Help", topic="lamps")
    stage.advance("PT1H")
    assert stage.story(gail, "calling") == [
        "entered",
        "called crm",
        "waiting wait-1",
        "answered crm",
        "wait_over wait-1: event",
        "branched who: when-1",
        "notified team",
        "asked at-once",
        "finished: finished",
        "handed_over at-once",
    ]
    assert len(crm.heard) == 2  # A 503, five seconds later a 200.
    secret = stage.done("GET", "/api/v1/journeys/settings")["webhook_secret"]
    for headers, body in crm.heard:
        said = Webhook(secret).verify(body, headers)
        assert said == {"email": "gail@example.com", "topic": "lamps"}
    assert len({headers["webhook-id"] for headers, _ in crm.heard}) == 1
    (mail,) = stage.box.mails("team@shop.example")
    assert mail["Subject"] == "A gold customer"


def test_of_several_things_waited_for_the_first_opens_its_way(stage: Stage) -> None:
    stage.publish(TRIAL)
    pro_before = stage.meets("pro-before", plan="pro")
    buyer, upgrader, silent, closer = (
        stage.meets(who) for who in ("buyer", "upgrader", "silent", "closer")
    )
    for who in ("pro-before", "buyer", "upgrader", "silent", "closer"):
        stage.hears(who, "Trial Began")
    stage.rests()
    stage.hears("buyer", "Order Completed", order_id="b1", total=1)
    stage.knows("upgrader", plan="pro")
    stage.knows("closer", plan="closed")
    stage.advance("P8D")
    waiting = ["entered", "waiting first"]
    pro = ["asked pro", "finished: finished", "handed_over pro"]
    assert stage.story(pro_before, "trial") == ["entered", "wait_over first: already", *pro]
    assert stage.story(buyer, "trial") == [
        *waiting,
        "wait_over first: event",
        "goal_reached bought: bought",
        "exited out: bought",
    ]
    assert stage.story(upgrader, "trial") == [*waiting, "wait_over first: condition", *pro]
    helped = ["asked help", "finished: finished", "handed_over help"]
    assert stage.story(silent, "trial") == [*waiting, "wait_over first: timeout", *helped]
    assert stage.story(closer, "trial") == [*waiting, "exited first: condition"]


def test_a_split_draws_once_for_each_and_keeps_to_it(stage: Stage) -> None:
    stage.publish(SPLIT)
    people = [stage.meets(f"visitor{number}") for number in range(20)]
    for number in range(20):
        for _ in range(2):
            stage.hears(f"visitor{number}", "Came By")
    drawn: set[str] = set()
    for one in people:
        _, way, changed, _, *again = stage.story(one, "trying")
        assert (way, changed) in {
            ("split way: short", "updated s"),
            ("split way: long", "updated l"),
        }
        assert again == ["entered", way, *again[2:]]
        drawn.add(way)
        contact = stage.done("GET", f"/api/v1/contacts/{one}")
        assert f"split way: {contact['traits']['way']}" == way
    assert len(drawn) == 2


def test_a_question_is_asked_again_until_it_is_answered(stage: Stage) -> None:
    stage.publish(ASKING)
    lou = stage.meets("lou")
    stage.hears("lou", "Delivered", parcel="p7")
    stage.advance("P40D")
    stage.hears("lou", "Reviewed")
    asked = ["asked ask", "waiting answer", "handed_over ask"]
    assert stage.story(lou, "asking") == [
        "entered",
        *asked,
        "wait_over answer: timeout",
        "waiting pause",
        "wait_over pause: time",
        *asked,
        "wait_over answer: event",
        "updated thank",
        "goal_reached reached: reviewed",
        "exited done: done",
    ]
    contact = stage.done("GET", f"/api/v1/contacts/{lou}")
    assert (contact["tags"], contact["traits"]["last_parcel"]) == (["reviewer"], "p7")
