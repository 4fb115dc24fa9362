"""Hide Liquid from tools that read markup, and put it back.

MJML and HTML parsers stumble over ``{% if a < b %}`` and move text that stands between table rows.
Each piece of Liquid becomes a word where only a word may stand (attributes, styles, titles) and a
comment where tags may stand, because no parser moves a comment.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

_MARK = re.compile(r"<!--|-->|<(/?)([A-Za-z][\w:-]*)|/?>|[\"']")
_CLOSERS = {"{{": "}}", "{%": "%}"}
_WORDS_ONLY = frozenset(
    ("style", "script", "title", "textarea", "mj-head", "mj-accordion-title", "mj-style")
)


@dataclass(frozen=True, slots=True)
class Swapped:
    """Markup without Liquid; placeholder ``n`` stands for ``pieces[n]``, found on ``lines[n]``."""

    text: str
    pieces: list[str]
    lines: list[int]
    placeholder: re.Pattern[str]

    def restore(self, text: str) -> str:
        """Put every piece back, wherever and however often its placeholder went."""
        return self.placeholder.sub(lambda match: self.pieces[_number(match)], text)

    def missing(self, text: str) -> list[int]:
        """Placeholders that a tool dropped from ``text``."""
        kept = {_number(match) for match in self.placeholder.finditer(text)}
        return [number for number in range(len(self.pieces)) if number not in kept]


def _number(match: re.Match[str]) -> int:
    return int(match[1] or match[2])


def blank(source: str) -> str:
    """``source`` with Liquid painted over by spaces; every line stays where it was."""
    out: list[str] = []
    at = 0
    for start, end in spans(source):
        out += (source[at:start], re.sub(r"[^\n]", " ", source[start:end]))
        at = end
    return "".join((*out, source[at:]))


def spans(source: str) -> Iterator[tuple[int, int]]:
    """Where Liquid stands, in order. One pass, whatever is left open: a regular expression would
    look for the end again and again.
    """
    at = 0
    while (start := _next_opener(source, at)) >= 0:
        end = source.find(_CLOSERS[source[start : start + 2]], start + 2)
        if end < 0:
            return
        at = end + 2
        yield start, at


def _next_opener(source: str, at: int) -> int:
    while (start := source.find("{", at)) >= 0:
        if source[start : start + 2] in _CLOSERS:
            return start
        at = start + 1
    return -1


def unclosed(source: str) -> int | None:
    """The line of a piece of Liquid that never ends."""
    at = 0
    for _, end in spans(source):
        at = end
    start = _next_opener(source, at)
    return source.count("\n", 0, start) + 1 if start >= 0 else None


def swap(source: str) -> Swapped:
    """Take the Liquid out of MJML or HTML."""
    salt = "lq" + hashlib.blake2b(source.encode("utf-8", "replace"), digest_size=4).hexdigest()
    pieces: list[str] = []
    lines: list[int] = []
    out: list[str] = []
    at = 0
    line = 1
    state = _Markup()
    for start, end in spans(source):
        between, liquid = source[at:start], source[start:end]
        state.feed(between)
        line += between.count("\n")
        word = f"{salt}x{len(pieces)}z"
        as_comment = liquid.startswith("{%") and state.in_text
        out += (between, f"<!--{word}-->" if as_comment else word)
        pieces.append(liquid)
        lines.append(line)
        line += liquid.count("\n")
        at = end
    out.append(source[at:])
    pattern = re.compile(rf"<!--{salt}x(\d+)z-->|{salt}x(\d+)z")
    return Swapped("".join(out), pieces, lines, pattern)


class _Markup:
    """Where in the markup we are: text, a tag, a comment, or an element that holds only words."""

    def __init__(self) -> None:
        self._comment = False
        self._tag = ""
        self._closing = False
        self._quote = ""
        self._words_only: str | None = None

    @property
    def in_text(self) -> bool:
        return not (self._comment or self._tag or self._words_only)

    def feed(self, markup: str) -> None:
        for token in _MARK.finditer(markup):
            self._step(token)

    def _step(self, token: re.Match[str]) -> None:
        mark = token[0]
        if self._comment:
            self._comment = mark != "-->"
        elif self._tag:
            self._in_tag(mark)
        elif token[2]:
            self._open_tag(token)
        elif mark == "<!--" and self._words_only is None:
            self._comment = True

    def _open_tag(self, token: re.Match[str]) -> None:
        name = token[2].lower()
        if self._words_only is not None and (not token[1] or name != self._words_only):
            return
        self._tag, self._closing = name, bool(token[1])

    def _in_tag(self, mark: str) -> None:
        if self._quote:
            if mark == self._quote:
                self._quote = ""
        elif mark in {'"', "'"}:
            self._quote = mark
        elif mark in {">", "/>"}:
            if self._closing:
                self._words_only = None
            elif self._tag in _WORDS_ONLY and mark == ">":
                self._words_only = self._tag
            self._tag, self._closing = "", False
