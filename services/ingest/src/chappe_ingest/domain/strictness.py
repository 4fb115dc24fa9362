"""What is wrong with a call of the Segment API, for senders that ask (``X-Strict-Mode``)."""

from chappe_ingest.domain.reading import Json, Unreadable, parse
from chappe_ingest.domain.sources.segment import CALLS


def faults(call: str | None, body: bytes, where: str) -> list[dict[str, str]]:
    """``[{"where", "what"}]``; empty when the call is fine. ``call`` is None inside a batch."""
    try:
        document = parse(body)
    except Unreadable as error:
        return [{"where": where.rstrip(".") or "body", "what": str(error)}]
    return [{"where": where + field, "what": what} for field, what in _faults(call, document)]


def _faults(call: str | None, document: Json) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    kind = call or document.get("type")
    if kind not in CALLS:
        found.append(("type", f"one of {', '.join(CALLS)}"))
    if not any(_named(document.get(name)) for name in ("userId", "anonymousId")):
        found.append(("userId", "userId or anonymousId is required, as text"))
    if kind == "track" and not _named(document.get("event")):
        found.append(("event", "the event's name is required, as text"))
    if kind == "group" and not _named(document.get("groupId")):
        found.append(("groupId", "required, as text"))
    if kind == "alias" and not _named(document.get("previousId")):
        found.append(("previousId", "required, as text"))
    found += [
        (name, "an object is expected")
        for name in ("traits", "properties", "context")
        if not isinstance(document.get(name), dict | None)
    ]
    return found


def _named(value: object) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (isinstance(value, str) and value.strip() != "")
