"""The few pages that people outside see: in their language, in the brand's colours, scriptless.

They must work in any browser, with images blocked, by keyboard, at 320 pixels, by day and night.
"""

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass
from string import Template
from typing import Final

HEADERS: Final = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src https:; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
}
"""No script, no frame, nothing kept; the brand's logo is the only thing fetched."""

LANGUAGES_MAX: Final = 32
PRIMARY: Final = "#1f5f4a"
_LOOSE: Final = re.compile(" (?=[?!:;»])")
_HEX: Final = re.compile(r"#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})")

_PAGE: Final = Template(
    """<!doctype html>
<html lang="$lang">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>
:root{color-scheme:light dark;--ink:#1c2430;--soft:#56606c;--ground:#f3f4f6;--sheet:#fff;
--line:#8a93a0;--note:#e6f2ea;--brand:$primary;--on-brand:$on_primary;--edge:$primary}
@media (prefers-color-scheme:dark){:root{--ink:#eceff3;--soft:#aeb6c1;--ground:#12161c;
--sheet:#1c222b;--line:#78818e;--note:#1d3a2c;--edge:#eceff3}.logo{background:#fff;padding:8px 12px;
border-radius:8px}button.main{border-color:var(--line)!important}}
*{box-sizing:border-box}
body{margin:0;padding:6vh 16px 32px;background:var(--ground);color:var(--ink);
font:17px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,Helvetica,Arial,sans-serif;
overflow-wrap:anywhere}
header,footer{max-width:32rem;margin:0 auto;text-align:center}
header{font-weight:700;font-size:1.15rem}
footer{color:var(--soft);font-size:.85rem}
.logo{display:inline-block;max-width:200px;max-height:56px}
main{max-width:32rem;margin:20px auto;padding:32px;background:var(--sheet);border-radius:14px;
box-shadow:0 1px 3px rgba(0,0,0,.12)}
@media (max-width:480px){main{padding:24px 20px}}
h1{font-size:1.5rem;line-height:1.25;margin:0 0 12px}
p{margin:0 0 16px}
.soft{color:var(--soft);font-size:.95rem}
.note{background:var(--note);padding:12px 16px;border-radius:10px}
form{margin:0}
form+form{margin-top:20px;padding-top:20px;border-top:1px solid var(--line)}
fieldset{border:0;margin:0 0 16px;padding:0}
legend{font-weight:600;padding:0;margin-bottom:6px}
label{display:flex;align-items:flex-start;gap:12px;padding:10px 0;min-height:44px;cursor:pointer}
input[type=checkbox]{flex:none;width:22px;height:22px;margin:2px 0 0;accent-color:var(--brand)}
small{display:block;color:var(--soft);font-size:.9rem}
button{display:block;width:100%;min-height:48px;padding:12px 20px;border-radius:10px;
border:1px solid var(--line);background:transparent;color:var(--ink);font:inherit;
font-weight:600;cursor:pointer}
button.main{background:var(--brand);color:var(--on-brand);border-color:var(--brand)}
a{color:inherit}
:focus-visible{outline:3px solid var(--edge);outline-offset:3px;border-radius:6px}
.after{margin:20px 0 0;text-align:center}
p.soft.after{margin-top:12px}
main>:last-child,form>:last-child{margin-bottom:0}
.after a{display:inline-block;padding:10px}
</style>
</head>
<body>
$header<main>
<h1>$heading</h1>
$body</main>
$footer</body>
</html>
"""
)


@dataclass(frozen=True, slots=True)
class Look:
    """Whose page it is. Anything may be empty, and what cannot be shown safely is left out."""

    name: str = ""
    primary: str = ""
    logo_url: str = ""
    footer: str = ""


def page(lang: str, heading: str, body: str, look: Look | None = None) -> str:
    """A whole page. ``body`` is HTML; everything else is text and escaped here."""
    look = look or Look()
    primary = look.primary if _HEX.fullmatch(look.primary) else PRIMARY
    footer = html.escape(look.footer.strip())
    return _PAGE.substitute(
        lang=html.escape(lang),
        title=html.escape(f"{heading} · {look.name}" if look.name else heading),
        primary=primary,
        on_primary=ink_on(primary),
        header=_header(look),
        heading=_set(heading),
        body=body,
        footer=f"<footer>{footer}</footer>\n" if footer else "",
    )


def paragraph(text: str, kind: str = "") -> str:
    """``kind``: ``soft`` for what matters less, ``note`` for what has just been done."""
    said = f' class="{kind}"' if kind else ""
    role = ' role="status"' if kind == "note" else ""
    return f"<p{said}{role}>{_set(text)}</p>\n"


def button(label: str, *, do: str = "", main: bool = True) -> str:
    """At least 48 pixels high; ``do`` is what a form says when it was this one."""
    name = f' name="do" value="{html.escape(do)}"' if do else ""
    kind = ' class="main"' if main else ""
    return f'<button type="submit"{name}{kind}>{_set(label)}</button>\n'


def form(body: str) -> str:
    """Posts to the address it was read from."""
    return f'<form method="post">\n{body}</form>\n'


def link(url: str, label: str) -> str:
    """The other thing one may do, below the button."""
    return f'<p class="after"><a href="{html.escape(url)}">{_set(label)}</a></p>\n'


def _set(text: str) -> str:
    """Escaped, and with French punctuation tied to the word before it."""
    return _LOOSE.sub("&nbsp;", html.escape(text))


def _header(look: Look) -> str:
    name = html.escape(look.name)
    if look.logo_url.startswith("https://"):
        url = html.escape(look.logo_url)
        return f'<header><img class="logo" src="{url}" alt="{name}"></header>\n'
    return f"<header>{name}</header>\n" if name else ""


def language(accepted: str, spoken: Iterable[str]) -> str:
    """The first of ``spoken`` when ``Accept-Language`` names none, else the one liked best."""
    known = tuple(spoken)
    best, weight = known[0], 0.0
    for each in accepted.lower().split(",", LANGUAGES_MAX)[:LANGUAGES_MAX]:
        tag, _, rest = each.partition(";")
        lang = tag.strip().partition("-")[0]
        if lang in known and (liked := _weight(rest)) > weight:
            best, weight = lang, liked
    return best


def _weight(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        said = float(value)
    except ValueError:
        return 0.0
    return said if 0 <= said <= 1 else 0.0


def ink_on(colour: str) -> str:
    """Black or white, whichever reads better on ``colour`` (``#rgb`` or ``#rrggbb``).

    One of both always has a contrast of at least 4.5 (WCAG 2.2, 1.4.3).
    """
    white = (1.0 + 0.05) / (_luminance(colour) + 0.05)
    return "#ffffff" if white >= 4.5 else "#000000"  # noqa: PLR2004 - what WCAG asks for


def contrast(one: str, other: str) -> float:
    """From 1 to 21, as WCAG 2.2 counts it."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    if not _HEX.fullmatch(colour):
        raise ValueError(f"{colour!r} is no #rgb or #rrggbb")
    digits = colour[1:] if len(colour) == len("#rrggbb") else "".join(c * 2 for c in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4  # noqa: PLR2004
        for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
