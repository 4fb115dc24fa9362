"""What a mail must be before it may be published, beyond that it compiles.

Each check looks at a source with its Liquid still in it, or at the compiled page, and gives
(line, what); a line of 0 is the whole file.
"""

import html
import re
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from chappe_sender.domain.links import LOOPBACK_HOSTS, is_harmless, is_trackable
from chappe_sender.domain.liquid_swap import spans
from chappe_sender.domain.mjml_lint import without_comments

HTML_BYTES_MAX = 102 * 1024
"""Gmail shows no more of a mail, and hides the way to unsubscribe with the rest."""

Found = tuple[int, str]

_IMAGE = re.compile(
    r"""<(img|mj-image|mj-carousel-image)\b((?:[^"'<>]|"[^"]*"|'[^']*'){0,2000})>""", re.IGNORECASE
)
_ALT = re.compile(r"\balt\s*=", re.IGNORECASE)
_ADDRESS_IN = re.compile(
    r"""\b(href|src|background-url|background)\s*=\s*("[^"]*"|'[^']*')""", re.IGNORECASE
)
_LIQUID = "\x00"
_BREAK = re.compile(r"[\r\n\x00-\x1f\x7f\u2028\u2029]")
_POSTAL = re.compile(r"\{\{-?\s*brand\.(?:address|footer)\b")
_UNSUBSCRIBE = re.compile(r"\{\{-?\s*unsubscribe_url\b")
_SELLING = re.compile(r"\b(coupon|recommendations|recommended)\b")


def images(source: str) -> Iterator[Found]:
    """Images without ``alt``. An empty one is right for what only decorates."""
    for image in _IMAGE.finditer(_marked(source)):
        if not _ALT.search(image[2]):
            what = f'<{image[1]}> has no alt: say what it shows, or alt="" when it only decorates'
            yield _line(source, image.start()), what


def addresses(source: str, hosts: Iterable[str]) -> Iterator[Found]:
    """Links and images that are not https, or of a host that the brand kit does not list.

    ``hosts`` empty: any. A host put together from Liquid is refused; a whole address from Liquid is
    judged when it is known, and dropped when it leads elsewhere.
    """
    allowed = tuple(host.lower().lstrip("*.") for host in hosts)
    marked = _marked(source)
    for found in _ADDRESS_IN.finditer(marked):
        what = _fault(found[1].lower(), html.unescape(found[2][1:-1]).strip(), allowed)
        if what is not None:
            yield _line(source, found.start()), what


def _fault(kind: str, url: str, allowed: tuple[str, ...]) -> str | None:
    shown = re.sub(f"{_LIQUID}+", "{{…}}", url)[:80]
    if not url or url.startswith(_LIQUID):
        return None
    if kind != "href" and not url.lower().startswith(("http:", "https:", "cid:")):
        return f"{kind} {shown!r} has no https:// and host"
    if not is_harmless(url) and re.match(r"[a-zA-Z][\w+.-]*:", url):
        return f"{kind} {shown!r} is of a kind that mails may not hold"
    if not url.lower().startswith(("http:", "https:")):
        return None
    host = re.sub(r"^https?://", "", url, flags=re.IGNORECASE).partition("/")[0]
    if _LIQUID in host.partition("?")[0]:
        return f"{kind} {shown!r}: write the host out, or give the whole address as a value"
    if not is_trackable(url.replace(_LIQUID, "x")):
        return f"{kind} {shown!r} must begin with https://"
    name = (urlsplit(url.replace(_LIQUID, "x")).hostname or "").lower()
    if allowed and name not in LOOPBACK_HOSTS and not _among(name, allowed):
        return f"host {name!r} is not among the brand kit's hosts ({', '.join(allowed)})"
    return None


def _among(host: str, allowed: tuple[str, ...]) -> bool:
    return any(host == each or host.endswith(f".{each}") for each in allowed)


def header(value: str) -> str | None:
    """Why ``value`` cannot stand in a header."""
    return "must be one line, without control characters" if _BREAK.search(value) else None


def postal(body: str) -> bool:
    """Whether the postal address is shown: the brand kit's, on its own or in its footer."""
    return _POSTAL.search(without_comments(body)) is not None


def leaving(text: str) -> bool:
    """Whether a text says how to unsubscribe."""
    return _UNSUBSCRIBE.search(text) is not None


def selling(source: str) -> Iterator[Found]:
    """Coupons and recommendations, which a transactional mail may not hold (DECISIONS 19)."""
    for start, end in spans(source):
        if found := _SELLING.search(source, start, end):
            what = f"a transactional mail holds no {found[1]}: make it marketing, with a topic"
            yield _line(source, start), what


def weight(page: str) -> int:
    """The octets of a page as it goes out."""
    return len(page.encode("ascii", "xmlcharrefreplace"))


def _marked(source: str) -> str:
    """``source`` with every letter of Liquid turned into one mark; places stay the same."""
    out: list[str] = []
    at = 0
    for start, end in spans(source):
        out += (source[at:start], _LIQUID * (end - start))
        at = end
    return "".join((*out, source[at:]))


def _line(source: str, at: int) -> int:
    return source.count("\n", 0, at) + 1
