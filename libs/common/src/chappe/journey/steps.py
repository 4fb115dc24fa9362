"""The steps a journey is made of, and the lists of steps inside them."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    StrictBool,
    StrictInt,
    StringConstraints,
    Tag,
    WithJsonSchema,
    model_validator,
)

from chappe.journey.conditions import Condition
from chappe.journey.moments import Text, Weight, Word, is_several
from chappe.journey.values import (
    FILLED,
    Duration,
    EventName,
    Name,
    Path,
    Scalar,
    StepName,
    Strict,
    as_mapping,
    one_or_more,
    wrong,
)
from chappe.journey.waits import (
    ConditionWanted,
    EventWanted,
    WaitFor,
    WaitForOne,
    WaitUntilDate,
    WaitUntilTime,
)

ATTRIBUTES_MAX = 50
TAGS_MAX = 20
HEADERS_MAX = 20
VARIANTS_MAX = 10
ALTERNATIVES_MAX = 10


class EventPath(EventWanted):
    """One of several things to wait for, with the way it opens."""

    then: "tuple[Step, ...]" = ()


class ConditionPath(ConditionWanted):
    """One of several things to wait for, with the way it opens."""

    then: "tuple[Step, ...]" = ()


def _path_kind(value: Any) -> str:
    held = as_mapping(value)
    is_when = isinstance(value, ConditionPath) or (held is not None and "when" in held)
    return "path:when" if is_when else "path:event"


_Path: TypeAlias = Annotated[
    Annotated[EventPath, Tag("path:event")] | Annotated[ConditionPath, Tag("path:when")],
    Discriminator(_path_kind),
]
WaitPath: TypeAlias = EventPath | ConditionPath


class WaitForAny(Strict):
    """Wait for the first of several things, at most so long; each opens its own way."""

    for_: Annotated[tuple[_Path, ...], Field(max_length=ALTERNATIVES_MAX), FILLED] = Field(
        alias="for"
    )
    at_most: Duration
    restart: StrictBool = False


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and value.partition(".")[0] in ("event", "contact", "entry")


def _wait_kind(value: Any) -> str:
    for model, kind in _MODELS:
        if isinstance(value, model):
            return kind
    held = as_mapping(value)
    if held is None:
        return "wait:duration"
    if "time" in held:
        return "wait:time"
    if "until" in held or "on" in held:
        return "wait:date" if _is_path(held.get("until")) else "wait:until"
    return "wait:any" if is_several(held.get("for")) else "wait:for"


_MODELS: tuple[tuple[type[Strict], str], ...] = (
    (WaitFor, "wait:time"),
    (WaitUntilTime, "wait:until"),
    (WaitUntilDate, "wait:date"),
    (WaitForOne, "wait:for"),
    (WaitForAny, "wait:any"),
)

Wait: TypeAlias = Annotated[
    Annotated[Duration, Tag("wait:duration")]
    | Annotated[WaitFor, Tag("wait:time")]
    | Annotated[WaitUntilTime, Tag("wait:until")]
    | Annotated[WaitUntilDate, Tag("wait:date")]
    | Annotated[WaitForOne, Tag("wait:for")]
    | Annotated[WaitForAny, Tag("wait:any")],
    Discriminator(_wait_kind),
]


class WaitStep(Strict):
    """Let time pass, or wait for something: ``then`` when it came, ``timeout`` when it did not."""

    id: StepName | None = None
    wait: Wait
    then: "tuple[Step, ...]" = ()
    timeout: "tuple[Step, ...]" = ()

    @model_validator(mode="after")
    def _paths_fit(self) -> "WaitStep":
        if not isinstance(self.wait, WaitForOne | WaitForAny) and (self.then or self.timeout):
            raise wrong("wait", "then and timeout belong to a wait for an event")
        if isinstance(self.wait, WaitForAny) and self.then:
            raise wrong("wait", "with several things to wait for, each has its own then")
        return self


class SendWhat(Strict):
    """A template, by name; ``topic`` overrides the template's, ``within`` its day of validity.

    In quiet hours it is postponed, over a frequency cap it is skipped, unless said otherwise.
    """

    template: Name
    channel: Literal["email", "sms"] = "email"
    topic: Name | None = None
    within: Duration | None = None
    if_capped: Literal["skip", "postpone"] = "skip"
    if_quiet: Literal["skip", "postpone"] = "postpone"


class SendStep(Strict):
    """Ask for one message."""

    id: StepName | None = None
    send: SendWhat


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


class Variant(Strict):
    """One way of a split; the share it takes is its weight among all weights."""

    variant: Name
    weight: Weight = 1
    then: "tuple[Step, ...]" = ()


class Split(Strict):
    """Which way a contact takes is drawn once, from its name, and stays.

    ``winner`` is the event by which the variants are compared.
    """

    variants: Annotated[tuple[Variant, ...], Field(max_length=VARIANTS_MAX), FILLED]
    winner: EventName | None = None

    @model_validator(mode="after")
    def _differ(self) -> "Split":
        names = [one.variant for one in self.variants]
        if len(set(names)) < len(names):
            raise wrong("split", "two variants have one name")
        return self


def _as_split(value: Any) -> Any:
    return {"variants": value} if is_several(value) else value


class SplitStep(Strict):
    """Try several ways on some of the people each."""

    id: StepName | None = None
    split: Annotated[
        Split,
        BeforeValidator(_as_split, json_schema_input_type=Split | tuple[Variant, ...]),
    ]


class FromPath(Strict):
    """The value that stands at a path."""

    from_: Path = Field(alias="from")


def _value_kind(value: Any) -> str:
    is_path = isinstance(value, FromPath) or as_mapping(value) is not None
    return "set:from" if is_path else "set:value"


_Value: TypeAlias = Annotated[
    Annotated[FromPath, Tag("set:from")] | Annotated[Scalar, Tag("set:value")],
    Discriminator(_value_kind),
]
_Attribute = Annotated[str, StringConstraints(strict=True, pattern=r"^[A-Za-z0-9_$-]{1,100}$")]
_Words = Annotated[
    tuple[Word, ...], Field(max_length=TAGS_MAX), FILLED, *one_or_more({"type": "string"})
]
_RESERVED = {"consent", "tags", "email", "phone"}


class UpdateWhat(Strict):
    """Attributes to set (null removes), tags, points, a topic to leave. Never raises consent."""

    set: Annotated[dict[_Attribute, _Value | None], Field(max_length=ATTRIBUTES_MAX)] = Field(
        default_factory=dict[str, Any]
    )
    add_tags: _Words | None = None
    remove_tags: _Words | None = None
    score: Annotated[StrictInt, Field(ge=-1_000_000, le=1_000_000)] | None = None
    opt_out: Name | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "UpdateWhat":
        if not self.model_fields_set:
            raise wrong("update", "needs set, add_tags, remove_tags, score or opt_out")
        if reserved := sorted(_RESERVED & self.set.keys()):
            raise wrong("update", f"{reserved[0]!r} cannot be set by a journey")
        return self


class UpdateStep(Strict):
    """Change what we know of the contact."""

    id: StepName | None = None
    update: UpdateWhat


_Url = Annotated[str, StringConstraints(strict=True, pattern=r"^https?://", max_length=2_000)]


_Address = Annotated[
    str, StringConstraints(strict=True, pattern=r"^[^@\s]+@[^@\s]+$", max_length=320)
]


class WebhookWhat(Strict):
    """A call to somebody's server, signed as Standard Webhooks say, tried again until ``within``.

    ``body`` may hold Liquid in its texts; without it the contact, the event and the entry are sent.
    The answer can be read later at ``entry.webhook.STEP``: ``status``, ``ok``, ``body``.
    """

    url: _Url
    method: Literal["POST", "PUT", "PATCH", "GET", "DELETE"] = "POST"
    headers: Annotated[dict[Word, Text], Field(max_length=HEADERS_MAX)] = Field(
        default_factory=dict[str, str]
    )
    body: Any = None
    within: Duration | None = None


class WebhookStep(Strict):
    """Tell another program; the contact does not wait for the answer."""

    id: StepName | None = None
    webhook: WebhookWhat


class NotifyWhat(Strict):
    """A word to your own people, by e-mail or to an address of theirs. Texts may hold Liquid."""

    email: Annotated[str, StringConstraints(strict=True, pattern=r"^[^@\s]+@[^@\s]+$")] | None = (
        None
    )
    webhook: _Url | None = None
    subject: Text | None = None
    text: Text

    @model_validator(mode="after")
    def _goes_somewhere(self) -> "NotifyWhat":
        if (self.email is None) == (self.webhook is None):
            raise wrong("notify", "needs either email or webhook")
        return self


class NotifyStep(Strict):
    """Tell somebody of the team."""

    id: StepName | None = None
    notify: NotifyWhat


class GoalStep(Strict):
    """Whoever comes here has reached the journey's goal, under this name."""

    id: StepName | None = None
    goal: Word


class StartJourneyStep(Strict):
    """Ask for another journey, which must take requests of journeys; go on here."""

    id: StepName | None = None
    start_journey: Name


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
    "split": SplitStep,
    "update": UpdateStep,
    "webhook": WebhookStep,
    "notify": NotifyStep,
    "goal": GoalStep,
    "start_journey": StartJourneyStep,
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
    | Annotated[SplitStep, Tag("step:split")]
    | Annotated[UpdateStep, Tag("step:update")]
    | Annotated[WebhookStep, Tag("step:webhook")]
    | Annotated[NotifyStep, Tag("step:notify")]
    | Annotated[GoalStep, Tag("step:goal")]
    | Annotated[StartJourneyStep, Tag("step:start_journey")]
    | Annotated[ExitStep, Tag("step:exit")]
    | Annotated[GotoStep, Tag("step:goto")],
    Discriminator(
        _step_tag,
        custom_error_type="step",
        custom_error_message=f"should be a step: one of {', '.join(STEP_KINDS)}",
    ),
]

_NAMESPACE = {"Step": Step}
for _model in (EventPath, ConditionPath, WaitForAny, WaitStep, When, Else, BranchStep):
    _model.model_rebuild(force=True, _types_namespace=_NAMESPACE)
for _model in (Variant, Split, SplitStep):
    _model.model_rebuild(force=True, _types_namespace=_NAMESPACE)
