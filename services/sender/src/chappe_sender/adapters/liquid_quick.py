"""Liquid's own nodes and lookups with the common case short: a mail is a hundred of each.

Nothing means anything else than in python-liquid: whatever is not the common case (a value that is
no text, a path through anything but dictionaries) goes the library's own way.
"""

import re
from collections.abc import Mapping
from io import StringIO
from typing import Any, TextIO

import liquid
from liquid.builtin.content import ContentNode, Literal
from liquid.builtin.expressions import FilteredExpression, Path
from liquid.builtin.output import Output, OutputNode
from liquid.builtin.tags.for_tag import ForLoop, ForNode, ForTag
from liquid.context import RenderContext, builtin
from liquid.exceptions import BreakLoop, ContinueLoop, OutputStreamLimitError
from liquid.expression import Expression
from liquid.output import LimitedStringIO
from liquid.stringify import to_liquid_string
from liquid.token import Token
from liquid.undefined import UNDEFINED
from liquid.utils import ReadOnlyChainMap
from markupsafe import escape
from typing_extensions import override

_METHODS = frozenset(("size", "first", "last"))
"""What Liquid lets a path end with although no field is called so."""

_SPECIAL = re.compile("[&<>'\"]")

_write = StringIO.write


class Buffer(LimitedStringIO):
    """Output, measured as it grows; ASCII, which nearly all is, without encoding it to count."""

    @override
    def write(self, text: str, /) -> int:
        self.size += len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
        if self.size > self.limit:
            raise OutputStreamLimitError("output stream limit reached", token=None)
        return _write(self, text)


class _Scope(ReadOnlyChainMap):
    """Asks before it looks: a name that is not in a dictionary costs no exception."""

    @override
    def __getitem__(self, key: str) -> object:
        for mapping in self._maps:
            if key in mapping:
                return mapping[key]
        raise KeyError(key)


class Context(RenderContext):
    """Looks names up."""

    __slots__ = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.scope = _Scope(self.locals, self.globals, builtin, self.counters)

    @override
    def get(
        self, path: list[object], *, token: Token | None, default: object = UNDEFINED
    ) -> object:
        try:
            found: Any = self.scope[path[0]]  # pyright: ignore[reportArgumentType]
            for key in path[1:]:
                if found.__class__ is not dict or key.__class__ is not str or key in _METHODS:
                    return super().get(path, token=token, default=default)
                found = found[key]
        except (KeyError, TypeError, IndexError):
            return super().get(path, token=token, default=default)
        return found

    @override
    def get_buffer(self, buf: TextIO | None = None) -> StringIO:
        written = buf.size if isinstance(buf, LimitedStringIO) else 0
        return Buffer(limit=(self.env.output_stream_limit or 0) - written)


class Template(liquid.BoundTemplate):
    """A parsed template. Its environment has a limit of output, and disables no tag."""

    context_class = Context

    @override
    def _get_buffer(self) -> StringIO:
        return Buffer(limit=self.env.output_stream_limit or 0)

    @override
    def make_globals(self, render_args: Mapping[str, object]) -> Mapping[str, object]:
        plain = not (self.matter or self.globals)
        return render_args if plain else super().make_globals(render_args)


class _Content(ContentNode):
    __slots__ = ()

    @override
    def render(self, context: RenderContext, buffer: TextIO) -> int:
        return buffer.write(self.text)


class QuickLiteral(Literal):
    """Text of the template."""

    node_class = _Content


class _Names(Path):
    """A path without paths in it."""

    __slots__ = ()

    @override
    def evaluate(self, context: RenderContext) -> object:
        return context.get(self.path, token=self.token)  # pyright: ignore[reportArgumentType]


def _short(expression: Expression) -> Expression:
    """The same expression, with the short form of its path where it has one."""
    if not isinstance(expression, FilteredExpression):
        return expression
    left = expression.left
    if type(left) is Path and not any(isinstance(segment, Path) for segment in left.path):
        expression.left = _Names(left.token, left.path)
    return expression if expression.filters else expression.left


class _Shown(OutputNode):
    __slots__ = ()

    def __init__(self, token: Token, expression: Expression) -> None:
        super().__init__(token, _short(expression))

    @override
    def render(self, context: RenderContext, buffer: TextIO) -> int:
        value = self.expression.evaluate(context)
        if type(value) is not str:
            value = to_liquid_string(value, context.autoescape)
        elif context.autoescape and _SPECIAL.search(value):
            value = escape(value)
        return buffer.write(value)


class QuickOutput(Output):
    """``{{ … }}``."""

    node_class = _Shown


class _Loop(ForNode):
    __slots__ = ()

    @override
    def render(self, context: RenderContext, buffer: TextIO) -> int:
        if self.block.blank and context.env.suppress_blank_control_flow_blocks:
            return super().render(context, buffer)
        items, length = self.expression.evaluate(context)
        if not length:
            return self.default.render(context, buffer) if self.default else 0
        # Plain text: the library's own kind is compared in Python, at every look.
        name = str(self.expression.identifier)
        loop = ForLoop(
            name=f"{name}-{self.expression.iterable}",
            it=items,
            length=length,
            parentloop=context.parentloop(),
        )
        namespace: dict[str, object] = {"forloop": loop, name: None}
        written = 0
        with context.loop(namespace, loop):
            for item in loop:
                namespace[name] = item
                try:
                    for node in self.block.nodes:
                        written += node.render(context, buffer)
                except ContinueLoop:
                    continue
                except BreakLoop:
                    break
        return written


class QuickFor(ForTag):
    """``{% for … %}``."""

    node_class = _Loop
