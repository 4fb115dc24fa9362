"""Journeys played on a running box: people of a shop, a clock that is moved, what was told."""

import datetime as dt
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

import httpx

from chappe_onebox.client import Api, Folder, apply
from tests.e2e.box import Box

TEMPLATE = re.compile(r"template: ([a-z0-9-]+)")
NAME = re.compile(r"^journey: ([a-z0-9-]+)$", re.MULTILINE)
PAGE = 500

MAIL = """\
---
subject: "{name} for {{{{ contact.first_name | default: 'you' }}}}"
class: {message_class}
topic: {topic}
---
<mjml><mj-body><mj-section><mj-column>
<mj-text>Hello {{{{ contact.first_name }}}}</mj-text>
<mj-button href="https://shop.example/{name}">Look</mj-button>
<mj-text>{{{{ brand.address }}}} <a href="{{{{ unsubscribe_url }}}}">Unsubscribe</a></mj-text>
</mj-column></mj-section></mj-body></mjml>
"""

Line = dict[str, Any]


class Stage:
    """A box with a write key of its own. Every timeline it reads is in order, or it complains."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self._moving = False
        made = box.api("POST", "/api/v1/sources", {"kind": "segment", "name": "stage"})
        assert made.status_code == 201, made.text
        self._key: str = made.json()["secret"]
        for shipped in ("welcome", "abandoned-cart"):
            box.api("POST", f"/api/v1/journeys/{shipped}/archive")

    # -- what the marketer does -------------------------------------------------------------------

    def publish(
        self, *journeys: str, transactional: Iterable[str] = (), topic: str = "news"
    ) -> None:
        """Publish journeys, each with a plain template for every mail it names."""
        with Api(self.box.url, self.box.token) as api:
            apply(api, [self.folder(one, transactional, topic) for one in journeys])
        self._moving = True

    @staticmethod
    def folder(yaml: str, transactional: Iterable[str] = (), topic: str = "news") -> Folder:
        """A journey as a folder would hold it."""
        files = {
            name: {
                f"{name}.mjml": MAIL.format(
                    name=name,
                    topic=topic,
                    message_class="transactional" if name in transactional else "marketing",
                )
            }
            for name in TEMPLATE.findall(yaml)
        }
        (journey,) = NAME.findall(yaml)
        return Folder(f"{journey}/journey.yaml", yaml, files)

    def done(self, method: str, path: str, body: Any = None) -> Any:
        """What the API answers, which must be well."""
        answer = self.box.api(method, path, body)
        assert answer.is_success, answer.text
        self._moving |= method != "GET"
        return answer.json()

    def commands(self, *words: str, code: int = 0) -> Any:
        """What ``chappe …`` says, as JSON."""
        done = self.box.command(*words, "--json")
        assert done.returncode == code, done.stdout + done.stderr
        self._moving = True
        return json.loads(done.stdout)

    # -- what happens -----------------------------------------------------------------------------

    def says(self, call: str, body: dict[str, Any]) -> None:
        """The shop's server tells something, with its secret write key."""
        url = f"{self.box.url}/v1/{call}"
        answer = httpx.post(url, json=body, auth=(self._key, ""), timeout=30)
        assert answer.status_code == 200, answer.text
        self._moving = True

    def meets(self, who: str, **traits: Any) -> str:
        """Somebody who agreed to mail becomes known; returns their REF."""
        email = f"{who}@example.com"
        self.knows(who, email=email, consent={"email": "subscribed"}, **traits)
        return f"email:{email}"

    def knows(self, who: str, **traits: Any) -> None:
        """Something about somebody is known from now on."""
        self.says("identify", {"userId": who, "traits": traits})

    def hears(self, who: str, event: str, **properties: Any) -> None:
        """Somebody does something."""
        self.says("track", {"userId": who, "event": event, "properties": properties})

    def tells(self, who: str, event: str, **data: Any) -> None:
        """The same by our own API, under our own names; ``who`` must be known."""
        self.rests()
        body = {"name": event, "contact": f"external_id:{who}", "data": data}
        self.done("POST", "/api/v1/events", body)

    def advance(self, by: str) -> None:
        """Time passes; what is due on the way happens at its time."""
        answer = self.box.api("POST", "/api/v1/demo/clock", {"advance": by})
        assert answer.json()["settled"], answer.text
        self._moving = False

    def rests(self) -> None:
        """Everything that was told is applied, journaled and on the timelines."""
        if self._moving:
            self.advance("PT1S")

    def until(self, at: dt.datetime) -> None:
        """Time passes up to an instant, and two seconds more."""
        seconds = int((at - self.now()).total_seconds()) + 2
        assert seconds > 0, f"{at} is over"
        days, rest = divmod(seconds, 86_400)
        self.advance(f"P{days}DT{rest}S")

    def now(self) -> dt.datetime:
        return dt.datetime.fromisoformat(self.done("GET", "/api/v1/demo/clock")["now"])

    # -- what is seen -----------------------------------------------------------------------------

    def timeline(self, ref: str) -> list[Line]:
        """All that happened to somebody, oldest first; what comes after an exit is looked at."""
        self.rests()
        lines = self.done("GET", f"/api/v1/contacts/{ref}/timeline?limit={PAGE}")["items"][::-1]
        assert late_hand_overs(lines) == [], told(lines)
        return lines

    def story(self, ref: str, journey: str) -> list[str]:
        """What was decided about somebody in one journey, in short: ``asked cart-1``."""
        return told(one for one in self.decisions(ref) if one["journey"] == journey)

    def story_of(self, ref: str, enrollment: str) -> list[str]:
        """The same of one run."""
        return told(one for one in self.decisions(ref) if one["enrollment"] == enrollment)

    def decisions(self, ref: str) -> list[Line]:
        return [line for line in self.timeline(ref) if line["kind"] == "decision"]

    def enrollments(self, ref: str, journey: str) -> list[dict[str, Any]]:
        """Oldest first."""
        self.rests()
        path = f"/api/v1/enrollments?contact={ref}&journey={journey}"
        return self.done("GET", path)["items"][::-1]

    def messages(self, ref: str) -> list[tuple[str, str]]:
        """Step and state of everything that was asked for, by step."""
        self.rests()
        items = self.done("GET", f"/api/v1/messages?contact={ref}&limit=100")["items"]
        return sorted((each["step"], each["state"]) for each in items)


def told(lines: Iterable[Line]) -> list[str]:
    """``exited wait-1: order.placed`` for a decision; what happened, by its name."""
    return [
        " ".join(filter(None, (line["name"], line["step"])))
        + (f": {line['reason']}" if line["reason"] else "")
        for line in lines
    ]


def late_hand_overs(lines: Sequence[Line]) -> list[str]:
    """Mails handed over after the exit of their enrollment, or after they were taken back."""
    over: set[str] = set()
    late: list[str] = []
    for line in lines:
        if line["kind"] != "decision":
            continue
        if line["name"] == "exited":
            over.add(line["enrollment"])
        elif line["name"] == "cancelled":
            over.add(line["message"])
        elif line["name"] == "handed_over" and over & {line["enrollment"], line["message"]}:
            late.append(line["message"])
    return late
