"""Journeys and settings drawn at random, such as publishing would accept."""

import itertools
import json
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from chappe.journey.cadence import JourneySettings
from chappe.journey.definition import Journey
from chappe.journey.reading import JourneyInvalidError, read_journey

SPANS = ("30m", "1h", "5h", "1d", "2d")
VIP = {"contact.vip": True}
CONDITIONS: list[dict[str, Any]] = [
    VIP, {"not": VIP}, {"contact.level": 2}, {"event.n": 1},
    {"did": "order.paid", "since": "entry"},
    {"did": "page.viewed", "times": {"at_least": 2}, "since": "entry"},
]  # fmt: skip
QUIET: list[dict[str, Any]] = [
    {"from": "21:30", "to": "08:00"},
    {"from": "22:00", "to": "02:30"},
    {"from": "02:15", "to": "05:00", "days": ["sun"]},
    {"from": "12:00", "to": "18:00", "days": ["mon", "tue"]},
]
CAPS: list[list[dict[str, Any]]] = [
    [{"most": 1, "within": "1d"}],
    [{"most": 3, "within": "2d"}, {"most": 1, "within": "1h", "topic": "news"}],
    [{"most": 2, "within": "5h"}],
]
ZONES = ("UTC", "Europe/Paris", "America/New_York", "Asia/Kathmandu")

conditions = st.sampled_from(CONDITIONS)
spans = st.sampled_from(SPANS)


def _maybe(draw: st.DrawFn, one_in: int) -> bool:
    return draw(st.integers(1, one_in)) == 1


@st.composite
def settings_of(draw: st.DrawFn) -> JourneySettings:
    said: dict[str, Any] = {"zone": draw(st.sampled_from(ZONES))}
    if draw(st.booleans()):
        said["quiet_hours"] = draw(st.sampled_from(QUIET))
    if draw(st.booleans()):
        said["caps"] = draw(st.sampled_from(CAPS))
    if _maybe(draw, 6):
        said["holdout"] = draw(st.sampled_from([10, 90]))
    return JourneySettings.model_validate(said)


class _Pen:
    """Writes the steps of one journey."""

    def __init__(self, draw: st.DrawFn, *, starts: str | None) -> None:
        self.draw = draw
        self.starts = starts
        self.numbers = itertools.count(1)
        self.sends: list[str] = []
        self.hooks: list[str] = []

    def condition(self) -> dict[str, Any]:
        if self.hooks and _maybe(self.draw, 3):
            return {f"entry.webhook.{self.draw(st.sampled_from(self.hooks))}.ok": True}
        return self.draw(conditions)

    def wanted(self) -> dict[str, Any]:
        kinds = ["event", "when", *(["of"] if self.sends else [])]
        match self.draw(st.sampled_from(kinds + ["hook"] * 2 * bool(self.hooks))):
            case "event":
                return {"event": self.draw(st.sampled_from(["order.paid", "page.viewed"]))}
            case "of":
                return {"event": "email.clicked", "of": self.draw(st.sampled_from(self.sends))}
            case "hook":
                return {"event": "webhook.answered", "of": self.draw(st.sampled_from(self.hooks))}
            case _:
                return {"when": self.condition()}

    def steps(self, depth: int, least: int = 0) -> list[dict[str, Any]]:
        many = self.draw(st.integers(least, 5 if depth == 0 else 2))
        return [self.step(depth) for _ in range(many)]

    def step(self, depth: int) -> dict[str, Any]:
        kinds = ["send"] * 4 + ["wait"] * 3
        kinds += ["restart", "date", "time", "update", "exit", "goto", "hook"]
        kinds += ["for", "for", "any", "branch", "split"] if depth < 2 else []
        kinds += ["start"] if self.starts else []
        kind = self.draw(st.sampled_from(kinds))
        number = next(self.numbers)
        match kind:
            case "send":
                return self._send(number)
            case "hook":
                self.hooks.append(f"h{number}")
                return {"id": f"h{number}", "webhook": {"url": "https://example.com/hook"}}
            case "start":
                return {"start_journey": self.starts}
            case "exit":
                return {"exit": "done"}
            case "goto":
                if not self.sends:
                    return {"wait": "1h"}
                return {"goto": self.draw(st.sampled_from(self.sends))}
            case "update":
                choices: list[dict[str, Any]] = [
                    {"set": {"vip": True}}, {"set": {"level": 2, "vip": None}},
                    {"add_tags": "gold"}, {"remove_tags": "gold"},
                ]  # fmt: skip
                return {"update": self.draw(st.sampled_from(choices))}
            case "wait" | "restart" | "date" | "time":
                return {"wait": self._simple_wait(kind)}
            case _:
                return self._forking(kind, depth)

    def _send(self, number: int) -> dict[str, Any]:
        self.sends.append(f"t{number}")
        what: dict[str, Any] = {"template": f"t{number}"}
        if _maybe(self.draw, 3):
            what["if_capped"] = "postpone"
        if _maybe(self.draw, 3):
            what["if_quiet"] = "skip"
        if _maybe(self.draw, 4):
            what["topic"] = "news"
        return {"send": what}

    def _simple_wait(self, kind: str) -> Any:
        draw = self.draw
        if kind == "wait":
            return draw(spans)
        if kind == "restart":
            return {"time": draw(spans), "restart": True}
        if kind == "time":
            said: dict[str, Any] = {}
            if draw(st.booleans()):
                said["on"] = draw(st.sampled_from([["sat", "sun"], ["mon"], ["tue", "fri"]]))
            if "on" not in said or draw(st.booleans()):
                said["until"] = draw(st.sampled_from(["02:30", "09:00", "17:45"]))
            return said
        said = {"until": draw(st.sampled_from(["contact.day", "event.day"]))}
        if draw(st.booleans()):
            said["offset"] = draw(st.sampled_from(["-1d", "1d"]))
        if _maybe(draw, 3):
            said["at"] = draw(st.sampled_from(["02:30", "10:00"]))
        elif _maybe(draw, 4):
            said["offset"] = "-5h"
        return said

    def _forking(self, kind: str, depth: int) -> dict[str, Any]:
        draw = self.draw
        if kind == "for":
            what = {"for": self.wanted(), "at_most": draw(spans), "restart": draw(st.booleans())}
            return {
                "wait": what,
                "then": self.steps(depth + 1),
                "timeout": self.steps(depth + 1),
            }
        if kind == "any":
            ways = [
                self.wanted() | {"then": self.steps(depth + 1)}
                for _ in range(draw(st.integers(1, 3)))
            ]
            return {
                "wait": {"for": ways, "at_most": draw(spans)},
                "timeout": self.steps(depth + 1),
            }
        if kind == "branch":
            arms: list[dict[str, Any]] = [
                {"when": self.condition(), "then": self.steps(depth + 1)}
                for _ in range(draw(st.integers(1, 2)))
            ]
            last = [{"else": self.steps(depth + 1)}] if draw(st.booleans()) else []
            return {"branch": [*arms, *last]}
        weights = draw(st.lists(st.integers(1, 3), min_size=2, max_size=3))
        return {"split": [
            {"variant": f"v{n}", "weight": weight, "then": self.steps(depth + 1)}
            for n, weight in enumerate(weights)
        ]}  # fmt: skip


EVENT: dict[str, Any] = {"event": "custom.a"}
YEARLY: list[dict[str, Any]] = [
    {"date": "contact.born", "every": "year"},
    {"date": "contact.born", "every": "year", "offset": "-1d", "at": "02:30"},
    {"date": "contact.born", "every": "year", "offset": "2d", "at": "18:00"},
]
SILENT: list[dict[str, Any]] = [
    {"inactive": {"event": "page.viewed", "for": "1d"}},
    {"inactive": {"event": ["order.paid", "custom.a"], "for": "2d"}},
]


def _trigger(draw: st.DrawFn, before: str | None) -> Any:
    """What begins it; anything but an event gives no key."""
    kinds = ["event"] * 3 + ["tag", "year", "silent"] + ["other", "request"] * bool(before)
    match draw(st.sampled_from(kinds)):
        case "event":
            return EVENT
        case "tag":
            return [EVENT, {"tag": draw(st.sampled_from(["gold", {"removed": "gold"}]))}]
        case "year":
            return draw(st.sampled_from(YEARLY))
        case "silent":
            return draw(st.sampled_from(SILENT))
        case "request":
            return [EVENT, {"request": "journey"}]
        case _:
            change = draw(st.sampled_from(["started", "finished"]))
            return [EVENT, {"journey": {change: before}}]


WRITTEN: list[dict[str, Any]] = [
    {  # many mails close together
        "trigger": EVENT,
        "entry": {"again": "always"},
        "steps": [
            {"send": {"template": "t1", "if_capped": "postpone"}},
            {"wait": "30m"},
            {"send": {"template": "t2", "topic": "news"}},
            {"wait": "5h"},
            {"send": {"template": "t3", "if_quiet": "skip"}},
        ],
    },
    {  # by the clock on the wall, night after night
        "trigger": EVENT,
        "entry": {"again": "always"},
        "steps": [
            {"wait": {"until": "17:45"}},
            {"send": {"template": "t1"}},
            {"wait": {"until": "02:30"}},
            {"send": {"template": "t2"}},
            {"goto": "t1"},
        ],
    },
    {  # around a date
        "trigger": EVENT,
        "entry": {"key": "event.k"},
        "steps": [
            {"send": {"template": "t1"}},
            {"wait": {"until": "event.day", "offset": "-1d"}},
            {"send": {"template": "t2"}},
            {"wait": {"until": "event.day"}},
            {"send": {"template": "t3"}},
            {"wait": "5h"},
            {"send": {"template": "t4"}},
        ],
    },
    {  # a wait that begins anew
        "trigger": EVENT,
        "entry": {"key": "event.k"},
        "exit": [{"event": "order.placed", "match": {"event.k": "entry.key"}}],
        "steps": [
            {"wait": {"time": "5h", "restart": True}},
            {"send": {"template": "t1"}},
            {"wait": {"for": {"event": "email.clicked", "of": "t1"}, "at_most": "1d"},
             "then": [{"send": {"template": "t2"}}], "timeout": [{"goto": "t1"}]},
        ],
    },
    {  # another program's word
        "trigger": EVENT,
        "entry": {"again": "always", "at_most": 1},
        "steps": [
            {"send": {"template": "t1"}},
            {"id": "h2", "webhook": {"url": "https://example.com/hook"}},
            {"wait": {"for": {"event": "webhook.answered", "of": "h2"}, "at_most": "1d"},
             "then": [{"branch": [{"when": {"entry.webhook.h2.ok": True},
                                   "then": [{"send": {"template": "t3"}}]}]}]},
            {"wait": "1h"},
            {"goto": "t1"},
        ],
    },
]  # fmt: skip
BEGUN: list[dict[str, Any]] = [
    *({"trigger": one, "entry": {"again": "always"}} for one in SILENT),
    *({"trigger": one, "entry": {"again": "always"}} for one in YEARLY),
]
"""Nobody's word begins these."""


@st.composite
def written(draw: st.DrawFn, name: str, *, begun: bool = False) -> Journey:
    """A journey about one idea, by hand: what is drawn rarely comes to all its corners."""
    if begun:
        said = {**draw(st.sampled_from(BEGUN)), "steps": [{"send": {"template": "t1"}}]}
    else:
        said = draw(st.sampled_from(WRITTEN))
    return read_journey(json.dumps({"schema": 1, "journey": name, **said}))


@st.composite
def journeys(draw: st.DrawFn, name: str, before: str | None = None) -> Journey:
    """A journey that publishing would accept; ``before`` may start it, by its steps or its end."""
    trigger = _trigger(draw, before)
    keyed = trigger is EVENT and draw(st.booleans())
    again = st.sampled_from(["once_per_key", "always", "never", {"cooldown": "1d"}])
    entry: dict[str, Any] = {"again": draw(again)}
    exits: list[dict[str, Any]] = []
    if keyed:
        entry |= {"key": "event.k", "newest_only": draw(st.booleans())}
        exits = [{"event": "order.placed", "match": {"event.k": "entry.key"}}]
    if draw(st.booleans()):
        entry["at_most"] = draw(st.integers(1, 2))
    if _maybe(draw, 6):
        entry["filter"] = draw(st.sampled_from([VIP, {"not": VIP}]))
    if _maybe(draw, 10):
        entry["holdout"] = draw(st.sampled_from([10, 90]))
    exits += draw(
        st.sampled_from([[], [{"event": "order.paid"}], [{"when": {"contact.level": 2}}]])
    )
    cadence: dict[str, Any] = {}
    if _maybe(draw, 5):
        cadence["quiet_hours"] = draw(st.sampled_from(["off", QUIET[0]]))
    if _maybe(draw, 5):
        cadence["caps"] = draw(st.sampled_from(["off", CAPS[0]]))
    pen = _Pen(draw, starts="second" if before is None else None)
    text = json.dumps(
        {"schema": 1, "journey": name, "trigger": trigger, "entry": entry, "exit": exits,
         "cadence": cadence, "steps": pen.steps(0, 2)}
    )  # fmt: skip
    try:
        return read_journey(text)
    except JourneyInvalidError:
        assume(condition=False)
        raise
