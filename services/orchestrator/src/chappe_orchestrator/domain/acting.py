"""The steps that change something at once: split, update, goal, another journey, a word outside."""

from typing import Any

from chappe.ids import derived
from chappe.journey import (
    BranchNode,
    GoalNode,
    Next,
    NotifyNode,
    Program,
    SplitNode,
    StartJourneyNode,
    UpdateNode,
    WebhookNode,
    read_path,
)
from chappe_orchestrator.domain.asking import DEADLINE, is_past, snapshot_of
from chappe_orchestrator.domain.effects import Call
from chappe_orchestrator.domain.hearing import set_trait
from chappe_orchestrator.domain.leaving import leave
from chappe_orchestrator.domain.lots import drawn, lot
from chappe_orchestrator.domain.place import Place
from chappe_orchestrator.domain.profile import add_score
from chappe_orchestrator.domain.run import Run
from chappe_orchestrator.domain.state import TAGS_MAX, Enrollment

ActingNode = (
    BranchNode | SplitNode | UpdateNode | GoalNode | StartJourneyNode | WebhookNode | NotifyNode
)


def act(run: Run, program: Program, enrollment: Enrollment, node: ActingNode, at: Place) -> Next:
    """Take a step that takes no time; returns where to go on."""
    match node:
        case BranchNode():
            return _branch(run, enrollment, node)
        case SplitNode():
            return _split(run, enrollment, node)
        case UpdateNode():
            _update(run, enrollment, node)
        case GoalNode():
            _reach(run, program, enrollment, node)
        case StartJourneyNode():
            _start(run, enrollment, node)
        case WebhookNode() | NotifyNode():
            _call(run, program, enrollment, node, at)
    return node.then


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


def _split(run: Run, enrollment: Enrollment, node: SplitNode) -> Next:
    """The contact's own lot, unless the split has settled on a winner."""
    names = [name for name, _, _ in node.variants]
    winner = run.journeys.policy.winners.get(enrollment.journey, {}).get(node.id)
    if winner in names:
        index = names.index(winner)
    else:
        contact = run.contact
        at = lot(contact.workspace, "split", enrollment.journey, node.id, contact.id)
        index = drawn([weight for _, weight, _ in node.variants], at)
    name, _, then = node.variants[index]
    enrollment.variants[node.id] = name
    run.changed(enrollment)
    seen = {"winner": winner} if winner in names else {}
    run.decide("split", reason=name, enrollment=enrollment, step=node.id, seen=seen)
    return then


def _update(run: Run, enrollment: Enrollment, node: UpdateNode) -> None:
    """Change the contact, and tell it as facts. Consent is only ever lowered."""
    profile, facts = run.contact.profile, run.facts(enrollment)
    values = {**node.set_to, **{k: read_path(facts, path) for k, path in node.set_from.items()}}
    changed = {name: value for name, value in values.items() if set_trait(profile, name, value)}
    added = [tag for tag in node.add_tags if tag not in profile.tags]
    added = added[: max(0, TAGS_MAX - len(profile.tags))]
    removed = [tag for tag in node.remove_tags if tag in profile.tags]
    profile.tags = [tag for tag in [*profile.tags, *added] if tag not in removed]
    added = [tag for tag in added if tag not in removed]
    seen: dict[str, Any] = {**changed}
    data: dict[str, Any] = {"journey": enrollment.journey, "step": node.id}
    if node.score:
        half_life = run.journeys.policy.score_half_life
        data["score"] = seen["score"] = add_score(profile, node.score, run.now, half_life)
    if changed or node.score:
        run.derive("contact.updated", data, traits=changed, test=enrollment.test)
    if added or removed:
        tell_tags(run, added, removed, test=enrollment.test)
        seen |= {"added": added, "removed": removed}
    if node.opt_out is not None:
        said = {"scope": "topic", "topic": node.opt_out, **data}
        run.derive("email.unsubscribed", said, test=enrollment.test)
        seen["opt_out"] = node.opt_out
    run.effects.profile_changed = True
    run.decide("updated", enrollment=enrollment, step=node.id, seen=seen)


def tell_tags(
    run: Run,
    added: list[str],
    removed: list[str],
    *,
    test: bool = False,
    historical: bool = False,
) -> None:
    """Make a change of tags a fact."""
    data = {"added": added, "removed": removed}
    run.derive("contact.tags_changed", data, test=test, historical=historical)


def _reach(run: Run, program: Program, enrollment: Enrollment, node: GoalNode) -> None:
    if enrollment.goal_at is None:
        enrollment.goal_at = run.now
        run.changed(enrollment)
        run.decide("goal_reached", reason=node.goal, enrollment=enrollment, step=node.id)
    if program.exit_on_goal:
        leave(run, enrollment, "goal", {"goal": node.goal})


def _start(run: Run, enrollment: Enrollment, node: StartJourneyNode) -> None:
    asked = {"journey": node.journey, "by": "journey", "from": enrollment.journey}
    run.decide("journey_requested", reason=node.journey, enrollment=enrollment, step=node.id)
    run.derive("journey.requested", {**enrollment.event, **asked}, test=enrollment.test)


def _call(
    run: Run,
    program: Program,
    enrollment: Enrollment,
    node: WebhookNode | NotifyNode,
    at: Place,
) -> None:
    """Ask for a call outside; its id is derived, so asking twice is asking once."""
    visit = enrollment.visits.get(node.id, 0) + 1
    enrollment.visits[node.id] = visit
    run.changed(enrollment)
    what = "notified" if isinstance(node, NotifyNode) else "called"
    if is_past(run, at):
        run.decide("skipped", reason="date_passed", enrollment=enrollment, step=node.id)
        return
    if enrollment.holdout and what == "notified":
        run.decide("skipped", reason="holdout", enrollment=enrollment, step=node.id)
        return
    call = _made(run, program, enrollment, node, derived("wh_", enrollment.id, node.id, str(visit)))
    run.effects.calls.append(call)
    if not call.notice:
        enrollment.calls[node.id] = call.id
    run.decide(what, enrollment=enrollment, step=node.id, seen={"call": call.id})


def _made(
    run: Run, program: Program, enrollment: Enrollment, node: WebhookNode | NotifyNode, call: str
) -> Call:
    is_notice = isinstance(node, NotifyNode)
    within = DEADLINE if is_notice else node.within or DEADLINE
    return Call(
        id=call,
        enrollment=enrollment.id,
        contact=run.contact.id,
        workspace=run.contact.workspace,
        journey=program.journey,
        version=program.version,
        step=node.id,
        at=run.now,
        deadline=run.now + within,
        method="POST" if is_notice else node.method,
        url=node.webhook if is_notice else node.url,
        email=node.email if is_notice else None,
        headers={} if is_notice else dict(node.headers),
        body=None if is_notice else node.body,
        subject=node.subject if is_notice else None,
        text=node.text if is_notice else None,
        notice=is_notice,
        snapshot=snapshot_of(run, enrollment),
    )
