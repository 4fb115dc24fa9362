"""What is wrong with a journey across its steps, though each step alone is well formed."""

import difflib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from chappe.ids import StepId
from chappe.journey.definition import (
    DEPTH_MAX,
    STEPS_MAX,
    GotoStep,
    Journey,
    Location,
    SendStep,
    Step,
    WaitForEvent,
    WaitStep,
    lists_in,
)
from chappe.journey.ids import with_ids
from chappe.journey.program import Next, Program, WaitForNode, WaitNode, compile_program, edges


@dataclass(frozen=True, slots=True)
class Problem:
    """One complaint: where it stands in the definition, and what is wrong there."""

    at: Location
    what: str


def did_you_mean(word: str, known: Collection[str]) -> str:
    """A comma and a suggestion, or nothing."""
    near = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return f", did you mean {near[0]!r}?" if near else ""


def problems_in(journey: Journey, templates: Collection[str] | None = None) -> list[Problem]:
    """Every problem across steps. ``templates``: the names there are; None when nobody knows."""
    too_large = list(_too_large(journey.steps))
    if too_large:
        return too_large
    placed = list(_placed(with_ids(journey).steps, ("steps",)))
    found = [*_duplicates(placed), *_unknown_steps(placed), *_unknown_templates(placed, templates)]
    if not found:
        found.extend(_goto_rings(placed))
    if not found:
        program = compile_program(journey)
        found.extend(_unreachable(placed, program))
        found.extend(_endless(placed, program))
    return found


def _placed(steps: tuple[Step, ...], at: Location) -> Iterator[tuple[Location, Step]]:
    for index, step in enumerate(steps):
        here = (*at, index)
        yield here, step
        for _, where, inner in lists_in(step):
            yield from _placed(inner, (*here, *where))


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
    for at, step in placed:
        if isinstance(step, GotoStep) and step.goto not in steps:
            hint = did_you_mean(step.goto, steps)
            yield Problem((*at, "goto"), f"no step is called {step.goto!r}{hint}")
        if isinstance(step, WaitStep) and isinstance(step.wait, WaitForEvent):
            yield from _unknown_of((*at, "wait", "for"), step.wait, sends)


def _unknown_of(at: Location, wait: WaitForEvent, sends: set[str]) -> Iterator[Problem]:
    of = wait.for_.of
    if of is not None and of not in sends:
        yield Problem((*at, "of"), f"no send step is called {of!r}{did_you_mean(of, sends)}")
    if of is not None and not all(name.startswith("email.") for name in wait.for_.event):
        yield Problem((*at, "of"), "only email events are about a message; leave out of")


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


def _unreachable(placed: list[tuple[Location, Step]], program: Program) -> Iterator[Problem]:
    reached: set[StepId] = set()
    waiting: list[Next] = [program.start]
    while waiting:
        step = waiting.pop()
        if step is None or step in reached:
            continue
        reached.add(step)
        waiting.extend(edge.target for edge in edges(program.nodes[step]))
    # The head of an unreachable run is enough: what follows it cannot be reached either.
    silenced: set[Location] = set()
    for at, step in placed:
        own = StepId(step.id or "")
        if own in program.nodes and own not in reached:
            if not any(at[: len(before)] == before for before in silenced):
                yield Problem(at, f"step {own!r} can never be reached")
            silenced.add(at[:-1])


def _endless(placed: list[tuple[Location, Step]], program: Program) -> Iterator[Problem]:
    at_of = {StepId(step.id or ""): at for at, step in placed}
    onward = {step: _at_once(program, step) for step in program.nodes}
    done: set[StepId] = set()
    for start in program.nodes:
        looped = _first_loop(start, onward, done)
        if looped is not None:
            yield Problem(at_of[looped], f"step {looped!r} comes back to itself without a wait")
            return


def _at_once(program: Program, step: StepId) -> tuple[StepId, ...]:
    """Where a contact may go from ``step`` without any time passing."""
    node = program.nodes[step]
    match node:
        case WaitNode():
            ways: tuple[Next, ...] = ()
        case WaitForNode():
            # Engagement with a mail may have happened already; other events are still to come.
            ways = (node.then,) if node.of else ()
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
