"""Who leaves a journey because of an event, which keys it closes, and whose goal it is."""

from chappe.events import Event
from chappe.journey import ExitOn
from chappe_orchestrator.domain.journeys import key_values
from chappe_orchestrator.domain.run import Run
from chappe_orchestrator.domain.state import Enrollment, Key

ENDS_EVERYTHING = {"contact.deleted": "deleted", "privacy.erase_requested": "erased"}


def leave(run: Run, enrollment: Enrollment, reason: str, seen: dict[str, object]) -> None:
    """End an enrollment at once, with its timer and its messages not yet accepted."""
    step = enrollment.step
    run.decide("exited", reason=reason, enrollment=enrollment, step=step, seen=seen)
    run.take_back(enrollment, reason)
    run.end(enrollment, reason)


def exit_on(run: Run, event: Event) -> None:
    """Apply every exit rule that the event meets; then close the keys it names."""
    if event.flags.unverified and _is_known(run):
        return
    for enrollment in run.active():
        if event.name in ENDS_EVERYTHING:
            leave(run, enrollment, ENDS_EVERYTHING[event.name], {})
            continue
        program = run.program(enrollment)
        for rule in program.exits if program else ():
            if rule.event == event.name and _ends(run, rule, enrollment, event):
                leave(run, enrollment, event.name, {"key": enrollment.key})
                break
    _take_back_of_the_ended(run, event)
    _close_keys(run, event)


def _take_back_of_the_ended(run: Run, event: Event) -> None:
    """The last mail of a journey may still be queued when the journey is over: it goes too."""
    for enrollment in run.contact.enrollments.values():
        if enrollment.status == "active" or not enrollment.outstanding:
            continue
        program = run.program(enrollment)
        if event.name in ENDS_EVERYTHING:
            run.take_back(enrollment, ENDS_EVERYTHING[event.name])
        elif program is not None and any(
            rule.event == event.name and _ends(run, rule, enrollment, event)
            for rule in program.exits
        ):
            run.take_back(enrollment, event.name)


def reach_goals(run: Run, event: Event) -> None:
    """Note the goal of everybody who entered recently enough, also of those who have left."""
    if event.flags.historical or event.flags.copy or event.flags.unverified:
        return
    for enrollment in run.contact.enrollments.values():
        program = run.program(enrollment)
        if program is None or program.goal is None or program.goal.event != event.name:
            continue
        until = enrollment.goal_until
        if enrollment.goal_at is None and until is not None and event.occurred_at <= until:
            where = program.goal.where
            if where is not None and not where.holds(run.facts(enrollment, event.data)):
                continue
            enrollment.goal_at = event.occurred_at
            run.changed(enrollment)
            run.decide("goal_reached", reason=event.name, enrollment=enrollment)
            if program.exit_on_goal and enrollment.status == "active":
                leave(run, enrollment, "goal", {"goal": event.name})


def _is_known(run: Run) -> bool:
    """True when a trusted source has told us who this is."""
    held = run.contact.profile.identifiers
    return any(held.get(kind) for kind in ("email", "phone", "external_id"))


def _ends(run: Run, rule: ExitOn, enrollment: Enrollment, event: Event) -> bool:
    if rule.where is not None and not rule.where.holds(run.facts(enrollment, event.data)):
        return False
    if not rule.match:
        return True
    values = key_values(rule.match, event.data)
    # An order without any token speaks of whatever carts the contact has open.
    return not values or any(value in enrollment.aliases for value in values)


def _close_keys(run: Run, event: Event) -> None:
    for program in run.journeys.by_closing.get(event.name, ()):
        for rule in program.exits:
            if rule.event != event.name or not rule.match:
                continue
            facts = run.known(event.data)
            if rule.where is not None and not rule.where.holds(facts):
                continue
            for value in key_values(rule.match, event.data):
                mark = run.mark(Key(program.journey, value))
                mark.closed_at = run.now
