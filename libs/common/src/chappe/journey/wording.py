"""What pydantic finds wrong, in the words of somebody who writes journeys."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from chappe.journey.cadence import Cadence, Cap, QuietHours
from chappe.journey.conditions import NODES, Comparison, Occasion, ScoreBounds, Times
from chappe.journey.definition import Location
from chappe.journey.names import EVENT_NAMES
from chappe.journey.problems import Problem, did_you_mean
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


def explained(error: ValidationError, root: type[Strict]) -> list[Problem]:
    """What pydantic found, in words. Of the forms a value may have, the one that was meant counts:
    that it is not ``off`` is not said of quiet hours that are wrong inside.
    """
    found = error.errors(include_url=False)
    deeper = {one["loc"][:-1] for one in found if one["type"] != "literal_error"}
    meant = {loc[:end] for loc in deeper for end in range(len(loc) + 1)}
    return [
        Problem(
            tuple(one["loc"]),
            _in_words(one["type"], one["msg"], one["loc"], one.get("input"), root),
        )
        for one in found
        if not (_is_form(one["loc"]) and one["loc"][:-1] in meant)
    ]


def _is_form(at: Location) -> bool:
    """True where the last part names a word that could stand there instead, not a key."""
    return bool(at) and str(at[-1]).startswith("literal[")


_PLAIN: Mapping[str, str] = {
    "missing": "is required",
    "tuple_type": "should be a list",
    "list_type": "should be a list",
    "string_type": "should be a text",
    "string_too_short": "should not be empty",
    "int_type": "should be a whole number",
    "int_from_float": "should be a whole number",
    "bool_type": "should be true or false",
}
_MAPPINGS = {"mapping", "model_type", "dict_type", "model_attributes_type"}


def _in_words(kind: str, message: str, at: Location, given: Any, root: type[Strict]) -> str:
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind in _MAPPINGS:
        return f"should be a mapping{_example_of(at)}"
    match kind:
        case "extra_forbidden":
            return _unknown_key(str(at[-1]), at[:-1], root)
        case "string_pattern_mismatch":
            return _badly_spelled(str(at[-1]), given)
        case "literal_error":
            return _choice(message, given)
        case "step":
            return _no_step(given, message)
        case "event_name":
            return message + did_you_mean(str(given), EVENT_NAMES)
        case "path":
            return message + _meant_path(str(given))
        case _:
            plain = message.removeprefix("Input ").removeprefix("Value error, ")
            return plain.removeprefix("String ")


def _meant_path(given: str) -> str:
    near = did_you_mean(given, ("event.", "contact.", "entry."))
    is_word = re.fullmatch(r"[A-Za-z0-9_-]{1,100}", given)
    return near or (f", did you mean 'contact.{given}'?" if is_word else "")


_OFTEN_WRITTEN: Mapping[str, str] = {
    "if": "when", "and": "all", "or": "any", "unless": "not", "do": "then", "equals": "is",
    "eq": "is", "ne": "not", "gt": "more_than", "gte": "at_least", "min": "at_least",
    "lt": "less_than", "lte": "at_most", "max": "at_most", "delay": "wait", "email": "send",
    "mail": "send", "condition": "branch", "stop": "exit", "start": "start_journey",
    "minimum": "at_least", "maximum": "at_most", "name": "journey", "id": "journey",
    "triggers": "trigger", "exits": "exit", "filters": "filter", "timeout": "at_most",
}  # fmt: skip
"""What others call it, and what it is called here."""


def _unknown_key(key: str, at: Location, root: type[Strict]) -> str:
    names = [str(part) for part in at if not isinstance(part, int)]
    own = names[-1].removeprefix("step:") if names and names[-1].startswith("step:") else None
    if own is not None and key in STEP_KINDS:
        return f"a step does one thing and this one is a {own}: write {key} as a step of its own"
    known = _keys_at(at, root)
    meant = _OFTEN_WRITTEN.get(key)
    hint = did_you_mean(key, known)
    if not hint and meant in known:
        hint = f", did you mean {meant!r}?"
    return f"unknown key{hint}"


def _no_step(given: Any, message: str) -> str:
    key = str(next(iter(as_mapping(given) or {}), ""))
    meant = _OFTEN_WRITTEN.get(key)
    hint = f", did you mean {meant!r}?" if meant in STEP_KINDS else did_you_mean(key, STEP_KINDS)
    return f"{key!r} is no step{hint or '; ' + message}" if key else message


def _badly_spelled(key: str, given: Any) -> str:
    match key:
        case "url" | "webhook":
            return f"{given!r} should be an address that begins with https:// or http://"
        case "email":
            return f"{given!r} should be an e-mail address"
        case _:
            return f"{given!r} should be lower-case letters, digits, - and _"


_EXAMPLES: Mapping[str, str] = {
    "trigger": "{event: order.placed}", "times": "{at_least: 3}", "send": "{template: hello}",
    "journey": "{finished: welcome}", "entry": "{again: always}", "match": "{event.ref: entry.key}",
    "goal": "{event: order.placed, within: 5d}", "topic": "{offers: subscribed}",
    "score": "{at_least: 50}", "inactive": "{event: order.placed, for: 90d}",
}  # fmt: skip


def _example_of(at: Location) -> str:
    keys = [str(part) for part in at if isinstance(part, str) and ":" not in part]
    shown = _EXAMPLES.get(keys[-1]) if keys else None
    return f" such as {shown}" if shown else ""


def _choice(message: str, given: Any) -> str:
    choices = re.findall(r"'([^']+)'", message)
    plain = message.removeprefix("Input ").replace("True", "true")
    return plain + (did_you_mean(str(given), choices) if len(choices) > 1 else "")


def _keys_at(at: Location, root: type[Strict]) -> set[str]:
    """The keys that could stand in the mapping at ``at``."""
    names = [str(part) for part in at if not isinstance(part, int)]
    model = _KEYS_UNDER.get(names[-1], Comparison) if names else root
    return {field.alias or name for name, field in model.model_fields.items()}
