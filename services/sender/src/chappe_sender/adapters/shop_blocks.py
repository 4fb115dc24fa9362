"""``{{ event.items | products }}``: the lines of a cart or an order, drawn as a table that every
mail program shows, or as lines of text.
"""

import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from liquid import RenderContext
from liquid.filter import with_context
from markupsafe import Markup

from chappe_sender.adapters.liquid_filters import money
from chappe_sender.domain.links import is_trackable
from chappe_sender.domain.markup import LINK_END, LINK_START, LINK_TARGET

LINES_MAX = 50
LINES_DEFAULT = 8
FIRST_LINK = 1_000
"""Links of these blocks are counted from here: those of the template itself come before."""


@dataclass(frozen=True, slots=True)
class _Line:
    title: str
    detail: str
    price: str
    url: str
    image: str


@with_context
def table(value: Any, most: Any = LINES_DEFAULT, *, context: RenderContext) -> Markup:
    """At most ``most`` lines, each with its picture, title, quantity and price."""
    rows = [_row(number, line) for number, line in enumerate(_lines(value, most, context))]
    if not rows:
        return Markup("")
    return Markup(  # noqa: S704 - every value in it is escaped below
        '<table role="presentation" cellpadding="0" cellspacing="0" border="0" width="100%" '
        f'style="width:100%;border-collapse:collapse">\n{"".join(rows)}</table>'
    )


@with_context
def lines(value: Any, most: Any = LINES_DEFAULT, *, context: RenderContext) -> str:
    """The same as text."""
    return "".join(
        f"\n- {line.title}{f' ({line.detail})' if line.detail else ''}"
        f"{f'  {line.price}' if line.price else ''}"
        for line in _lines(value, most, context)
    )


def _row(number: int, line: _Line) -> str:
    title, image, columns = html.escape(line.title), "", 2
    if line.image:
        columns = 1
        image = (
            '<td width="76" valign="top" style="padding:10px 12px 10px 0;width:64px">'
            f'<img src="{html.escape(line.image)}" alt="" width="64" '
            'style="display:block;width:64px;border-radius:8px"></td>\n'
        )
    if line.url:
        url = f"{LINK_START}{FIRST_LINK + number}{LINK_TARGET}{html.escape(line.url)}{LINK_END}"
        title = f'<a href="{url}" style="color:inherit">{title}</a>'
    detail = f'<br><span style="font-size:13px;opacity:.75">{html.escape(line.detail)}</span>'
    return (
        f'<tr>\n{image}<td valign="top" colspan="{columns}" '
        f'style="padding:10px 0;word-break:break-word">{title}'
        f"{detail if line.detail else ''}</td>\n"
        '<td valign="top" align="right" style="padding:10px 0 10px 12px;white-space:nowrap">'
        f"{html.escape(line.price)}</td>\n</tr>\n"
    )


def _lines(value: Any, most: Any, context: RenderContext) -> Iterator[_Line]:
    if not isinstance(value, list):
        return
    limit = min(most if isinstance(most, int) else LINES_DEFAULT, LINES_MAX)
    for item in cast("list[Any]", value)[: max(limit, 0)]:
        if isinstance(item, Mapping):
            yield _line(cast("Mapping[str, Any]", item), context)


def _line(item: Mapping[str, Any], context: RenderContext) -> _Line:
    variant, quantity = item.get("variant_title"), item.get("quantity")
    details = [str(variant)] if variant else []
    if isinstance(quantity, int) and quantity > 1:
        details.append(f"\N{MULTIPLICATION SIGN} {quantity}")
    return _Line(
        title=str(item.get("title") or item.get("name") or ""),
        detail=" · ".join(details),
        price=money(item.get("price"), context=context) if item.get("price") else "",
        url=_address(item.get("url")),
        image=_address(item.get("image_url")),
    )


def _address(said: Any) -> str:
    return said if isinstance(said, str) and is_trackable(said) else ""
