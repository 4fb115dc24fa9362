"""Walk an enrollment from step to step until it has to wait, or has nowhere left to go."""

import datetime as dt

from chappe.events import Event
from chappe.ids import StepId
from chappe.journey import (
    BranchNode,
    ExitNode,
    Next,
    Program,
    SendNode,
    WaitForNode,
    WaitNode,
)
from chappe_orchestrator.domain.asking import ask
from chappe_orchestrator.domain.effects import Timer
from chappe_orchestrator.domain.hearing import is_human, mail_of, message_of
from chappe_orchestrator.domain.run import Run
from chappe_orchestrator.domain.state import Enrollment

WALK_STEPS_MAX = 200
"""No published journey comes near: loops without a wait are refused. It bounds what is not."""

_ANSWERS = {"email.opened": ("email.opened", "email.clicked")}
"""What else means that it happened: a human click implies an open."""


def walk(run: Run, program: Program, enrollment: Enrollment, at: Next, due_at: dt.datetime) -> None:
    """Take every step from ``at`` on; ``due_at`` is when the first of them was due."""
    if enrollment.journey in run.journeys.paused:
        _hold(run, enrollment, at, due_at)
        return
    for _ in range(WALK_STEPS_MAX):
        node = program.nodes.get(at) if at is not None else None
        match node:
            case None:
                _finish(run, enrollment, "finished")
                return
            case ExitNode(id=step, reason=reason):
                run.decide("exited", reason=reason, enrollment=enrollment, step=step)
                run.end(enrollment, reason)
                return
            case WaitNode(id=step, duration=duration):
                _wait(run, enrollment, step, duration)
                return
            case WaitForNode():
                if not _has_happened(run, enrollment, node):
                    _wait(run, enrollment, node.id, node.at_most)
                    return
                run.decide("wait_over", reason="already", enrollment=enrollment, step=node.id)
                at = node.then
            case BranchNode():
                at = _branch(run, enrollment, node)
            case SendNode():
                ask(run, program, enrollment, node, due_at)
                at = node.then
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
    step, was_held = enrollment.step, enrollment.held
    enrollment.due_at = None
    enrollment.held = False
    run.changed(enrollment)
    if was_held:
        run.decide("resumed", enrollment=enrollment, step=step)
        walk(run, program, enrollment, step, timer.due_at)
        return
    node = program.nodes.get(step) if step is not None else None
    match node:
        case WaitNode():
            after, reason = node.then, "time"
        case WaitForNode():
            after, reason = node.timeout, "timeout"
        case _:
            raise LookupError(f"{enrollment.id} waits at {step!r}, which is no wait")
    run.decide("wait_over", reason=reason, enrollment=enrollment, step=step)
    walk(run, program, enrollment, after, timer.due_at)


def answer_waits(run: Run, event: Event) -> None:
    """Let those go on that waited for this event."""
    if event.flags.historical or event.flags.unverified:
        return
    for enrollment in run.active():
        program = run.program(enrollment)
        if program is None or enrollment.step is None or enrollment.held:
            continue
        node = program.nodes.get(enrollment.step)
        if isinstance(node, WaitForNode) and _answers(run, enrollment, node, event):
            run.disarm(enrollment)
            run.decide("wait_over", reason="event", enrollment=enrollment, step=node.id)
            run.changed(enrollment)
            walk(run, program, enrollment, node.then, event.received_at)


def _answers(run: Run, enrollment: Enrollment, node: WaitForNode, event: Event) -> bool:
    wanted = any(event.name in _ANSWERS.get(name, (name,)) for name in node.events)
    if not wanted or not is_human(event):
        return False
    if node.of is not None:
        asked = [a.message for a in enrollment.asked if a.step == node.of]
        if not asked or message_of(event) != asked[-1]:
            return False
    return node.where is None or node.where.holds(run.facts(enrollment, event.data))


def _has_happened(run: Run, enrollment: Enrollment, node: WaitForNode) -> bool:
    """True when the reader has already done it: only engagement with one mail can lie behind."""
    if node.of is None or node.where is not None:
        return False
    asked = [a.message for a in enrollment.asked if a.step == node.of]
    mail = mail_of(run.contact.profile, asked[-1]) if asked else None
    if mail is None:
        return False
    return (mail.opened is not None and "email.opened" in node.events) or (
        mail.clicked is not None and "email.clicked" in node.events
    )


def _wait(run: Run, enrollment: Enrollment, step: StepId, duration: dt.timedelta) -> None:
    until = run.now + duration
    enrollment.wave += 1
    run.arm(enrollment, step, until)
    run.decide("waiting", enrollment=enrollment, step=step, seen={"until": until.isoformat()})


def _branch(run: Run, enrollment: Enrollment, node: BranchNode) -> Next:
    facts = run.facts(enrollment)
    seen: dict[str, object] = {}
    for number, (check, then) in enumerate(node.arms, 1):
        seen.update(check.seen(facts))
        if check.holds(facts):
            arm, at = f"when-{number}", then
            break
    else:
        arm, at = "else", node.otherwise
    run.decide("branched", reason=arm, enrollment=enrollment, step=node.id, seen=seen)
    return at


def _hold(run: Run, enrollment: Enrollment, at: Next, due_at: dt.datetime) -> None:
    """The journey is paused: stay before the next step, remembering when it was due."""
    run.disarm(enrollment)
    enrollment.token += 1
    enrollment.step = at
    enrollment.due_at = due_at
    enrollment.held = True
    run.changed(enrollment)
    run.decide("held", reason="paused", enrollment=enrollment, step=at)


def _finish(run: Run, enrollment: Enrollment, reason: str) -> None:
    run.decide("finished", reason=reason, enrollment=enrollment)
    run.end(enrollment, reason)
