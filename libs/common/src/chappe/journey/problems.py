"""What is wrong with a journey across its steps, though each step alone is well formed."""

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from chappe.ids import StepId
from chappe.journey.conditions import Condition
from chappe.journey.definition import (
    DEPTH_MAX,
    STEPS_MAX,
    Journey,
    Location,
    lists_in,
    walk_steps,
)
from chappe.journey.ids import with_ids
from chappe.journey.mentions import unknown_in
from chappe.journey.nodes import Next, WaitForNode, WaitNode, WaitUntilNode, edges
from chappe.journey.program import TRIGGER_STEP, Program, compile_program
from chappe.journey.rules import ExitAt, ExitOnGoal, ExitRule, ExitWhen
from chappe.journey.sense import never
from chappe.journey.steps import (
    BranchStep,
    GoalStep,
    GotoStep,
    SendStep,
    StartJourneyStep,
    Step,
    WaitForAny,
    WaitStep,
    WebhookStep,
    When,
)
from chappe.journey.supplies import supplies
from chappe.journey.triggers import OnDate, OnInactivity, OnRequest, events_of
from chappe.journey.waits import ConditionWanted, EventWanted, WaitForOne


@dataclass(frozen=True, slots=True)
class Problem:
    """One complaint: where it stands in the definition, and what is wrong there."""

    at: Location
    what: str


def did_you_mean(word: str, known: Collection[str]) -> str:
    """A comma and a suggestion, or nothing."""
    near = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return f", did you mean {near[0]!r}?" if near else ""


def problems_in(
    journey: Journey,
    templates: Collection[str] | None = None,
    topics: Collection[str] | None = None,
) -> list[Problem]:
    """Every problem across steps. ``templates`` and ``topics``: the names there are; None when
    nobody knows.
    """
    too_large = list(_too_large(journey.steps))
    if too_large:
        return too_large
    placed = list(walk_steps(with_ids(journey).steps))
    found = [
        *_duplicates(placed),
        *_unknown_steps(placed),
        *_unknown_templates(placed, templates),
        *_unknown_topics(journey, topics),
        *_unusable(placed, journey),
        *_triggers_that_clash(journey),
        *_keys_nobody_supplies(journey),
        *_exits_that_never_match(journey),
        *_senseless(journey, placed),
    ]
    rings = list(_goto_rings(placed)) if not any(map(_is_about_goto, found)) else []
    if not found and not rings:
        program = compile_program(journey)
        reached = _reached(program)
        found.extend(_unreachable(placed, program, reached))
        found.extend(_endless(placed, program, reached))
    return [*found, *rings]


def circles_between(journeys: Iterable[Journey]) -> Iterator[tuple[str, Problem]]:
    """Journeys that start one another in a circle: each with the step that closes it."""
    steps: dict[str, list[tuple[Location, str]]] = {
        journey.journey: [
            ((*at, "start_journey"), step.start_journey)
            for at, step in walk_steps(journey.steps)
            if isinstance(step, StartJourneyStep)
        ]
        for journey in journeys
    }
    for name in sorted(steps):
        for at, first in steps[name]:
            way = _way_back(name, first, steps)
            if way is not None:
                yield name, Problem(at, f"leads back to itself: {' → '.join([name, *way])}")


def _way_back(
    home: str, first: str, steps: Mapping[str, list[tuple[Location, str]]]
) -> list[str] | None:
    waiting, seen = [[first]], {first}
    while waiting:
        way = waiting.pop()
        if way[-1] == home:
            return way
        for _, then in steps.get(way[-1], []):
            if then not in seen:
                seen.add(then)
                waiting.append([*way, then])
    return None


def _is_about_goto(problem: Problem) -> bool:
    return bool(problem.at) and problem.at[-1] == "goto"


def _too_large(steps: tuple[Step, ...]) -> Iterator[Problem]:
    waiting: list[tuple[int, Location, tuple[Step, ...]]] = [(1, ("steps",), steps)]
    count = 0
    while waiting:
        depth, at, inner = waiting.pop()
        count += len(inner)
        if depth > DEPTH_MAX or count > STEPS_MAX:
            yield Problem(at, f"at most {STEPS_MAX} steps, nested at most {DEPTH_MAX} deep")
            return
        waiting.extend(
            (depth + 1, (*at, index, *where), deeper)
            for index, step in enumerate(inner)
            for _, where, deeper in lists_in(step)
        )


def _duplicates(placed: list[tuple[Location, Step]]) -> Iterator[Problem]:
    seen: set[str] = set()
    for at, step in placed:
        own = step.id or ""
        if own in seen:
            advice = "; give one of them an id" if isinstance(step, SendStep) else ""
            yield Problem(at, f"a second step is called {own!r}{advice}")
        seen.add(own)


def _unknown_steps(placed: list[tuple[Location, Step]]) -> Iterator[Problem]:
    steps = {step.id or "": step for _, step in placed}
    sends = {own for own, step in steps.items() if isinstance(step, SendStep)}
    calls = {own for own, step in steps.items() if isinstance(step, WebhookStep)}
    for at, step in placed:
        if isinstance(step, GotoStep) and step.goto not in steps:
            hint = did_you_mean(step.goto, steps)
            yield Problem((*at, "goto"), f"no step is called {step.goto!r}{hint}")
        if not isinstance(step, WaitStep):
            continue
        if isinstance(step.wait, WaitForOne):
            yield from _unknown_of((*at, "wait", "for"), step.wait.for_, sends, calls)
        elif isinstance(step.wait, WaitForAny):
            for index, path in enumerate(step.wait.for_):
                yield from _unknown_of((*at, "wait", "for", index), path, sends, calls)


def _unknown_of(
    at: Location, wanted: object, sends: set[str], calls: set[str]
) -> Iterator[Problem]:
    of = wanted.of if isinstance(wanted, EventWanted) else None
    if of is None or not isinstance(wanted, EventWanted):
        return
    kinds = {name.partition(".")[0] for name in wanted.event}
    if kinds == {"webhook"}:
        if of not in calls:
            yield Problem((*at, "of"), f"no webhook step is called {of!r}{did_you_mean(of, calls)}")
        return
    if of not in sends:
        yield Problem((*at, "of"), f"no send step is called {of!r}{did_you_mean(of, sends)}")
    if kinds != {"email"}:
        yield Problem((*at, "of"), "only email events are about a message; leave out of")


def _unusable(placed: list[tuple[Location, Step]], journey: Journey) -> Iterator[Problem]:
    for at, step in placed:
        if isinstance(step, SendStep) and step.send.channel != "email":
            yield Problem((*at, "send", "channel"), "nothing can send this channel yet")
        if isinstance(step, StartJourneyStep) and step.start_journey == journey.journey:
            yield Problem((*at, "start_journey"), "a journey cannot start itself")


def _triggers_that_clash(journey: Journey) -> Iterator[Problem]:
    watches = [
        index
        for index, one in enumerate(journey.trigger)
        if isinstance(one, OnInactivity) or (isinstance(one, OnDate) and one.of is None)
    ]
    dated = [i for i, one in enumerate(journey.trigger) if isinstance(one, OnDate) and one.of]
    for index in watches[1:]:
        what = "a journey begins by one date of the contact, or by one silence"
        yield Problem(("trigger", index), what)
    for index in dated[1:]:
        yield Problem(("trigger", index), "a journey begins by one date of its event")
    if dated and any(step.id == TRIGGER_STEP for _, step in walk_steps(journey.steps)):
        yield Problem(("steps",), f"{TRIGGER_STEP!r} is the wait for the trigger's date here")


def _keys_nobody_supplies(journey: Journey) -> Iterator[Problem]:
    paths = journey.entry.key or ()
    for index, one in enumerate(journey.trigger):
        if not paths or isinstance(one, OnRequest):
            continue
        names = events_of(one)
        if not names:
            what = "a date of the contact or a silence brings no event; leave the key out"
            yield Problem(("entry", "key"), what)
        for name in names:
            if not any(supplies(name, path) for path in paths):
                what = f"{name} never has {' or '.join(paths)}: nobody would enter"
                at: Location = (
                    ("trigger", "event") if len(journey.trigger) == 1 else ("trigger", index)
                )
                yield Problem(at, what)


def _exits_that_never_match(journey: Journey) -> Iterator[Problem]:
    for index, rule in enumerate(journey.exit):
        at: Location = ("exit", index)
        match rule:
            case ExitRule(match=found) if found is not None:
                if journey.entry.key is None:
                    yield Problem((*at, "match"), "can never match: entry has no key")
                elif not any(supplies(rule.event, path) for path in found.any_):
                    what = f"can never match: {rule.event} never has {' or '.join(found.any_)}"
                    yield Problem((*at, "match"), what)
            case ExitOnGoal() if journey.goal is None and not any(
                isinstance(step, GoalStep) for _, step in walk_steps(journey.steps)
            ):
                yield Problem((*at, "goal"), "can never match: the journey has no goal")
            case ExitAt(at=end) if journey.entry.starts is not None and end <= journey.entry.starts:
                yield Problem((*at, "at"), "ends everybody before anybody may enter")
            case _:
                pass


def _unknown_templates(
    placed: list[tuple[Location, Step]], templates: Collection[str] | None
) -> Iterator[Problem]:
    for at, step in placed:
        if templates is None or not isinstance(step, SendStep):
            continue
        name = step.send.template
        if name not in templates:
            hint = did_you_mean(name, templates)
            yield Problem((*at, "send", "template"), f"no template is called {name!r}{hint}")


def _unknown_topics(journey: Journey, topics: Collection[str] | None) -> Iterator[Problem]:
    for one, names in unknown_in(journey, {"topic": topics} if topics is not None else {}):
        hint = did_you_mean(one.name, names)
        yield Problem(one.at, f"no template and no brand has the topic {one.name!r}{hint}")


def _senseless(journey: Journey, placed: list[tuple[Location, Step]]) -> Iterator[Problem]:
    """Conditions that contradict themselves."""
    for at, condition, means in _asked(journey, placed):
        reason = never(condition) if condition is not None else None
        if reason is not None:
            yield Problem(at, f"{means}: {reason}")


def _asked(
    journey: Journey, placed: list[tuple[Location, Step]]
) -> Iterator[tuple[Location, Condition | None, str]]:
    """Every condition with its place, and what it means that it never holds."""
    for index, one in enumerate(journey.trigger):
        yield ("trigger", index, "where"), one.where, "nobody would enter"
    yield ("entry", "filter"), journey.entry.filter, "nobody would enter"
    for index, rule in enumerate(journey.exit):
        match rule:
            case ExitRule(where=where):
                yield ("exit", index, "where"), where, "can never match"
            case ExitWhen(when=when):
                yield ("exit", index, "when"), when, "can never match"
            case _:
                pass
    if journey.goal is not None:
        yield ("goal", "where"), journey.goal.where, "can never be reached"
    yield from _asked_by_steps(placed)


def _asked_by_steps(
    placed: list[tuple[Location, Step]],
) -> Iterator[tuple[Location, Condition | None, str]]:
    for at, step in placed:
        match step:
            case BranchStep(branch=arms):
                for index, arm in enumerate(arms):
                    if isinstance(arm, When):
                        where = (*at, "branch", index, "when")
                        yield where, arm.when, "nobody would go this way"
            case WaitStep(wait=WaitForOne(for_=wanted)):
                yield from _wanted((*at, "wait", "for"), wanted)
            case WaitStep(wait=WaitForAny(for_=ways)):
                for index, way in enumerate(ways):
                    yield from _wanted((*at, "wait", "for", index), way)
            case _:
                pass


def _wanted(
    at: Location, wanted: EventWanted | ConditionWanted
) -> Iterator[tuple[Location, Condition | None, str]]:
    if isinstance(wanted, ConditionWanted):
        yield (*at, "when"), wanted.when, "is waited for in vain"
    else:
        yield (*at, "where"), wanted.where, "is waited for in vain"


def _goto_rings(placed: list[tuple[Location, Step]]) -> Iterator[Problem]:
    targets = {step.id: step.goto for _, step in placed if isinstance(step, GotoStep)}
    for at, step in placed:
        seen: set[str | None] = set()
        here: str | None = step.id
        while here in targets and here not in seen:
            seen.add(here)
            here = targets[here]
        if isinstance(step, GotoStep) and here in seen:
            yield Problem((*at, "goto"), "leads back to itself without a wait")


def _reached(program: Program) -> set[StepId]:
    reached: set[StepId] = set()
    waiting: list[Next] = [program.start, *(one.start for one in program.triggers)]
    while waiting:
        step = waiting.pop()
        if step is None or step in reached:
            continue
        reached.add(step)
        waiting.extend(edge.target for edge in edges(program.nodes[step]))
    return reached


def _unreachable(
    placed: list[tuple[Location, Step]], program: Program, reached: set[StepId]
) -> Iterator[Problem]:
    # The head of an unreachable run is enough: what follows it cannot be reached either.
    silenced: set[Location] = set()
    for at, step in placed:
        own = StepId(step.id or "")
        if own in program.nodes and own not in reached:
            if not any(at[: len(before)] == before for before in silenced):
                yield Problem(at, f"step {own!r} can never be reached")
            silenced.add(at[:-1])


def _endless(
    placed: list[tuple[Location, Step]], program: Program, reached: set[StepId]
) -> Iterator[Problem]:
    at_of = {StepId(step.id or ""): at for at, step in placed}
    onward = {step: _at_once(program, step) for step in program.nodes}
    done: set[StepId] = set()
    for start in (step for step in program.nodes if step in reached):
        looped = _first_loop(start, onward, done)
        if looped is not None:
            at = at_of.get(looped, ("trigger",))
            yield Problem(at, f"step {looped!r} comes back to itself without a wait")
            return


def _at_once(program: Program, step: StepId) -> tuple[StepId, ...]:
    """Where a contact may go from ``step`` without any time passing."""
    node = program.nodes[step]
    match node:
        case WaitNode():
            ways: tuple[Next, ...] = ()
        case WaitUntilNode(at=at, then=then):
            # A weekday alone may be today; a time of day is always still to come.
            ways = () if at is not None else (then,)
        case WaitForNode(alternatives=found):
            # What holds already, or engagement with a mail; other events are still to come.
            ways = tuple(one.then for one in found if one.of or one.when)
        case _:
            ways = tuple(edge.target for edge in edges(node))
    return tuple(way for way in ways if way is not None)


def _first_loop(
    start: StepId, onward: Mapping[StepId, tuple[StepId, ...]], done: set[StepId]
) -> StepId | None:
    """Depth first, with the path kept on a stack of our own."""
    path: list[tuple[StepId, Iterator[StepId]]] = [(start, iter(onward[start]))]
    on_path = {start}
    while path:
        step, ways = path[-1]
        way = next(ways, None)
        if way is None:
            path.pop()
            on_path.discard(step)
            done.add(step)
        elif way in on_path:
            return way
        elif way not in done:
            path.append((way, iter(onward[way])))
            on_path.add(way)
    return None
