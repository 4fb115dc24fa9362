"""Fill a template in for one message, and put our links in."""

import html
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from chappe_sender.adapters.liquid_engine import (
    Compiled,
    RenderFailed,
    clean,
    compile_html,
    compile_text,
)
from chappe_sender.application.ports import LinkMaker
from chappe_sender.domain.links import is_harmless, is_trackable
from chappe_sender.domain.markup import (
    LINK_END,
    LINK_START,
    LINK_TARGET,
    PIXEL,
    tidy_text,
)
from chappe_sender.domain.template import TemplateVersion

PARSED_MAX = 256
"""Templates kept parsed: parsing one takes ten times as long as filling it in."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A message's content. ``locale`` is the language that was chosen (``""``: the default)."""

    subject: str
    html: str
    text: str
    locale: str
    plain_style: bool


@dataclass(frozen=True, slots=True)
class _Parsed:
    subject: Compiled
    html: Compiled
    text: Compiled


@dataclass(slots=True)
class Renderer:
    """Renders published versions; keeps the last ones parsed."""

    _parsed: OrderedDict[tuple[str, str], _Parsed] = field(default_factory=OrderedDict)

    def render(
        self, version: TemplateVersion, locale: str | None, values: dict[str, Any], links: LinkMaker
    ) -> Rendered:
        """The content for one message. ``values`` are what the template may show; the links to
        leave are added here. Raises ``RenderFailed``.
        """
        key, variant = version.variant(locale)
        parsed = self._parse(version, key)
        shown: dict[str, Any] = clean(values)
        shown["locale"] = _language(key, locale)
        shown["time_zone"] = _zone(shown.get("contact"))
        shown["unsubscribe_url"] = links.unsubscribe()
        shown["preferences_url"] = links.preferences()
        subject = parsed.subject.render(shown)
        if not subject.strip():
            raise RenderFailed("the subject came out empty")
        page = _with_links(parsed.html.render(shown), links, _href)
        pixel = _pixel(links.open())
        text = _with_links(parsed.text.render(shown), links, _bare)
        return Rendered(
            subject, page.replace(PIXEL, pixel, 1), tidy_text(text), key, variant.plain_style
        )

    def _parse(self, version: TemplateVersion, key: str) -> _Parsed:
        at = (version.id, key)
        if (known := self._parsed.get(at)) is not None:
            self._parsed.move_to_end(at)
            return known
        variant = version.variants[key]
        parsed = _Parsed(
            compile_text(variant.subject), compile_html(variant.html), compile_text(variant.text)
        )
        self._parsed[at] = parsed
        if len(self._parsed) > PARSED_MAX:
            self._parsed.popitem(last=False)
        return parsed


def _pixel(url: str | None) -> str:
    if url is None:
        return ""
    return f'<img src="{url}" width="1" height="1" alt="" style="display:block">'


def _language(key: str, locale: str | None) -> str:
    """The contact's own tag when the template speaks that language, else the template's."""
    if locale and (not key or locale.partition("-")[0] == key.partition("-")[0]):
        return locale
    return key or "en"


def _zone(contact: Any) -> str:
    """What the contact says of where it is; nothing: times stay as they are, in UTC."""
    if not isinstance(contact, dict):
        return ""
    said = cast("dict[str, Any]", contact)
    return str(said.get("timezone") or said.get("time_zone") or "")


def _with_links(content: str, links: LinkMaker, write: Callable[[int, str, LinkMaker], str]) -> str:
    """``content`` with a link of ours at every mark. Cut at the marks, which are few, rather than
    searched by a pattern, which looks at every letter.
    """
    first, *others = content.split(LINK_START)
    out = [first]
    for other in others:
        index, _, rest = other.partition(LINK_TARGET)
        target, end, after = rest.partition(LINK_END)
        if end and index.isdecimal() and LINK_TARGET not in target:
            out += (write(int(index), target, links), after)
        else:
            out.append(LINK_START + other)
    return "".join(out)


def _href(index: int, target: str, links: LinkMaker) -> str:
    return html.escape(_follow(index, html.unescape(target).strip(), links))


def _bare(index: int, target: str, links: LinkMaker) -> str:
    return _follow(index, target.strip(), links)


def _follow(index: int, target: str, links: LinkMaker) -> str:
    if is_trackable(target):
        return links.click(index, target)
    return target if is_harmless(target) else "#"
