"""Give every step its id: a send's is its template's name, others are numbered where they stand.

A derived id is ``KIND-N``, counted within its list, behind the step and the arm that hold the
list: ``wait-2.then.wait-1``.
"""

from collections import Counter

from chappe.journey.definition import Journey
from chappe.journey.steps import (
    BranchStep,
    Else,
    SendStep,
    SplitStep,
    Step,
    WaitForAny,
    WaitStep,
    When,
    kind_of,
)


def with_ids(journey: Journey) -> Journey:
    """The same journey with every id written out."""
    return journey.model_copy(update={"steps": _named(journey.steps, "")})


def _named(steps: tuple[Step, ...], parent: str) -> tuple[Step, ...]:
    counts: Counter[str] = Counter()
    named: list[Step] = []
    for step in steps:
        kind = kind_of(step) or "step"
        counts[kind] += 1
        own = step.send.template if isinstance(step, SendStep) else f"{parent}{kind}-{counts[kind]}"
        named.append(_with_lists(step, step.id or own))
    return tuple(named)


def _with_lists(step: Step, own: str) -> Step:
    match step:
        case WaitStep():
            return _wait(step, own)
        case BranchStep(branch=arms):
            renamed = tuple(_arm(arm, f"{own}.{at}") for at, arm in enumerate(arms, 1))
            return step.model_copy(update={"id": own, "branch": renamed})
        case SplitStep(split=split):
            ways = tuple(
                one.model_copy(update={"then": _named(one.then, f"{own}.{one.variant}.")})
                if one.then
                else one
                for one in split.variants
            )
            changed = split.model_copy(update={"variants": ways})
            return step.model_copy(update={"id": own, "split": changed})
        case _:
            return step.model_copy(update={"id": own})


def _wait(step: WaitStep, own: str) -> WaitStep:
    lists: dict[str, object] = {}
    if step.then:
        lists["then"] = _named(step.then, f"{own}.then.")
    if step.timeout:
        lists["timeout"] = _named(step.timeout, f"{own}.timeout.")
    if isinstance(step.wait, WaitForAny):
        paths = tuple(
            path.model_copy(update={"then": _named(path.then, f"{own}.for-{at}.")})
            if path.then
            else path
            for at, path in enumerate(step.wait.for_, 1)
        )
        lists["wait"] = step.wait.model_copy(update={"for_": paths})
    return step.model_copy(update={"id": own, **lists})


def _arm(arm: When | Else, parent: str) -> When | Else:
    if isinstance(arm, When):
        return arm.model_copy(update={"then": _named(arm.then, f"{parent}.")})
    return arm.model_copy(update={"else_": _named(arm.else_, f"{parent}.")})
