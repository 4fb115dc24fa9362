"""How long to stand at a wait, or which way out of it is open already."""

import datetime as dt

from chappe.events import Event
from chappe.ids import MessageId, StepId
from chappe.journey import (
    Alternative,
    DateRule,
    DateWatch,
    Program,
    WaitDateNode,
    WaitForNode,
    WaitNode,
    WaitUntilNode,
    next_time,
    read_path,
)
from chappe_orchestrator.domain.hearing import is_human, mail_of, message_of
from chappe_orchestrator.domain.leaving import leave
from chappe_orchestrator.domain.place import Place
from chappe_orchestrator.domain.run import Run
from chappe_orchestrator.domain.state import Enrollment
from chappe_orchestrator.domain.zones import zone_of

_ANSWERS = {"email.opened": ("email.opened", "email.clicked")}
"""What else means that it happened: a human click implies an open."""

WaitingNode = WaitNode | WaitUntilNode | WaitDateNode | WaitForNode


def stand(run: Run, enrollment: Enrollment, node: WaitingNode, place: Place) -> Place | None:
    """Wait here, or say where to go on at once. None: the walk is over for now."""
    base = place.due_at if place.inserting else run.now
    match node:
        case WaitNode():
            until = base + node.duration
        case WaitUntilNode():
            until = next_time(base, node.at, node.days, zone_of(run, enrollment.source))
            if until == base:
                return _pass(run, enrollment, node.id, place._replace(at=node.then), "already")
        case WaitDateNode():
            found = date_at(run, enrollment, node.rule)
            if found is None:
                leave(run, enrollment, "no_date", {"path": node.rule.path})
                return None
            if found <= run.known_until:
                return _pass(run, enrollment, node.id, Place(node.then, found, True), "passed")
            until = found
        case WaitForNode():
            way = open_way(run, enrollment, node)
            if way is not None:
                return _pass(run, enrollment, node.id, place._replace(at=way.then), "already")
            until = base + node.at_most
    if place.inserting and until <= run.now:
        then = node.timeout if isinstance(node, WaitForNode) else node.then
        return _pass(run, enrollment, node.id, Place(then, until, True), "passed")
    enrollment.wave += 1
    run.arm(enrollment, node.id, until)
    run.decide("waiting", enrollment=enrollment, step=node.id, seen={"until": until.isoformat()})
    return None


def go_on_after(
    run: Run, enrollment: Enrollment, node: WaitingNode, due_at: dt.datetime
) -> Place | None:
    """The time of a wait is over. None: it is not after all, or the enrollment has left."""
    match node:
        case WaitForNode():
            # Time alone may have made a condition true.
            way = open_way(run, enrollment, node)
            if way is not None:
                return _pass(run, enrollment, node.id, Place(way.then, due_at), "condition")
            return _pass(run, enrollment, node.id, Place(node.timeout, due_at), "timeout")
        case WaitDateNode():
            found = date_at(run, enrollment, node.rule)
            if found is None or found > run.known_until:
                move(run, enrollment, node, found)
                return None
        case WaitNode() | WaitUntilNode():
            pass
    return _pass(run, enrollment, node.id, Place(node.then, due_at), "time")


def move(
    run: Run, enrollment: Enrollment, node: WaitDateNode, until: dt.datetime | None
) -> Place | None:
    """The date waited for is another one now, or none. Returns where to go on if it has passed."""
    if until is None:
        leave(run, enrollment, "date_cancelled", {"path": node.rule.path})
        return None
    if until <= run.known_until:
        run.disarm(enrollment)
        run.changed(enrollment)
        return _pass(run, enrollment, node.id, Place(node.then, until, True), "passed")
    before = enrollment.due_at
    run.arm(enrollment, node.id, until)
    seen = {"until": until.isoformat(), "before": before.isoformat() if before else None}
    run.decide("date_moved", enrollment=enrollment, step=node.id, seen=seen)
    return None


def answer(run: Run, enrollment: Enrollment, node: WaitForNode, event: Event) -> Alternative | None:
    """The first way that the event opens."""
    for one in node.alternatives:
        if one.when is not None:
            if one.when.holds(run.facts(enrollment)):
                return one
        elif _answers(run, enrollment, one, event):
            return one
    return None


def begin_anew(run: Run, program: Program, enrollment: Enrollment) -> None:
    """A trigger came again for the key: a wait that says ``restart`` counts from now."""
    node = program.nodes.get(enrollment.step) if enrollment.step is not None else None
    if enrollment.held or not isinstance(node, WaitNode | WaitForNode) or not node.restart:
        return
    length = node.duration if isinstance(node, WaitNode) else node.at_most
    run.arm(enrollment, node.id, run.now + length)
    seen = {"until": (run.now + length).isoformat()}
    run.decide("restarted", enrollment=enrollment, step=node.id, seen=seen)


def date_at(run: Run, enrollment: Enrollment, rule: DateRule) -> dt.datetime | None:
    """When it is for this contact and this entry; None while the date is not known."""
    program = run.program(enrollment)
    watch = program.watch if program else None
    if isinstance(watch, DateWatch) and watch.every_year and watch.rule.path == rule.path:
        # This year's, by which the contact entered; not the one it was born on.
        value = enrollment.event.get("date")
    else:
        value = read_path(run.facts(enrollment), rule.path)
    return rule.instant(value, zone_of(run, enrollment.source))


def _pass(run: Run, enrollment: Enrollment, step: StepId, place: Place, reason: str) -> Place:
    run.decide("wait_over", reason=reason, enrollment=enrollment, step=step)
    return place


def open_way(run: Run, enrollment: Enrollment, node: WaitForNode) -> Alternative | None:
    """The first way that is open already."""
    for one in node.alternatives:
        if one.when is not None:
            if one.when.holds(run.facts(enrollment)):
                return one
        elif _has_happened(run, enrollment, one):
            return one
    return None


def _answers(run: Run, enrollment: Enrollment, wanted: Alternative, event: Event) -> bool:
    named = any(event.name in _ANSWERS.get(name, (name,)) for name in wanted.events)
    if not named or not is_human(event):
        return False
    if wanted.of is not None and not _is_about(enrollment, wanted.of, event):
        return False
    return wanted.where is None or wanted.where.holds(run.facts(enrollment, event.data))


def _is_about(enrollment: Enrollment, of: StepId, event: Event) -> bool:
    if event.name.startswith("webhook."):
        ours = event.data.get("enrollment") == enrollment.id and event.data.get("step") == of
        return ours and of not in enrollment.calls  # still open: an earlier one was answered
    asked = _last_asked(enrollment, of)
    return asked is not None and message_of(event) == asked


def _last_asked(enrollment: Enrollment, step: StepId) -> MessageId | None:
    return next((a.message for a in reversed(enrollment.asked) if a.step == step), None)


def _has_happened(run: Run, enrollment: Enrollment, wanted: Alternative) -> bool:
    """True when it lies behind already: engagement with one mail, the answer to one webhook."""
    if wanted.of is None or wanted.where is not None:
        return False
    if "webhook.answered" in wanted.events and wanted.of in enrollment.answers:
        return wanted.of not in enrollment.calls
    asked = _last_asked(enrollment, wanted.of)
    mail = mail_of(run.contact.profile, asked) if asked else None
    if mail is None:
        return False
    return (mail.opened is not None and "email.opened" in wanted.events) or (
        mail.clicked is not None and "email.clicked" in wanted.events
    )
