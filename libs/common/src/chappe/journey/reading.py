"""Read a journey file, and say everything that is wrong with it at once, each with its place.

Plain scalars are read as in YAML 1.2: ``no`` and ``12:30`` are texts. Anchors are refused.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import ValidationError

from chappe.journey.cadence import Cadence, Cap, QuietHours
from chappe.journey.conditions import NODES, Comparison, Occasion, ScoreBounds, Times
from chappe.journey.definition import Journey, Location
from chappe.journey.ids import with_ids
from chappe.journey.names import EVENT_NAMES
from chappe.journey.problems import Problem, did_you_mean, problems_in
from chappe.journey.rules import (
    EXIT_KINDS,
    Cooldown,
    Entry,
    Goal,
    Match,
)
from chappe.journey.steps import (
    STEP_KINDS,
    ConditionPath,
    Else,
    EventPath,
    FromPath,
    NotifyWhat,
    SendWhat,
    Split,
    UpdateWhat,
    Variant,
    WaitForAny,
    WebhookWhat,
    When,
)
from chappe.journey.texts import problems_in_texts
from chappe.journey.triggers import (
    TRIGGER_KINDS,
    JourneyChange,
    SegmentChange,
    Silence,
    TagChange,
)
from chappe.journey.values import Strict, as_mapping
from chappe.journey.waits import (
    ConditionWanted,
    EventWanted,
    WaitFor,
    WaitForOne,
    WaitUntilDate,
    WaitUntilTime,
)

FILE_BYTES_MAX = 128 * 1024
NESTING_MAX = 100
PROBLEMS_MAX = 100


@dataclass(frozen=True, slots=True)
class Complaint:
    """A problem with its place in the file; line and column count from 1."""

    file: str
    line: int
    column: int
    path: str
    what: str

    @property
    def where(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}"
        return f"{place}: {self.path}" if self.path else place

    @property
    def sentence(self) -> str:
        """``file:line:col: path: what``."""
        return f"{self.where}: {self.what}"


class JourneyInvalidError(Exception):
    """The journey cannot be accepted. ``complaints`` says why, in the order of the file."""

    def __init__(self, complaints: tuple[Complaint, ...]) -> None:
        super().__init__("\n".join(one.sentence for one in complaints))
        self.complaints = complaints


def read_journey(
    text: str,
    *,
    file: str = "journey.yaml",
    templates: Collection[str] | None = None,
    problem_with: Callable[[str], str | None] | None = None,
) -> Journey:
    """The journey in a YAML or JSON text, with every step id written out.

    ``templates`` are the names that a send step may use; ``problem_with`` says what is wrong with
    a text that may hold Liquid. None leaves either unchecked. Raises ``JourneyInvalidError``.
    """
    root, value, found = _parse(text, file)
    journey: Journey | None = None
    if not found:
        try:
            journey = Journey.model_validate(value)
            problems = problems_in(journey, templates)
            if problem_with is not None:
                problems += problems_in_texts(journey, problem_with)
        except ValidationError as error:
            problems = _explained(error)
        found = [_located(problem, root, file) for problem in problems]
    if found or journey is None:
        ordered = sorted(found, key=lambda one: (one.line, one.column))
        raise JourneyInvalidError(tuple(ordered[:PROBLEMS_MAX]))
    return with_ids(journey)


def canonical_json(journey: Journey) -> bytes:
    """What is stored: every id written, defaults that were left out still out."""
    return with_ids(journey).model_dump_json(by_alias=True, exclude_unset=True).encode()


def stored_journey(definition: bytes | str) -> Journey:
    """Read back what ``canonical_json`` wrote."""
    return Journey.model_validate_json(definition)


def journey_schema() -> dict[str, Any]:
    """The JSON Schema of a journey file."""
    schema = Journey.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


class _YamlError(Exception):
    def __init__(self, mark: yaml.Mark, what: str) -> None:
        super().__init__(what)
        self.mark = mark


def _parse(text: str, file: str) -> tuple[yaml.Node | None, Any, list[Complaint]]:
    if len(text.encode("utf-8", "surrogatepass")) > FILE_BYTES_MAX:
        return None, None, [Complaint(file, 1, 1, "", f"is larger than {FILE_BYTES_MAX} bytes")]
    try:
        root = yaml.compose(text, yaml.SafeLoader)
        if root is None:
            return None, None, [Complaint(file, 1, 1, "", "is empty")]
        duplicates: list[Complaint] = []
        value = _value(root, file, duplicates, set(), 0)
    except _YamlError as error:
        return None, None, [_at_mark(error.mark, str(error), file)]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return None, None, [_at_mark(mark, error.problem or "is not YAML", file)]
    except yaml.YAMLError as error:
        return None, None, [Complaint(file, 1, 1, "", f"is not YAML: {error}")]
    except RecursionError:
        return None, None, [Complaint(file, 1, 1, "", "is nested too deeply")]
    return root, value, duplicates


def _at_mark(mark: yaml.Mark | None, what: str, file: str) -> Complaint:
    return Complaint(file, mark.line + 1 if mark else 1, mark.column + 1 if mark else 1, "", what)


def _value(
    node: yaml.Node, file: str, complaints: list[Complaint], seen: set[int], depth: int
) -> Any:
    """The plain value of a node. A node met twice is an alias: refused, as it may multiply."""
    if id(node) in seen:
        raise _YamlError(node.start_mark, "anchors and aliases are not supported")
    seen.add(id(node))
    if depth > NESTING_MAX:
        raise _YamlError(node.start_mark, "is nested too deeply")
    if isinstance(node, yaml.SequenceNode):
        return [_value(one, file, complaints, seen, depth + 1) for one in node.value]
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key, held in node.value:
            name = _value(key, file, complaints, seen, depth + 1)
            if not isinstance(name, str):
                raise _YamlError(key.start_mark, "a key must be a text")
            if name in found:
                complaints.append(_at_mark(key.start_mark, f"{name!r} is given twice", file))
            found[name] = _value(held, file, complaints, seen, depth + 1)
        return found
    return _scalar(node)


_NUMBERS: tuple[tuple[re.Pattern[str], Callable[[str], int | float]], ...] = (
    (re.compile(r"[-+]?[0-9]{1,18}"), int),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?"), float),
)
_WORDS = {"true": True, "True": True, "false": False, "False": False, "null": None, "~": None}


def _scalar(node: yaml.Node) -> Any:
    text: str = node.value
    if not isinstance(node, yaml.ScalarNode) or node.style is not None:
        return text
    if text == "" or text in _WORDS:
        return _WORDS.get(text)
    for pattern, number in _NUMBERS:
        if pattern.fullmatch(text):
            return number(text)
    return text


_KEYS_UNDER: Mapping[str, type[Strict]] = {
    "entry": Entry,
    "goal": Goal,
    "match": Match,
    "cadence": Cadence,
    "quiet_hours": QuietHours,
    "caps": Cap,
    "send": SendWhat,
    "update": UpdateWhat,
    "webhook": WebhookWhat,
    "notify": NotifyWhat,
    "split": Split,
    "variants": Variant,
    "set:from": FromPath,
    "tag": TagChange,
    "list": TagChange,
    "segment": SegmentChange,
    "inactive": Silence,
    "journey": JourneyChange,
    "for:event": EventWanted,
    "for:when": ConditionWanted,
    "path:event": EventPath,
    "path:when": ConditionPath,
    "times": Times,
    "again:cooldown": Cooldown,
    "wait:time": WaitFor,
    "wait:until": WaitUntilTime,
    "wait:date": WaitUntilDate,
    "wait:for": WaitForOne,
    "wait:any": WaitForAny,
    "arm:when": When,
    "arm:else": Else,
    "at": Occasion,
    "opened": Times,
    "clicked": Times,
    "score": ScoreBounds,
    **NODES,
    **{f"on:{kind}": model for kind, model in TRIGGER_KINDS.items()},
    **{f"exit:{kind}": model for kind, model in EXIT_KINDS.items()},
    **{f"step:{kind}": model for kind, model in STEP_KINDS.items()},
}
"""The model that stands under a key or a tag of a validation error's location."""


def _explained(error: ValidationError) -> list[Problem]:
    return [
        Problem(tuple(one["loc"]), _in_words(one["type"], one["msg"], one["loc"], one.get("input")))
        for one in error.errors(include_url=False)
    ]


def _in_words(kind: str, message: str, at: Location, given: Any) -> str:
    match kind:
        case "missing":
            return "is required"
        case "extra_forbidden":
            return f"unknown key{did_you_mean(str(at[-1]), _keys_at(at[:-1]))}"
        case "string_pattern_mismatch":
            return f"{given!r} should be lower-case letters, digits, - and _"
        case "literal_error":
            return _choice(message, given)
        case "step":
            return message + did_you_mean(_first_key(given), STEP_KINDS)
        case "event_name":
            return message + did_you_mean(str(given), EVENT_NAMES)
        case "path":
            return message + did_you_mean(str(given), ("event.", "contact.", "entry."))
        case "mapping" | "model_type" | "dict_type" | "model_attributes_type":
            return "should be a mapping"
        case "tuple_type" | "list_type":
            return "should be a list"
        case _:
            return message.removeprefix("Input ").removeprefix("Value error, ")


def _first_key(given: Any) -> str:
    return str(next(iter(as_mapping(given) or {}), ""))


def _choice(message: str, given: Any) -> str:
    choices = re.findall(r"'([^']+)'", message)
    return message.removeprefix("Input ") + did_you_mean(str(given), choices)


def _keys_at(at: Location) -> set[str]:
    """The keys that could stand in the mapping at ``at``."""
    names = [str(part) for part in at if not isinstance(part, int)]
    model = _KEYS_UNDER.get(names[-1], Comparison) if names else Journey
    return {field.alias or name for name, field in model.model_fields.items()}


def _located(problem: Problem, root: yaml.Node | None, file: str) -> Complaint:
    """Follow the location as far as the file goes; parts that are no key are tags of a union."""
    node, path = root, ""
    mark = root.start_mark if root else None
    for part in problem.at:
        if isinstance(node, yaml.MappingNode):
            pair = next(((key, held) for key, held in node.value if key.value == part), None)
            if pair is not None:
                mark, node = pair[0].start_mark, pair[1]
                path += f".{part}" if path else str(part)
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part]
            mark = node.start_mark
            path += f"[{part}]"
    missing = problem.what == "is required"
    if missing and problem.at:
        path += f".{problem.at[-1]}" if path else str(problem.at[-1])
    complaint = _at_mark(mark, problem.what, file)
    return Complaint(file, complaint.line, complaint.column, path, problem.what)
