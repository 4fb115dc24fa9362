"""Ask the sender for one message, or say why not."""

import datetime as dt
from typing import Any

import msgspec

from chappe.events import Send, Snapshot
from chappe.ids import MessageId, derived
from chappe.journey import Pinned, Program, SendNode, as_list, as_mapping
from chappe_orchestrator.domain.facts import contact_view
from chappe_orchestrator.domain.run import Run
from chappe_orchestrator.domain.state import ASKED_MAX, MAILS_MAX, Asked, Enrollment, Mail

DEADLINE = dt.timedelta(hours=24)
"""How long after its step was due a message still makes sense, unless ``within`` says otherwise."""

CATCH_UP = dt.timedelta(hours=24)
"""A marketing step that runs later than this after it was due is skipped, not burst."""

SNAPSHOT_BYTES_MAX = 32 * 1024
TEXT_LENGTH_MAX = 500
LIST_LENGTH_MAX = 20

_encode = msgspec.json.Encoder(decimal_format="string").encode


def ask(
    run: Run, program: Program, enrollment: Enrollment, node: SendNode, due_at: dt.datetime
) -> None:
    """Ask for the step's message; its id is derived, so asking twice is asking once."""
    pinned = program.templates.get(node.template) or Pinned(version=node.template)
    profile = run.contact.profile
    visit = enrollment.visits.get(node.id, 0) + 1
    enrollment.visits[node.id] = visit
    run.changed(enrollment)
    message = MessageId(derived("m_", enrollment.id, node.id, str(visit)))
    refusal, seen = _refusal(run, program, enrollment, pinned, due_at)
    seen["consent.email"] = run.facts(enrollment).consent("email")
    if refusal is not None or profile.email is None:
        run.decide(
            "skipped",
            reason=refusal or "no_address",
            enrollment=enrollment,
            step=node.id,
            message=message,
            seen=seen,
        )
        return
    run.effects.commands.append(
        Send(
            message=message,
            workspace=run.contact.workspace,
            contact=run.contact.id,
            enrollment=enrollment.id,
            journey=program.journey,
            version=program.version,
            step=node.id,
            template=pinned.version,
            address=profile.email,
            locale=_locale(profile.traits),
            asked_at=run.now,
            due_at=due_at,
            deadline=due_at + (node.within or DEADLINE),
            topic=node.topic or pinned.topic,
            snapshot=Snapshot(
                contact=contact_view(profile),
                event=enrollment.event,
                entry={"key": enrollment.key},
            ),
            overtakes=_overtaken(enrollment, pinned),
            test=enrollment.test,
        )
    )
    _remember(run, enrollment, node, pinned, message)
    seen["template"] = pinned.version
    run.decide("asked", enrollment=enrollment, step=node.id, message=message, seen=seen)


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
    run: Run, program: Program, enrollment: Enrollment, pinned: Pinned, due_at: dt.datetime
) -> tuple[str | None, dict[str, Any]]:
    """Why this message is not asked for, with the values seen. Consent is the sender's gate."""
    if pinned.marketing and run.now - due_at > CATCH_UP:
        return "too_late", {"due_at": due_at.isoformat()}
    entry_filter = program.entry.filter
    if entry_filter is None:
        return None, {}
    facts = run.facts(enrollment)
    refused = not entry_filter.holds(facts)
    return ("filter" if refused else None), entry_filter.seen(facts)


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
