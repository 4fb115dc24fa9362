"""The Liquid of the short texts of webhooks and notices: values and a few filters, no tags."""

import functools

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


@functools.cache
def environment() -> liquid.Environment:
    """What a text may use, and how much."""
    made = _Environment(autoescape=False, strict_filters=True)
    made.filters = {name: made.filters[name] for name in FILTERS if name in made.filters}
    kept = {"output", "content", "illegal"}
    for name in [name for name in made.tags if name not in kept]:
        made.tags.pop(name)
    return made


def problem_with(text: str) -> str | None:
    """Why a text can never be filled in; None when nothing speaks against it."""
    if "{" not in text:
        return None
    try:
        used = environment().from_string(text).analyze().filters
    except LiquidError as error:
        return str(error).partition("\n")[0]
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        # A parser that stumbles over a text at publication would stumble at the step as well.
        return f"{type(error).__name__}: {error}"
    unknown = sorted(name for name in used if name not in FILTERS)
    return f"there is no filter {unknown[0]!r} here" if unknown else None
