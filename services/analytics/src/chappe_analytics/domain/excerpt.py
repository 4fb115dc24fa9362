"""A bounded look at an event's data: as it is when small, else what fits, the shortest cut."""

from typing import Any, cast

import msgspec

EXCERPT_BYTES_MAX = 4 * 1024
TEXT_LENGTH_MAX = 200
LIST_LENGTH_MAX = 3
DEPTH_MAX = 4

_encode = msgspec.json.Encoder(decimal_format="string").encode


def excerpt(data: dict[str, Any]) -> dict[str, Any]:
    """``data`` in at most 4 KB of JSON: long texts and lists are cut, then what still does not fit
    is left out, field by field.
    """
    if len(_encode(data)) <= EXCERPT_BYTES_MAX:
        return data
    left = EXCERPT_BYTES_MAX - len("{}")
    kept: dict[str, Any] = {}
    for name, value in data.items():
        cut = _cut(value, DEPTH_MAX)
        size = len(_encode({name: cut}))
        if size <= left:
            kept[name] = cut
            left -= size
    return kept


def _cut(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return value[:TEXT_LENGTH_MAX]
    if not depth:
        return None
    if isinstance(value, list):
        return [_cut(one, depth - 1) for one in cast("list[Any]", value)[:LIST_LENGTH_MAX]]
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {name: _cut(one, depth - 1) for name, one in fields.items()}
    return value
