"""Ask the sender for one message, or say why not."""

import datetime as dt
import re
from typing import Any

import msgspec

from chappe.events import Send, Snapshot
from chappe.ids import MessageId, derived
from chappe.journey import Pinned, Program, SendNode, as_list, as_mapping
from chappe_orchestrator.domain.cadence import capped_until, quiet_time, quiet_until, reserve
from chappe_orchestrator.domain.lots import lot
from chappe_orchestrator.domain.place import Place
from chappe_orchestrator.domain.run import Run
from chappe_orchestrator.domain.state import ASKED_MAX, MAILS_MAX, Asked, Enrollment, Mail

DEADLINE = dt.timedelta(hours=24)
"""How long after its step was due a message still makes sense, unless ``within`` says otherwise."""

CATCH_UP = dt.timedelta(hours=24)
"""A marketing step that runs later than this after it was due is skipped, not burst."""

PAST = dt.timedelta(minutes=15)
"""A step placed by a date that lies longer behind than this belongs to the past."""

LISTEN = dt.timedelta(seconds=10)
"""Between two looks whether what an outage has held up was heard by now."""

POSTPONED_MAX = 30
"""A message postponed this often is skipped: somebody else takes every free place."""

SNAPSHOT_BYTES_MAX = 32 * 1024
TEXT_LENGTH_MAX = 500
LIST_LENGTH_MAX = 20

_encode = msgspec.json.Encoder(decimal_format="string").encode


def ask(run: Run, program: Program, enrollment: Enrollment, node: SendNode, place: Place) -> bool:
    """Ask for the step's message; its id is derived, so asking twice is asking once.

    False when it is postponed: the enrollment then waits at the step.
    """
    pinned = program.templates.get(node.template) or Pinned(version=node.template)
    refusal, seen = _refusal(run, program, enrollment, pinned, place)
    if refusal is None and pinned.marketing:
        topic = node.topic or pinned.topic
        refusal, seen, until = _cadence(run, program, enrollment, node, topic, seen)
        if until is not None:
            _postpone(run, enrollment, node, refusal or "", until, seen)
            return False
    visit = enrollment.visits.get(node.id, 0) + 1
    enrollment.visits[node.id] = visit
    enrollment.postponed = 0
    run.changed(enrollment)
    message = MessageId(derived("m_", enrollment.id, node.id, str(visit)))
    seen["consent.email"] = run.facts(enrollment).consent("email")
    address = run.contact.profile.email
    if refusal is not None or address is None:
        run.decide(
            "trapped" if refusal == "holdout" else "skipped",
            reason=refusal or "no_address",
            enrollment=enrollment,
            step=node.id,
            message=message,
            seen=seen,
        )
        return True
    run.effects.commands.append(
        _command(run, program, enrollment, node, pinned, message, address, place.due_at)
    )
    _remember(run, enrollment, node, pinned, message)
    seen["template"] = pinned.version
    run.decide("asked", enrollment=enrollment, step=node.id, message=message, seen=seen)
    return True


def _command(
    run: Run,
    program: Program,
    enrollment: Enrollment,
    node: SendNode,
    pinned: Pinned,
    message: MessageId,
    address: str,
    due_at: dt.datetime,
) -> Send:
    return Send(
        message=message,
        workspace=run.contact.workspace,
        contact=run.contact.id,
        enrollment=enrollment.id,
        journey=program.journey,
        version=program.version,
        step=node.id,
        template=pinned.version,
        address=address,
        locale=_locale(run.contact.profile.traits),
        asked_at=run.now,
        due_at=due_at,
        deadline=due_at + (node.within or DEADLINE),
        topic=node.topic or pinned.topic,
        snapshot=snapshot_of(run, enrollment),
        overtakes=_overtaken(enrollment, pinned),
        test=enrollment.test,
        quiet=quiet_time(run, program, enrollment, skip=node.if_quiet != "postpone")
        if pinned.marketing
        else None,
    )


def snapshot_of(run: Run, enrollment: Enrollment) -> Snapshot:
    """What a text may show, as it stands now."""
    facts = run.facts(enrollment)
    return Snapshot(contact=dict(facts.contact), event=enrollment.event, entry=dict(facts.entry))


def is_past(run: Run, place: Place) -> bool:
    """True for a step that a date known late has put into the past."""
    return place.inserting and run.now - place.due_at > PAST


def is_held_out(run: Run, program: Program) -> bool:
    """True for contacts that get no marketing mail, of this journey or at all: always the same."""
    workspace, contact = run.contact.workspace, run.contact.id
    general, own = run.journeys.policy.holdout, program.entry.holdout
    return (general > 0 and lot(workspace, "holdout", contact) < general) or (
        own > 0 and lot(workspace, "holdout", program.journey, contact) < own
    )


_PLAIN = re.compile(r"[A-Za-z0-9_.:+-]{1,100}")


def plain_only(value: Any) -> Any:
    """What an unverified event may show to people: numbers and ids, no free text, no address."""
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) and "www." not in value.lower() else None
    if (items := as_list(value)) is not None:
        return [plain_only(one) for one in items]
    if (mapping := as_mapping(value)) is not None:
        return {name: plain_only(one) for name, one in mapping.items()}
    return value


def bounded(data: dict[str, Any]) -> dict[str, Any]:
    """``data`` small enough to carry along: as it is, or with long texts and lists cut."""
    if len(_encode(data)) <= SNAPSHOT_BYTES_MAX:
        return data
    cut: dict[str, Any] = _cut(data)
    if len(_encode(cut)) <= SNAPSHOT_BYTES_MAX:
        return cut
    small: dict[str, Any] = {}
    left = SNAPSHOT_BYTES_MAX
    for name, value in cut.items():
        size = len(_encode({name: value}))
        if size <= left:
            small[name] = value
            left -= size
    return small


def _refusal(
    run: Run, program: Program, enrollment: Enrollment, pinned: Pinned, place: Place
) -> tuple[str | None, dict[str, Any]]:
    """Why this message is not asked for, with the values seen. Consent is the sender's gate."""
    due = {"due_at": place.due_at.isoformat()}
    if is_past(run, place):
        return "date_passed", due
    if pinned.marketing and run.now - place.due_at > CATCH_UP:
        return "too_late", due
    entry_filter = program.entry.filter
    seen: dict[str, Any] = {}
    if entry_filter is not None:
        facts = run.facts(enrollment)
        seen = entry_filter.seen(facts)
        if not entry_filter.holds(facts):
            return "filter", seen
    if pinned.marketing and enrollment.holdout:
        return "holdout", seen
    return None, seen


def _cadence(
    run: Run,
    program: Program,
    enrollment: Enrollment,
    node: SendNode,
    topic: str | None,
    seen: dict[str, Any],
) -> tuple[str | None, dict[str, Any], dt.datetime | None]:
    """Why a marketing message does not go out now, and when to try again, if at all."""
    heard, due = run.heard_until, run.timer_due
    if heard is not None and due is not None and due > heard:
        return "catching_up", seen, run.now + LISTEN
    quiet = quiet_until(run, program, enrollment)
    if quiet is not None:
        until = quiet if node.if_quiet == "postpone" else None
        return "quiet_hours", {**seen, "quiet_until": quiet.isoformat()}, until
    capped = capped_until(run, program, topic)
    if capped is not None:
        cap, free = capped
        values = {**seen, "most": cap.most, "within_s": int(cap.within.total_seconds())}
        may_wait = node.if_capped == "postpone" and enrollment.postponed < POSTPONED_MAX
        return "frequency_cap", values, free if may_wait else None
    return None, seen, None


def _postpone(
    run: Run,
    enrollment: Enrollment,
    node: SendNode,
    reason: str,
    until: dt.datetime,
    seen: dict[str, Any],
) -> None:
    """Wait at the step itself: what follows moves along, and the deadline counts from then."""
    enrollment.postponed += 1
    run.arm(enrollment, node.id, until)
    if reason == "catching_up" and enrollment.postponed > 1:
        return  # Said once; the rest is listening.
    run.decide(
        "postponed",
        reason=reason,
        enrollment=enrollment,
        step=node.id,
        seen={**seen, "until": until.isoformat()},
    )


def _overtaken(enrollment: Enrollment, pinned: Pinned) -> tuple[MessageId, ...]:
    """Earlier marketing messages that lie behind a wait and are not known to be handed over."""
    if not pinned.marketing:
        return ()
    return tuple(
        asked.message
        for asked in enrollment.asked
        if asked.marketing and asked.state == "asked" and asked.wave < enrollment.wave
    )


def _remember(
    run: Run, enrollment: Enrollment, node: SendNode, pinned: Pinned, message: MessageId
) -> None:
    enrollment.asked.append(Asked(message, node.id, enrollment.wave, pinned.marketing))
    del enrollment.asked[:-ASKED_MAX]
    reserve(run, pinned, node.topic or pinned.topic, message)
    mails = run.contact.profile.mails
    mails.append(Mail(message, enrollment.journey, node.id, run.now))
    del mails[:-MAILS_MAX]
    run.effects.profile_changed = True


def _locale(traits: dict[str, Any]) -> str | None:
    said = traits.get("locale")
    return said if isinstance(said, str) else None


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return value[:TEXT_LENGTH_MAX]
    if (items := as_list(value)) is not None:
        return [_cut(one) for one in items[:LIST_LENGTH_MAX]]
    if (mapping := as_mapping(value)) is not None:
        return {name: _cut(one) for name, one in mapping.items()}
    return value
