"""Liquid, with every limit set: a template is a stranger's program, and gets a stranger's room."""

import re
from dataclasses import dataclass
from typing import Any, cast

import liquid
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.exceptions import LiquidError, ResourceLimitError
from liquid.undefined import Undefined
from typing_extensions import override

from chappe_sender.adapters import liquid_filters as filters
from chappe_sender.adapters import shop_blocks
from chappe_sender.adapters.liquid_quick import QuickFor, QuickLiteral, QuickOutput, Template
from chappe_sender.application.ports import ContentError
from chappe_sender.domain.liquid_swap import unclosed
from chappe_sender.domain.template import Problem

_OUTPUT_BYTES_MAX = 1_000_000
_DROPPED_TAGS = ("include", "render")


class _Environment(liquid.Environment):
    loop_iteration_limit = 10_000
    output_stream_limit = _OUTPUT_BYTES_MAX
    context_depth_limit = 30
    local_namespace_limit = 200_000
    block_nesting_limit = 30
    template_class = Template


def _bounded_range(_: RangeLiteral, start: Any, stop: Any) -> range:
    try:
        first, last = int(start), int(stop)
    except (ValueError, TypeError):
        return range(0)
    if last - first >= filters.ITEMS_MAX:
        raise ResourceLimitError("the range is too long", token=None)
    return range(first, last + 1)


# A range is a value like any other, and `contains` walks it: only here can its length be bounded.
setattr(RangeLiteral, "_make_range", _bounded_range)  # noqa: B010


def _environment(*, autoescape: bool, undefined: type[Undefined] = Undefined) -> _Environment:
    environment = _Environment(autoescape=autoescape, strict_filters=True, undefined=undefined)
    own = {name: environment.filters[name] for name in filters.ALLOWED}
    own |= {"money": filters.money, "date": filters.date, "number": filters.number}
    own["products"] = shop_blocks.table if autoescape else shop_blocks.lines
    environment.filters = {name: filters.guarded(name, function) for name, function in own.items()}
    for tag in _DROPPED_TAGS:
        environment.tags.pop(tag)
    environment.add_tag(QuickLiteral)
    environment.add_tag(QuickOutput)
    environment.add_tag(QuickFor)
    return environment


_HTML = _environment(autoescape=True)
_TEXT = _environment(autoescape=False)

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
DEPTH_MAX = 32

KNOWN_ROOTS = frozenset(
    ("contact", "event", "entry", "brand", "workspace", "unsubscribe_url", "preferences_url",
     "coupon", "confirm_url", "locale", "time_zone", "now", "forloop", "tablerowloop")
)  # fmt: skip


class RenderFailed(ContentError):
    """The template could not be filled in for this contact; the message says why."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A parsed template, ready to fill in."""

    template: liquid.BoundTemplate

    def render(self, values: dict[str, Any]) -> str:
        """Raises ``RenderFailed`` and nothing else."""
        try:
            return str(self.template.render(values))
        except LiquidError as error:
            raise RenderFailed(_first_line(error)) from error
        except Exception as error:
            raise RenderFailed(f"{type(error).__name__}: {error}"[:300]) from error


def compile_html(source: str) -> Compiled:
    """Values are escaped."""
    return Compiled(_HTML.from_string(source))


def compile_text(source: str) -> Compiled:
    """Values are shown as they are: for the subject and the plain text."""
    return Compiled(_TEXT.from_string(source))


def clean(value: Any, depth: int = 0) -> Any:
    """``value`` without control characters anywhere, which our marks are made of."""
    if isinstance(value, str):
        return value if value.isprintable() else _CONTROLS.sub("", value)
    if depth >= DEPTH_MAX:
        return None
    if isinstance(value, dict):
        fields = cast("dict[Any, Any]", value)
        return {
            key if type(key) is str and key.isprintable() else clean(str(key)): clean(
                item, depth + 1
            )
            for key, item in fields.items()
        }
    if isinstance(value, list | tuple):
        return [clean(item, depth + 1) for item in cast("list[Any]", value)]
    return value


@dataclass(frozen=True, slots=True)
class Miss:
    """A variable that was shown and not there, and on which line of the source."""

    line: int
    path: str


def misses(source: str, values: dict[str, Any]) -> list[Miss]:
    """Fill ``source`` in, and give what it shows without having it: no default, no condition.

    Each variable once. Raises ``RenderFailed``.
    """
    found: dict[str, Miss] = {}

    class Noted(Undefined):
        @override
        def __str__(self) -> str:
            path = (self.hint or self.name).removesuffix(" is undefined")
            at = int(getattr(self.token, "start_index", 0) or 0)
            found.setdefault(path, Miss(_line(source, at), path))
            return ""

    environment = _environment(autoescape=True, undefined=Noted)
    Compiled(environment.from_string(source)).render(values)
    return sorted(found.values(), key=lambda miss: (miss.line, miss.path))


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a piece of Liquid, and on which of its lines, when known."""

    line: int | None
    what: str


def check(source: str) -> list[Fault]:
    """Everything wrong that can be known without values: syntax, filters, names of variables."""
    if (line := unclosed(source)) is not None:
        return [Fault(line, "a {{ or {% is never closed")]
    try:
        template = _HTML.from_string(source)
        found = template.analyze()
    except LiquidError as error:
        context = error.context()
        return [Fault(context[0] if context else None, _first_line(error))]
    except Exception as error:  # noqa: BLE001 - a stranger's program may fail in any way
        return [Fault(None, f"Liquid cannot read it ({type(error).__name__})")]
    faults = [
        Fault(_line(source, spans[0].index), f"unknown filter {name!r}")
        for name, spans in found.filters.items()
        if name not in _HTML.filters
    ]
    faults += [
        Fault(
            _line(source, variables[0].span.index),
            f"unknown variable {name!r} (known: {', '.join(sorted(KNOWN_ROOTS))})",
        )
        for name, variables in found.globals.items()
        if name not in KNOWN_ROOTS
    ]
    return faults


def takes(source: str, name: str) -> bool:
    """Whether ``source`` takes this variable from outside; not, when it cannot be read."""
    if check(source):
        return False
    return name in _HTML.from_string(source).analyze().globals


def problems(source: str, where: str, first_line: int) -> list[Problem]:
    """The faults of ``source``, which begins on ``first_line`` of the file ``where``."""
    return [
        Problem(f"{where}:{first_line + fault.line - 1}" if fault.line else where, fault.what)
        for fault in check(source)
    ]


def _line(source: str, index: int) -> int:
    return source.count("\n", 0, max(index, 0)) + 1


def _first_line(error: LiquidError) -> str:
    return str(error.args[0] if error.args else error).partition("\n")[0][:300]
