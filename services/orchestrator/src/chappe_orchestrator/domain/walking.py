"""Walk an enrollment from step to step until it has to wait, or has nowhere left to go."""

import datetime as dt

from chappe.events import Event
from chappe.journey import (
    WAITS,
    ExitNode,
    Program,
    SendNode,
    WaitDateNode,
    WaitForNode,
    WaitNode,
    WaitUntilNode,
)
from chappe_orchestrator.domain.acting import act
from chappe_orchestrator.domain.asking import ask
from chappe_orchestrator.domain.effects import Timer
from chappe_orchestrator.domain.leaving import leave
from chappe_orchestrator.domain.place import Place
from chappe_orchestrator.domain.run import Run
from chappe_orchestrator.domain.state import Enrollment
from chappe_orchestrator.domain.waiting import answer, date_at, go_on_after, move, stand

WALK_STEPS_MAX = 200
"""No published journey comes near: loops without a wait are refused. It bounds what is not."""


def walk(run: Run, program: Program, enrollment: Enrollment, place: Place) -> None:
    """Take every step from ``place`` on."""
    if enrollment.journey in run.journeys.paused:
        _hold(run, enrollment, place)
        return
    for _ in range(WALK_STEPS_MAX):
        if leaves(run, program, enrollment):
            return
        node = program.nodes.get(place.at) if place.at is not None else None
        match node:
            case None:
                _finish(run, enrollment, "finished")
                return
            case ExitNode(id=step, reason=reason):
                run.decide("exited", reason=reason, enrollment=enrollment, step=step)
                run.end(enrollment, reason)
                tell_finished(run, enrollment, reason)
                return
            case SendNode():
                if not ask(run, program, enrollment, node, place):
                    return
                place = place._replace(at=node.then)
            case WaitNode() | WaitUntilNode() | WaitDateNode() | WaitForNode():
                onward = stand(run, enrollment, node, place)
                if onward is None:
                    return
                place = onward
            case _:
                place = place._replace(at=act(run, program, enrollment, node, place))
    _finish(run, enrollment, "too_many_steps")


def fire(run: Run, timer: Timer) -> None:
    """Go on after a wait that is over, or after a pause. An old token is a timer cancelled."""
    enrollment = run.contact.enrollments.get(timer.enrollment)
    if enrollment is None or enrollment.status != "active" or enrollment.token != timer.token:
        return
    program = run.program(enrollment)
    if program is None:
        raise LookupError(f"no program for {enrollment.journey} version {enrollment.version}")
    run.take_up(f"{enrollment.id}:{enrollment.token}", None)
    run.source = enrollment.source
    run.timer_due = timer.due_at
    step, was_held = enrollment.step, enrollment.held
    enrollment.due_at = None
    enrollment.held = False
    run.changed(enrollment)
    if was_held:
        run.decide("resumed", enrollment=enrollment, step=step)
        walk(run, program, enrollment, Place(step, timer.due_at))
        return
    if leaves(run, program, enrollment):
        return
    place = _after(run, program, enrollment, timer.due_at)
    if place is not None:
        walk(run, program, enrollment, place)


def _after(run: Run, program: Program, enrollment: Enrollment, due_at: dt.datetime) -> Place | None:
    step = enrollment.step
    node = program.nodes.get(step) if step is not None else None
    if isinstance(node, SendNode):
        return Place(node.id, due_at)
    if not isinstance(node, WAITS):
        raise LookupError(f"{enrollment.id} waits at {step!r}, which is no wait")  # noqa: TRY004
    return go_on_after(run, enrollment, node, due_at)


def leaves(run: Run, program: Program, enrollment: Enrollment) -> bool:
    """End the enrollment when a rule about time or about the contact says so."""
    if enrollment.status != "active":
        return True
    if program.ends_at is not None and run.now >= program.ends_at:
        leave(run, enrollment, "end_date", {"at": program.ends_at.isoformat()})
        return True
    for check in program.exit_when:
        facts = run.facts(enrollment)
        if check.holds(facts):
            leave(run, enrollment, "condition", check.seen(facts))
            return True
    return False


def leave_by_rules(run: Run) -> None:
    """Look at every active enrollment whose journey ends it by a condition or at a date."""
    for enrollment in run.active():
        program = run.program(enrollment)
        if program is not None and (program.exit_when or program.ends_at is not None):
            leaves(run, program, enrollment)


def answer_waits(run: Run, event: Event) -> None:
    """Let those go on that waited for this event."""
    if event.flags.historical or event.flags.unverified:
        return
    for enrollment in run.active():
        program = run.program(enrollment)
        if program is None or enrollment.step is None or enrollment.held:
            continue
        node = program.nodes.get(enrollment.step)
        if not isinstance(node, WaitForNode):
            continue
        way = answer(run, enrollment, node, event)
        if way is not None:
            run.disarm(enrollment)
            reason = "event" if way.when is None else "condition"
            run.decide("wait_over", reason=reason, enrollment=enrollment, step=node.id)
            run.changed(enrollment)
            walk(run, program, enrollment, Place(way.then, event.received_at))


def move_dates(run: Run) -> None:
    """Something about the contact changed: look whether a date waited for is another one now."""
    for enrollment in run.active():
        program = run.program(enrollment)
        if program is not None:
            move_date(run, program, enrollment)


def move_date(run: Run, program: Program, enrollment: Enrollment) -> None:
    """The same for one enrollment."""
    node = program.nodes.get(enrollment.step) if enrollment.step is not None else None
    if enrollment.held or not isinstance(node, WaitDateNode):
        return
    until = date_at(run, enrollment, node.rule)
    armed = until if program.ends_at is None or until is None else min(until, program.ends_at)
    if until is not None and armed == enrollment.due_at:
        return
    place = move(run, enrollment, node, until)
    if place is not None:
        walk(run, program, enrollment, place)


def _hold(run: Run, enrollment: Enrollment, place: Place) -> None:
    """The journey is paused: stay before the next step, remembering when it was due."""
    run.disarm(enrollment)
    enrollment.token += 1
    enrollment.step = place.at
    enrollment.due_at = place.due_at
    enrollment.held = True
    run.changed(enrollment)
    run.decide("held", reason="paused", enrollment=enrollment, step=place.at)


def _finish(run: Run, enrollment: Enrollment, reason: str) -> None:
    run.decide("finished", reason=reason, enrollment=enrollment)
    run.end(enrollment, reason)
    tell_finished(run, enrollment, reason)


def tell_finished(run: Run, enrollment: Enrollment, reason: str) -> None:
    """A fact for the journeys that listen to it, and only for them."""
    _tell(run, enrollment, "journey.finished", {"reason": reason})


def tell_started(run: Run, enrollment: Enrollment) -> None:
    """A fact for the journeys that listen to it, and only for them."""
    _tell(run, enrollment, "journey.started", {})


def _tell(run: Run, enrollment: Enrollment, name: str, more: dict[str, str]) -> None:
    heard = run.journeys.by_trigger
    if f"{name}={enrollment.journey}" in heard or name in heard:
        data = {**enrollment.event, "journey": enrollment.journey, "key": enrollment.key, **more}
        run.derive(name, data, test=enrollment.test)
