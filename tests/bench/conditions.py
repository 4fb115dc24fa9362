"""What a condition and the absorbing of one event cost, in one process without a database."""

import datetime as dt
import time
from collections.abc import Callable
from typing import Any

import msgspec
from harness import result
from pydantic import TypeAdapter

from chappe.events import Event, Identifier
from chappe.ids import ContactId, EventId, MessageId, SourceId, StepId, WorkspaceId
from chappe.journey import Condition, check
from chappe_orchestrator.domain.facts import Known
from chappe_orchestrator.domain.profile import Mail, Profile, absorb, is_repeat, read_profile

NOW = dt.datetime(2026, 11, 22, 9, 0, tzinfo=dt.UTC)
ROUNDS = 50_000
REPEATS = 5

CONDITIONS: dict[str, Any] = {
    "attribute": {"contact.city": "Lyon"},
    "money": {"event.total": {"at_least": "20 EUR"}},
    "did": {"did": "order.placed", "times": {"at_least": 2}, "since": "30d"},
    "opened": {"opened": 3, "of_last": 5},
    "tree": {
        "all": [
            {
                "any": [
                    {"tag": "vip"},
                    {"sum": "event.total", "of": "order.placed", "above": "9 EUR"},
                ]
            },
            {"not": {"consent": "unsubscribed"}},
            {"contact.born": {"anniversary": "7d"}},
        ]
    },
}


def measure() -> list[dict[str, Any]]:
    """Microseconds, the best of several rounds: the machine may be busy with something else."""
    parse: TypeAdapter[Any] = TypeAdapter(Condition)
    profile, event = _profile(), _event(0)
    found: list[dict[str, Any]] = []
    for name, written in CONDITIONS.items():
        holds = check(parse.validate_python(written)).holds
        facts = Known(profile, event.data, now=NOW)
        micros = _best(lambda holds=holds, facts=facts: holds(facts))
        found.append(result(f"condition-{name}", micros, "µs", "decision", rounds=ROUNDS))
    micros = _best(lambda: absorb(profile, event, NOW))
    found.append(result("profile-absorb", micros, "µs", "event", rounds=ROUNDS))
    numbered = iter([_event(number) for number in range(ROUNDS * REPEATS)])
    micros = _best(lambda: is_repeat(profile, next(numbered)))
    found.append(result("profile-is-repeat", micros, "µs", "event", rounds=ROUNDS))
    doc = msgspec.json.encode(profile)
    micros = _best(lambda: read_profile(doc))
    found.append(result("profile-read", micros, "µs", "profile", bytes=len(doc)))
    micros = _best(lambda: msgspec.json.encode(profile))
    found.append(result("profile-write", micros, "µs", "profile", bytes=len(doc)))
    return found


def _best(call: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(REPEATS):
        begin = time.perf_counter()
        for _ in range(ROUNDS):
            call()
        best = min(best, time.perf_counter() - begin)
    return best / ROUNDS * 1e6


def _event(number: int) -> Event:
    return Event(
        id=EventId(f"e_{number}"),
        name="order.placed",
        workspace=WorkspaceId("default"),
        source=SourceId("src_shop"),
        occurred_at=NOW,
        received_at=NOW,
        contact=ContactId("c_1"),
        identifiers=(
            Identifier("email", "zoe@example.com"),
            Identifier("external_id", "shop:123"),
        ),
        traits={"first_name": "Zoé", "locale": "fr-FR"},
        data={"total": {"amount": "25.91", "currency": "EUR"}, "order_id": str(number)},
    )


def _profile() -> Profile:
    """A contact of a year: some attributes, a dozen names, forty active days, twenty mails."""
    profile = Profile(
        traits={"city": "Lyon", "born": "1990-11-25", **{f"a{n}": f"value {n}" for n in range(10)}},
        tags=["vip", "b2b"],
    )
    for day in range(40):
        at = NOW - dt.timedelta(days=day)
        absorb(profile, msgspec.structs.replace(_event(day), occurred_at=at), NOW)
    for number in range(12):
        absorb(profile, msgspec.structs.replace(_event(number), name=f"custom.n{number}"), NOW)
    profile.mails = [
        Mail(MessageId(f"m_{n}"), "welcome", StepId("welcome-1"), NOW, NOW) for n in range(20)
    ]
    return profile


if __name__ == "__main__":
    for line in measure():
        print(f"{line['name']}: {line['value']} {line['unit']} per {line['per']}")
