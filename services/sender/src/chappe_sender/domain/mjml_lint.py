"""What is wrong with MJML, and on which line: its compiler drops in silence what it knows not."""

import re

_TAG = re.compile(
    r"""<(/?)([A-Za-z][\w:-]*)((?:[^"'<>]|"[^"]*"|'[^']*'){0,4000}?)(/?)>""",
    re.DOTALL,
)
_KNOWN = frozenset(
    ("mjml", "mj-head", "mj-body", "mj-attributes", "mj-all", "mj-class", "mj-breakpoint",
     "mj-font", "mj-preview", "mj-style", "mj-title", "mj-raw", "mj-section", "mj-column",
     "mj-group", "mj-wrapper", "mj-hero", "mj-text", "mj-image", "mj-button", "mj-divider",
     "mj-spacer", "mj-table", "mj-navbar", "mj-navbar-link", "mj-social", "mj-social-element",
     "mj-accordion", "mj-accordion-element", "mj-accordion-title", "mj-accordion-text",
     "mj-carousel", "mj-carousel-image")
)  # fmt: skip


def lint(source: str) -> list[tuple[int, str]]:
    """(line, what) for unknown elements and for tags that do not pair up. Only ``mj-*`` elements
    are looked at: what stands inside text is HTML.
    """
    source = without_comments(source)
    found: list[tuple[int, str]] = []
    open_tags: list[tuple[str, int]] = []
    line, at = 1, 0
    for tag in _TAG.finditer(source):
        line += source.count("\n", at, tag.start())
        at = tag.start()
        name = tag[2].lower()
        if not name.startswith("mj"):
            continue
        if name not in _KNOWN:
            found.append((line, f"unknown element <{name}>"))
        elif tag[1]:
            if not open_tags:
                found.append((line, f"</{name}> closes nothing"))
            elif open_tags[-1][0] == name:
                open_tags.pop()
            else:
                opened, where = open_tags[-1]
                found.append((line, f"</{name}> where <{opened}> of line {where} is still open"))
                while open_tags and open_tags.pop()[0] != name:
                    pass
        elif not tag[4]:
            open_tags.append((name, line))
    found += [(where, f"<{name}> is never closed") for name, where in open_tags]
    if not re.search(r"<mjml[\s>]", source):
        found.insert(0, (1, "not MJML: no <mjml> element"))
    return found


def without_comments(source: str) -> str:
    """Comments painted over; every line stays where it was."""
    out: list[str] = []
    at = 0
    while (start := source.find("<!--", at)) >= 0 and (end := source.find("-->", start)) >= 0:
        out += (source[at:start], re.sub(r"[^\n]", " ", source[start : end + 3]))
        at = end + 3
    return "".join((*out, source[at:]))
