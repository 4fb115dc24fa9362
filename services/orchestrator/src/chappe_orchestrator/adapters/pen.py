"""Liquid for the short texts of webhooks and notices: values and a few filters, no tags."""

from collections.abc import Mapping
from typing import Any

import liquid
from liquid.exceptions import LiquidError

TEXT_LENGTH_MAX = 20_000
FILTERS = (
    *("append", "capitalize", "ceil", "default", "downcase", "escape", "first", "floor", "json"),
    *("last", "lstrip", "prepend", "round", "rstrip", "size", "strip", "strip_html", "truncate"),
    *("upcase", "url_encode"),
)


class _Environment(liquid.Environment):
    loop_iteration_limit = 1_000
    output_stream_limit = TEXT_LENGTH_MAX
    context_depth_limit = 10
    local_namespace_limit = 10_000


def _environment() -> _Environment:
    environment = _Environment(autoescape=False, strict_filters=True)
    environment.filters = {
        name: environment.filters[name] for name in FILTERS if name in environment.filters
    }
    kept = {"output", "content", "illegal"}
    for name in [name for name in environment.tags if name not in kept]:
        environment.tags.pop(name)
    return environment


class LiquidPen:
    """``Pen`` over python-liquid."""

    def __init__(self) -> None:
        self._environment = _environment()

    def fill(self, text: str, values: Mapping[str, Any]) -> str:
        """Raises ``ValueError`` with a sentence."""
        if "{" not in text:
            return text
        try:
            return self._environment.from_string(text).render(**values)[:TEXT_LENGTH_MAX]
        except LiquidError as error:
            raise ValueError(str(error).partition("\n")[0]) from error
        except Exception as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error
