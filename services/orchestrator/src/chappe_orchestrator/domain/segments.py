"""Keep memberships current, and make each change a fact that others can hear.

Where time alone may change one, a single timer of the contact stands for the first instant at which
it may, over all its segments: nobody polls, and an event moves it only if it must come earlier.
"""

from collections.abc import Collection

from chappe.events import Event
from chappe.journey.segments import transitions
from chappe_orchestrator.domain.effects import Timer
from chappe_orchestrator.domain.facts import Known
from chappe_orchestrator.domain.run import Run

SEGMENTS = "@segments"
"""What the timer is about, where a watch names a journey; no journey can be called so."""

_OF_CONTACT = frozenset(
    {"email.unsubscribed", "email.complained", "email.subscribed", "contact.tags_changed"}
)


def move_segments(run: Run, event: Event) -> None:
    """Look again at the segments that the event concerns; entering and leaving follow from it.

    A contact that is new is looked at for all of them: "has never ordered" may hold from the start.
    """
    segments, profile = run.journeys.segments, run.contact.profile
    if not segments.checks or event.flags.copy:
        return
    changed = bool(event.traits) or event.name in _OF_CONTACT or event.name.startswith("contact.")
    said = event.data.get("segment") if event.name.startswith("segment.") else None
    concerned: Collection[str] = set(
        segments.concerned(
            event.name,
            contact_changed=changed,
            segment=said if isinstance(said, str) else None,
        )
    )
    if len(profile.recent) <= 1 and not event.flags.derived:
        concerned = segments.checks.keys()
    if not concerned:
        return
    _move(run, concerned, test=event.flags.test, historical=event.flags.historical)
    _look_again(run, concerned)


def fire_segments(run: Run, timer: Timer) -> None:
    """The instant has come: time may have moved the contact in or out."""
    held = run.contact.profile.watches.get(SEGMENTS)
    if held is None or held.token != timer.token or held.due_at is None:
        return
    run.take_up(f"{timer.subject}:{timer.token}", None)
    run.timer_due = timer.due_at
    run.effects.profile_changed = True
    held.due_at = None
    timed = run.journeys.segments.timed
    if not timed:
        del run.contact.profile.watches[SEGMENTS]
        return
    _move(run, timed)
    _look_again(run, timed)


def recheck_segments(run: Run, *, tell: bool) -> None:
    """Look at all of them: the rules are others now, or the contact has become two people's.

    Without ``tell`` it is no fact: nobody enters a journey because a rule was edited.
    """
    checks = run.journeys.segments.checks
    _move(run, checks.keys(), tell=tell)
    run.disarm_watch(SEGMENTS)
    _look_again(run, checks.keys())


def _move(
    run: Run,
    concerned: Collection[str],
    *,
    tell: bool = True,
    test: bool = False,
    historical: bool = False,
) -> None:
    segments, profile = run.journeys.segments, run.contact.profile
    members = segments.members(_facts(run), concerned)
    held = [name for name in profile.segments if name in segments.checks]
    moved = transitions(held, members, concerned)
    if not moved and len(held) == len(profile.segments):
        return  # Nor is there one that has been deleted since.
    profile.segments = sorted({*(n for n in held if n not in concerned), *members})
    run.effects.profile_changed = True
    for one in moved if tell else ():
        run.derive(one.event, {"segment": one.segment}, test=test, historical=historical)


def _facts(run: Run) -> Known:
    """As of when everything has been heard. Whichever shop an event comes from, a contact lives in
    one zone.
    """
    policy = run.journeys.policy
    return Known(
        run.contact.profile,
        {},
        now=run.known_until,
        zones=(policy.zone,),
        half_life=policy.score_half_life,
        pasts=run.pasts,
    )


def _look_again(run: Run, concerned: Collection[str]) -> None:
    """Set the timer earlier if it stands too late. One that stands too early finds out itself."""
    segments = run.journeys.segments
    if segments.timed.isdisjoint(concerned):
        return
    due_at = segments.next_look(_facts(run), concerned)
    held = run.contact.profile.watches.get(SEGMENTS)
    standing = held.due_at if held is not None else None
    if due_at is None or (standing is not None and standing <= due_at):
        return
    run.arm_watch(SEGMENTS, due_at)
