"""Read a provider's JSON without trusting a single field of it."""

import datetime as dt
import hashlib
import json
import math
from collections.abc import Iterable
from typing import Any, Final, TypeAlias, cast

from chappe_sender.domain.bounces import Diagnosis, Kind, ProviderEvent, classify
from chappe_sender.domain.bounces.events import DEAD, FAILURES, BounceClass
from chappe_sender.domain.bounces.letters import address, one_line

Json: TypeAlias = dict[str, Any]

EVENTS_MAX: Final = 5_000
TEXT_MAX: Final = 2_000
_MILLISECONDS_FROM: Final = 100_000_000_000
_MICROSECONDS_FROM: Final = 100_000_000_000_000
MESSAGE_KEYS: Final = ("chappe-message", "chappe_message", "Chappe-Message")
"""Under which our own message id travels, as a header or as custom data."""


def parse(body: bytes) -> Any:
    """The JSON value in ``body``, or None."""
    try:
        return json.loads(body.removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError):
        return None


def objects(value: Any) -> list[Json]:
    """``value`` if it is an object, its objects if it is an array; bounded."""
    if isinstance(value, dict):
        return [cast("Json", value)]
    if isinstance(value, list):
        every = cast("list[Any]", value)[:EVENTS_MAX]
        return [cast("Json", each) for each in every if isinstance(each, dict)]
    return []


def obj(value: Any, *path: str) -> Json:
    """The object at ``path``, or an empty one."""
    for key in path:
        value = cast("Json", value).get(key) if isinstance(value, dict) else None
    return cast("Json", value) if isinstance(value, dict) else {}


def text(value: Any, *keys: str) -> str:
    """The first of ``keys`` that holds a word or a number, as text; else nothing."""
    for key in keys:
        found: Any = cast("Json", value).get(key) if isinstance(value, dict) else None
        if isinstance(found, str) and found.strip():
            return _printable(found.strip()[:TEXT_MAX])
        if isinstance(found, int | float) and not isinstance(found, bool):
            return str(found)
    return ""


def flag(value: Any, key: str) -> bool:
    """Whether a field is true, in any of the spellings seen."""
    found: Any = cast("Json", value).get(key) if isinstance(value, dict) else None
    return found in (True, 1, "1", "true", "True", "yes")


def mailbox(value: Any, *keys: str) -> str | None:
    """The address in the first of ``keys`` that has one (of a list, only when it is alone)."""
    for key in keys:
        found: Any = cast("Json", value).get(key) if isinstance(value, dict) else value
        if isinstance(found, list):
            every = cast("list[Any]", found)
            found = every[0] if len(every) == 1 else None
        if isinstance(found, str) and "@" in found:
            return address(found[:TEXT_MAX]) or one_line(_printable(found))
    return None


def moment(value: Any, *keys: str) -> dt.datetime | None:
    """The first of ``keys`` that is a time: ISO 8601, or seconds, milliseconds, microseconds."""
    for key in keys:
        found: Any = cast("Json", value).get(key) if isinstance(value, dict) else None
        at = _moment(found)
        if at is not None:
            return at
    return None


def own_message(*places: Any) -> str | None:
    """Our message id where the provider gives our data back: objects, or JSON in a string."""
    for place in places:
        data: Any = place
        if isinstance(data, str) and data[:1] in "{[":
            data = parse(data.encode("utf-8", "replace"))
        if isinstance(data, list):
            data = _named(cast("list[Any]", data))
        for key in MESSAGE_KEYS:
            found: Any = cast("Json", data).get(key) if isinstance(data, dict) else None
            if isinstance(found, list) and found:
                found = cast("list[Any]", found)[0]
            if isinstance(found, str) and found:
                return one_line(_printable(found))
    return None


def diagnose(words: str, hint: Diagnosis | None, *, field: str = "") -> Diagnosis:
    """What the receiver's words mean, or what the provider makes of them when they say little.

    That an address is dead is taken from a provider only where the words say nothing at all.
    """
    found = classify(words, field=field, failed=True)
    if hint is None or hint.bounce_class is BounceClass.UNKNOWN:
        return hint if hint and found.bounce_class is BounceClass.UNKNOWN else found
    says_nothing = found.bounce_class is BounceClass.UNKNOWN
    says_little = not found.sure or found.bounce_class is BounceClass.POLICY
    return hint if says_nothing or (says_little and hint.bounce_class not in DEAD) else found


def hinted(bounce_class: BounceClass, *, dead: bool = True) -> Diagnosis:
    """A provider's own category. ``dead``: it only says so of hard failures."""
    return Diagnosis(bounce_class, permanent=dead and bounce_class in DEAD, later=not dead)


def event(
    kind: Kind,
    *,
    recipient: str | None,
    at: dt.datetime | None,
    provider_message_id: str,
    reason: str = "",
    found: Diagnosis | None = None,
    message: str | None = None,
    url: str = "",
    user_agent: str = "",
    machine: bool = False,
    dedupe: Iterable[str] = (),
) -> ProviderEvent:
    """An event with empty words as None, and a verdict only where something failed.

    What will be tried again is never permanent. ``dedupe`` is the provider's own key, or empty:
    then it is derived from who, what, which message and when.
    """
    failed = kind in FAILURES
    diagnosis = found or Diagnosis(BounceClass.UNKNOWN, permanent=False, later=False)
    own = ":".join(dedupe)
    facts = (kind.value, provider_message_id, recipient or "", at.isoformat() if at else "", url)
    return ProviderEvent(
        kind=kind,
        recipient=recipient,
        bounce_class=diagnosis.bounce_class if failed else None,
        reason=one_line(reason),
        permanent=failed and kind is not Kind.DEFERRED and diagnosis.permanent,
        provider_message_id=provider_message_id or None,
        occurred_at=at,
        message=message,
        url=url or None,
        user_agent=one_line(user_agent),
        machine=machine,
        dedupe=own or hashlib.sha256("\n".join(facts).encode("utf-8", "replace")).hexdigest()[:40],
    )


def _moment(found: Any) -> dt.datetime | None:
    try:
        if isinstance(found, str):
            plain = found.strip()[:40]
            if plain.replace(".", "", 1).isascii() and plain.replace(".", "", 1).isdigit():
                return _moment(float(plain))
            at = dt.datetime.fromisoformat(_iso(plain))
            return (at if at.tzinfo else at.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)
        if isinstance(found, int | float) and not isinstance(found, bool) and math.isfinite(found):
            seconds = float(found)
            if seconds >= _MICROSECONDS_FROM:
                seconds /= 1_000_000
            elif seconds >= _MILLISECONDS_FROM:
                seconds /= 1_000
            return dt.datetime.fromtimestamp(seconds, dt.UTC) if seconds > 0 else None
    except (ValueError, OverflowError, OSError):
        return None
    return None


def _iso(plain: str) -> str:
    """Python 3.11 wants at most six digits of a second, Postmark gives seven and Go nine."""
    head, point, rest = plain.partition(".")
    if not point:
        return plain
    digits = len(rest) - len(rest.lstrip("0123456789"))
    return f"{head}.{rest[: min(digits, 6)]}{rest[digits:]}" if digits else plain


def _named(pairs: list[Any]) -> Json:
    """``[{"name": …, "value": …}]`` as an object."""
    found: Json = {}
    for pair in objects(pairs):
        found[text(pair, "name", "key").lower()] = pair.get("value")
    return found


def _printable(value: str) -> str:
    return value.encode("utf-8", "replace").decode()
