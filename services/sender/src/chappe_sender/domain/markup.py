"""What is done once to a mail's HTML so that it costs nothing per message.

Works on HTML as css-inline writes it (every attribute in double quotes) with the Liquid swapped
out: white space collapsed, lines broken where white space does not matter, links numbered, a plain
text derived.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

from typing_extensions import override

from chappe_sender.domain.links import is_trackable
from chappe_sender.domain.liquid_swap import Swapped

LINK_START, LINK_TARGET, LINK_END, PIXEL = "\x02", "\x03", "\x04", "\x05"
"""Marks in compiled templates; neither sources nor values may hold them. A link to follow is
LINK_START index LINK_TARGET target LINK_END; PIXEL is where the open pixel goes."""

LINE_LETTERS_SOFT = 400
LINKS_MAX = 500

_TOKEN = re.compile(
    r"<!--.*?-->"
    r'|<(style|script|title|textarea|pre)\b(?:[^">]|"[^"]*")*>.*?</\1>'
    r'|<[a-zA-Z/!](?:[^">]|"[^"]*")*>',
    re.DOTALL | re.IGNORECASE,
)
_HREF = re.compile(r'(?<=\shref=")[^"]*(?=")')
_ANCHOR = re.compile(r"<(?:a|area)\s", re.IGNORECASE)
_BLANKS = re.compile(r"[ \t\r\f]+")
_NEWLINES = re.compile(r" ?\n[ \n]*")
_BETWEEN_ATTRIBUTES = re.compile(r'(?<=[^=]") (?=[A-Za-z_:])')
_OURS = re.compile(r"\b(?:unsubscribe_url|preferences_url|confirm_url)\b")
_UNSUBSCRIBE = re.compile(r"\bunsubscribe_url\b")
_FILLING = f"\n{'&#847; &#8199;' * 25}" * 2
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)


@dataclass(slots=True)
class Links:
    """The links of one mail: numbered targets to follow, and what else was met."""

    targets: list[str] = field(default_factory=list)
    relative: list[str] = field(default_factory=list)
    unsubscribe: bool = False


def tighten(page: str) -> str:
    """Collapse runs of white space outside ``pre`` and break long lines where it is harmless."""
    out: list[str] = []
    column = 0
    for token, is_text in _pieces(page):
        if not is_text and token[:4].lower() in {"<pre", "<tex"}:
            piece = token
        else:
            piece = _NEWLINES.sub("\n", _BLANKS.sub(" ", token))
            if column + _letters(piece.partition("\n")[0]) > LINE_LETTERS_SOFT:
                piece = _break_text(piece, column) if is_text else _break_tag(piece)
        out.append(piece)
        head, newline, _ = piece.rpartition("\n")
        column = _letters(piece) + column if not newline else _letters(piece[len(head) + 1 :])
    return "".join(out)


def _letters(text: str) -> int:
    return len(text.encode("ascii", "xmlcharrefreplace"))


def _break_tag(tag: str) -> str:
    if tag.startswith("<!") or " " not in tag:
        return tag
    broken = tag.replace(" ", "\n", 1)
    if len(broken) <= LINE_LETTERS_SOFT:
        return broken
    return _BETWEEN_ATTRIBUTES.sub("\n", broken)


def _break_text(text: str, column: int) -> str:
    out: list[str] = []
    for word in re.split(r"([ \n])", text):
        if word == " " and column > LINE_LETTERS_SOFT:
            out.append("\n")
            column = 0
            continue
        out.append(word)
        column = 0 if word == "\n" else column + _letters(word)
    return "".join(out)


def _pieces(page: str) -> Iterator[tuple[str, bool]]:
    at = 0
    for token in _TOKEN.finditer(page):
        if token.start() > at:
            yield page[at : token.start()], True
        yield token[0], False
        at = token.end()
    if at < len(page):
        yield page[at:], True


def number_links(page: str, swapped: Swapped) -> tuple[str, Links]:
    """Put marks around every link that can be followed through us.

    Never around unsubscribe and preferences, mailto, tel, fragments, or plain http: those go out
    as they are.
    """
    links = Links()

    def mark(href: re.Match[str], tag: str) -> str:
        raw = html.unescape(href[0]).strip()
        target = swapped.restore(raw)
        if _OURS.search(target) and target != raw:
            hidden = _HIDDEN.search(tag) is not None
            links.unsubscribe |= _UNSUBSCRIBE.search(target) is not None and not hidden
            return href[0]
        if not _may_follow(raw, target):
            if raw and target == raw and not re.match(r"[a-zA-Z][\w+.-]*:|#|//", raw):
                links.relative.append(raw)
            return href[0]
        links.targets.append(target)
        index = len(links.targets) - 1
        return f"{LINK_START}{index}{LINK_TARGET}{href[0].strip()}{LINK_END}"

    out = [
        _HREF.sub(lambda href, tag=token: mark(href, tag), token)
        if not is_text and _ANCHOR.match(token)
        else token
        for token, is_text in _pieces(page)
    ]
    return "".join(out), links


def _may_follow(raw: str, target: str) -> bool:
    """Whether a target as written could be one to follow; a dynamic one is judged when rendered."""
    if target == raw:
        return is_trackable(raw)
    scheme = re.match(r"([a-zA-Z][a-zA-Z0-9+.-]*):", raw)
    return scheme is None or scheme[1].lower() in {"https", "http"} or scheme[1].startswith("lq")


def add_title(page: str, text: str) -> str:
    """Give an empty title the subject: screen readers say it first, browsers put it on the tab."""
    return page.replace("<title></title>", f"<title>{html.escape(text, quote=False)}</title>", 1)


def add_preheader(page: str, text: str) -> str:
    """Show ``text`` in the list of mails and hide it in the mail.

    What follows is as wide as nothing and fills the rest of the list's line, which would otherwise
    go on with the first words of the page. Hidden without tiny letters or their ground's colour,
    which filters take for deceit.
    """
    hidden = (
        '<div style="display:none;max-height:0;max-width:0;opacity:0;overflow:hidden;'
        f'mso-hide:all">{html.escape(text, quote=False)}{_FILLING}</div>'
    )
    return re.sub(r"<body[^>]*>", lambda body: body[0] + hidden, page, count=1)


def add_pixel(page: str) -> str:
    """Mark where the open pixel goes: at the end of the body."""
    head, end, tail = page.rpartition("</body>")
    return f"{head}{PIXEL}{end}{tail}" if end else page + PIXEL


def has_plain_style(page: str, swapped: Swapped) -> bool:
    """Whether style and script blocks stay ASCII for every message: references like ``&#233;``
    mean nothing inside them.
    """
    return all(
        token.isascii() and not swapped.placeholder.search(token)
        for token, is_text in _pieces(page)
        if not is_text and token[:7].lower() in {"<style ", "<style>", "<script"}
    )


_BLOCKS = frozenset(
    ("address", "article", "blockquote", "center", "dd", "div", "dl", "dt", "fieldset", "figure",
     "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav",
     "ol", "p", "pre", "section", "table", "tbody", "tr", "ul")
)  # fmt: skip
_SKIPPED = frozenset(("head", "style", "script", "title", "template"))
_SEPARATORS = frozenset(("·", "|", "•", "-", "/"))
_VOID = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source",
     "track", "wbr")
)  # fmt: skip


class _Text(HTMLParser):
    """Reads HTML as somebody would read it aloud. Placeholder comments stay where they were."""

    def __init__(self, swapped: Swapped) -> None:
        super().__init__(convert_charrefs=True)
        self._swapped = swapped
        self._out: list[str] = []
        self._hidden: list[str] = []
        self._links: list[tuple[str, int]] = []
        self._after_link = False

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        hidden = tag in _SKIPPED or _HIDDEN.search(said.get("style", "")) is not None
        if self._hidden or hidden:
            if tag not in _VOID:
                self._hidden.append(tag)
            return
        if tag in _BLOCKS or tag == "br":
            self._out.append("\n")
        elif tag in {"td", "th"}:
            self._out.append(" ")
        elif tag == "img" and said.get("alt", "").strip():
            self._out.append(said["alt"].strip())
        if tag == "a":
            self._links.append((said.get("href", "").strip(), len(self._out)))

    @override
    def handle_endtag(self, tag: str) -> None:
        if self._hidden:
            if tag in self._hidden:
                while self._hidden and self._hidden.pop() != tag:
                    pass
            return
        if tag == "a" and self._links:
            self._close_link(*self._links.pop())
        if tag in _BLOCKS:
            self._out.append("\n")

    def _close_link(self, href: str, start: int) -> None:
        if not href or href.startswith("#"):
            return
        label = "".join(self._out[start:]).strip()
        target = href.removeprefix("mailto:").removeprefix("tel:")
        if target != label:
            self._out.append(f": {target}" if label else target)
        self._after_link = True

    @override
    def handle_data(self, data: str) -> None:
        if self._hidden:
            return
        words = re.sub(r"\s+", " ", data)
        if self._after_link and words.strip() in _SEPARATORS:
            words = "\n"  # an address reads, and is clicked, best at the end of a line
        self._out.append(words)
        self._after_link = self._after_link and not words.strip()

    @override
    def handle_comment(self, data: str) -> None:
        comment = f"<!--{data}-->"
        if not self._hidden and self._swapped.placeholder.fullmatch(comment):
            self._out.append(comment)

    def text(self) -> str:
        joined = "".join(self._out).replace("\xa0", " ").replace("\u200c", "")
        return tidy_text(joined)


def text_of(page: str, swapped: Swapped) -> str:
    """A plain text for ``page``, with the same placeholders and link marks."""
    reader = _Text(swapped)
    reader.feed(page)
    reader.close()
    return reader.text()


def tidy_text(text: str) -> str:
    """No blanks at line ends, no more than one empty line in a row, one newline at the end."""
    flat = text.replace("\t", " ")
    while "  " in flat:  # as often as the longest run halves; patterns cost ten times more
        flat = flat.replace("  ", " ")
    flat = "\n".join(map(str.strip, flat.split("\n")))
    while "\n\n\n" in flat:
        flat = flat.replace("\n\n\n", "\n\n")
    return flat.strip() + "\n"
