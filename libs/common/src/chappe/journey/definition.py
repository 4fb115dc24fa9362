"""A journey as it is written: trigger, entry rules, exit rules, goal, steps."""

import datetime as dt
from collections.abc import Iterator
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    StrictBool,
    StringConstraints,
    Tag,
    WithJsonSchema,
    model_validator,
)

from chappe.journey.conditions import Condition
from chappe.journey.values import (
    FILLED,
    Duration,
    EventName,
    EventNames,
    Name,
    OrWritten,
    Paths,
    StepName,
    Strict,
    Title,
    as_mapping,
    wrong,
)

STEPS_MAX = 500
DEPTH_MAX = 16


class Trigger(Strict):
    """The events that bring a contact in."""

    event: EventNames
    where: Condition | None = None


class Cooldown(Strict):
    """Enter again once this long has passed since the last entry."""

    cooldown: Duration


def _again_kind(value: Any) -> str:
    return "again:cooldown" if isinstance(value, dict | Cooldown) else "again:word"


class Entry(Strict):
    """Who may enter, under which key, and whether again.

    ``key`` names aliases of one thing (a cart has a checkout token and a cart token); without it
    the key is the contact. ``closed_for`` is how long a closed key stays closed with ``always`` or
    a cooldown. ``newest_only``: a new key ends the enrollments of the older ones.
    """

    filter: Condition | None = None
    key: Paths | None = None
    again: Annotated[
        Annotated[Literal["once_per_key", "always", "never"], Tag("again:word")]
        | Annotated[Cooldown, Tag("again:cooldown")],
        Discriminator(_again_kind),
    ] = "once_per_key"
    closed_for: Duration = dt.timedelta(hours=72)
    newest_only: StrictBool = False


class Match(Strict):
    """The exit event speaks of one key: any of the values at these paths."""

    any_: Paths = Field(alias="any")
    is_: Literal["entry.key"] = Field(alias="is")

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        short = as_mapping(value)
        if short is None or len(short) != 1 or short.keys() & {"any", "is"}:
            return value
        ((path, key),) = short.items()
        return {"any": [path], "is": key}


_SHORT_MATCH: dict[str, Any] = {
    "type": "object",
    "patternProperties": {"^event[.]": {"const": "entry.key"}},
    "additionalProperties": False,
    "minProperties": 1,
    "maxProperties": 1,
}


class ExitRule(Strict):
    """End enrollments on an event; with ``match`` only those of the key it names, and close it."""

    event: EventName
    match: Annotated[Match, OrWritten(_SHORT_MATCH)] | None = None
    where: Condition | None = None


class Goal(Strict):
    """What the journey is for; counted when it happens this soon after the entry."""

    event: EventName
    within: Duration


class SendWhat(Strict):
    """A template, by name; ``topic`` overrides the template's, ``within`` its day of validity."""

    template: Name
    topic: Name | None = None
    within: Duration | None = None


class SendStep(Strict):
    """Ask for one message."""

    id: StepName | None = None
    send: SendWhat


class EventWanted(Strict):
    """An event to wait for; ``of`` names the send step whose message it must be about."""

    event: EventNames
    of: StepName | None = None
    where: Condition | None = None


class WaitForEvent(Strict):
    """Wait until it happens, at most so long."""

    for_: EventWanted = Field(alias="for")
    at_most: Duration


def _wait_kind(value: Any) -> str:
    return "wait:for" if isinstance(value, dict | WaitForEvent) else "wait:duration"


class WaitStep(Strict):
    """Let time pass, or wait for an event: ``then`` when it came, ``timeout`` when it did not."""

    id: StepName | None = None
    wait: Annotated[
        Annotated[Duration, Tag("wait:duration")] | Annotated[WaitForEvent, Tag("wait:for")],
        Discriminator(_wait_kind),
    ]
    then: "tuple[Step, ...]" = ()
    timeout: "tuple[Step, ...]" = ()

    @model_validator(mode="after")
    def _paths_need_an_event(self) -> "WaitStep":
        if not isinstance(self.wait, WaitForEvent) and (self.then or self.timeout):
            raise wrong("wait", "then and timeout belong to a wait for an event")
        return self


class When(Strict):
    """One arm of a branch."""

    when: Condition
    then: "tuple[Step, ...]"


class Else(Strict):
    """The arm for everybody else."""

    else_: "tuple[Step, ...]" = Field(alias="else")


def _arm_kind(value: Any) -> str:
    is_else = isinstance(value, Else) or (isinstance(value, dict) and "else" in value)
    return "arm:else" if is_else else "arm:when"


_Arm: TypeAlias = Annotated[
    Annotated[When, Tag("arm:when")] | Annotated[Else, Tag("arm:else")],
    Discriminator(_arm_kind),
]


class BranchStep(Strict):
    """The first arm whose condition holds."""

    id: StepName | None = None
    branch: Annotated[tuple[_Arm, ...], FILLED]

    @model_validator(mode="after")
    def _else_comes_last(self) -> "BranchStep":
        if any(isinstance(arm, Else) for arm in self.branch[:-1]):
            raise wrong("branch", "else comes last, and once")
        if isinstance(self.branch[0], Else):
            raise wrong("branch", "needs at least one when")
        return self


def _as_reason(value: Any) -> Any:
    return "exit" if value is None or value is True else value


class ExitStep(Strict):
    """Leave the journey, with a reason."""

    id: StepName | None = None
    exit: Annotated[
        str,
        BeforeValidator(_as_reason),
        StringConstraints(strict=True, min_length=1, max_length=100),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "null"}, {"const": True}]}),
    ]


class GotoStep(Strict):
    """Go on at another step."""

    id: StepName | None = None
    goto: StepName


STEP_KINDS: dict[str, type[Strict]] = {
    "send": SendStep,
    "wait": WaitStep,
    "branch": BranchStep,
    "exit": ExitStep,
    "goto": GotoStep,
}


def kind_of(step: Any) -> str | None:
    """The word that says what a step does, for a written step and for a parsed one."""
    if isinstance(step, dict):
        return next((kind for kind in STEP_KINDS if kind in step), None)
    return next((kind for kind, model in STEP_KINDS.items() if isinstance(step, model)), None)


def _step_tag(value: Any) -> str | None:
    kind = kind_of(value)
    return f"step:{kind}" if kind else None


Step: TypeAlias = Annotated[
    Annotated[SendStep, Tag("step:send")]
    | Annotated[WaitStep, Tag("step:wait")]
    | Annotated[BranchStep, Tag("step:branch")]
    | Annotated[ExitStep, Tag("step:exit")]
    | Annotated[GotoStep, Tag("step:goto")],
    Discriminator(
        _step_tag,
        custom_error_type="step",
        custom_error_message="should be a step: one of send, wait, branch, exit, goto",
    ),
]


class Journey(Strict):
    """Trigger, entry rules, exit rules and steps; immutable once published as a version."""

    schema_: Literal[1] = Field(alias="schema")
    journey: Name
    title: Title = Field(default_factory=dict[str, str])
    trigger: Trigger
    entry: Entry = Entry()
    exit: tuple[ExitRule, ...] = ()
    goal: Goal | None = None
    steps: "Annotated[tuple[Step, ...], FILLED]"


for _model in (WaitStep, When, Else, BranchStep, Journey):
    _model.model_rebuild()

Location: TypeAlias = tuple[str | int, ...]
"""Where something stands in a journey file: keys and indexes from the root."""


def lists_in(step: Step) -> Iterator[tuple[str, Location, "tuple[Step, ...]"]]:
    """The step lists inside ``step``: a name for each, where it stands, and its steps."""
    match step:
        case WaitStep(then=then, timeout=timeout):
            yield "then", ("then",), then
            yield "timeout", ("timeout",), timeout
        case BranchStep(branch=arms):
            for at, arm in enumerate(arms):
                if isinstance(arm, When):
                    yield f"when-{at + 1}", ("branch", at, "then"), arm.then
                else:
                    yield "else", ("branch", at, "else"), arm.else_
        case SendStep() | ExitStep() | GotoStep():
            pass
