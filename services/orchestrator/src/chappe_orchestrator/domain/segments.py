"""Keep a contact's memberships current, and make each change a fact that others can hear."""

from chappe.events import Event
from chappe.journey.segments import transitions
from chappe_orchestrator.domain.run import Run

_OF_CONTACT = frozenset(
    {"email.unsubscribed", "email.complained", "email.subscribed", "contact.tags_changed"}
)


def move_segments(run: Run, event: Event) -> None:
    """Look again at the segments that the event concerns; entering and leaving follow from it."""
    segments, profile = run.journeys.segments, run.contact.profile
    if not segments.checks or event.flags.copy:
        return
    changed = bool(event.traits) or event.name in _OF_CONTACT or event.name.startswith("contact.")
    said = event.data.get("segment") if event.name.startswith("segment.") else None
    concerned = set(
        segments.concerned(
            event.name,
            contact_changed=changed,
            segment=said if isinstance(said, str) else None,
        )
    )
    if not concerned:
        return
    members = segments.members(run.known({}), concerned)
    held = [name for name in profile.segments if name in segments.checks]
    moved = transitions(held, members, concerned)
    if not moved:
        return
    profile.segments = sorted({*(n for n in held if n not in concerned), *members})
    run.effects.profile_changed = True
    for one in moved:
        run.derive(one.event, {"segment": one.segment}, test=event.flags.test)
