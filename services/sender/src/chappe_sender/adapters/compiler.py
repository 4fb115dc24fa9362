"""Compile a template when it is published: everything that does not depend on the recipient.

MJML to HTML by mrml, styles inlined by css-inline, both with the Liquid hidden; then links
numbered, lines broken, a plain text derived, and every rule checked. All problems are listed at
once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import css_inline
import mrml

from chappe_sender.adapters import liquid_engine, trying
from chappe_sender.domain import gate, markup
from chappe_sender.domain.frontmatter import Source, parse_source
from chappe_sender.domain.liquid_swap import Swapped, blank, swap
from chappe_sender.domain.mjml_lint import lint
from chappe_sender.domain.template import (
    FILE_BYTES_MAX,
    FILES_MAX,
    NAME,
    TOPIC,
    FileName,
    MessageClass,
    Problem,
    TemplateError,
    TemplateVersion,
    Variant,
    parse_file_name,
    version_id,
)

SUBJECT_LETTERS_MAX = 500
PROBLEMS_MAX = 100

_INLINER = css_inline.CSSInliner(load_remote_stylesheets=False, keep_style_tags=True)
_NO_FONTS = mrml.RenderOptions(fonts={})


@dataclass(slots=True)
class _Set:
    """The files of one template while they are being checked."""

    name: str
    pages: dict[str, tuple[FileName, Source]] = field(default_factory=dict)
    texts: dict[str, Source] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    hosts: tuple[str, ...] = ()

    def fault(self, where: str, what: str) -> None:
        self.problems.append(Problem(where, what))


@dataclass(frozen=True, slots=True)
class Examined:
    """A version that may be published, and what its author should know before."""

    version: TemplateVersion
    warnings: list[Problem]


def publish(name: str, files: Mapping[str, str], hosts: Iterable[str] = ()) -> TemplateVersion:
    """The immutable version that these files make. Raises ``TemplateError`` with every problem."""
    return examine(name, files, hosts).version


def examine(name: str, files: Mapping[str, str], hosts: Iterable[str] = ()) -> Examined:
    """The same, with warnings. ``hosts`` are those that the brand kit lets templates link to."""
    work = _Set(name, hosts=tuple(hosts))
    _sort_files(work, files)
    message_class, topic = _class_and_topic(work)
    coupon = _coupon(work, message_class)
    variants = {
        locale: variant
        for locale, (kind, source) in work.pages.items()
        if (variant := _variant(work, kind, source, locale, message_class)) is not None
    }
    if work.problems:
        raise TemplateError(work.problems[:PROBLEMS_MAX])
    id_ = version_id(name, files)
    version = TemplateVersion(id_, name, message_class, topic, variants, coupon)
    for locale, (_, source) in work.pages.items():
        trying.weigh(version, locale, source, work.problems)
    if work.problems:
        raise TemplateError(work.problems[:PROBLEMS_MAX])
    return Examined(version, work.warnings[:PROBLEMS_MAX])


def _sort_files(work: _Set, files: Mapping[str, str]) -> None:
    if not NAME.fullmatch(work.name):
        work.fault("name", "use lower-case letters, digits, - and _, at most 64")
    if len(files) > FILES_MAX:
        work.fault("files", f"more than {FILES_MAX} files")
        return
    for file, text in sorted(files.items()):
        said = parse_file_name(file)
        if said is None or said.template != work.name:
            work.fault(file, f"not {work.name}.mjml, .html or .txt, with .fr before it for French")
        elif len(text.encode("utf-8", "replace")) > FILE_BYTES_MAX:
            work.fault(file, f"larger than {FILE_BYTES_MAX // 1024} kB")
        else:
            _take_file(work, file, said, text)
    if "" not in work.pages:
        work.fault("files", f"no {work.name}.mjml or {work.name}.html, the default language")
    for locale in work.texts.keys() - work.pages.keys():
        work.fault(work.texts[locale].file, "a text needs an .mjml or .html of its language")


def _take_file(work: _Set, file: str, said: FileName, text: str) -> None:
    source, problems = parse_source(file, text)
    work.problems += problems
    if said.kind == "txt":
        if source.head:
            work.fault(f"{file}:1", "a text has no head: it belongs to the .mjml or .html")
        work.texts[said.locale] = source
    elif said.locale in work.pages:
        work.fault(file, f"{work.pages[said.locale][1].file} is there for this language already")
    else:
        work.pages[said.locale] = (said, source)


def _class_and_topic(work: _Set) -> tuple[MessageClass, str | None]:
    """The default language decides; the others may repeat it, not contradict it."""
    _, default = work.pages.get("", (None, None))
    if default is None:
        return MessageClass.MARKETING, None
    said = default.head.get("class", MessageClass.MARKETING.value)
    topic = default.head.get("topic")
    if said not in [each.value for each in MessageClass]:
        work.fault(default.where(key="class"), "class is marketing or transactional")
        said = MessageClass.MARKETING.value
    if topic is not None and not TOPIC.fullmatch(topic):
        work.fault(default.where(key="topic"), "use lower-case letters, digits, - and _")
    if said == MessageClass.MARKETING.value and not topic:
        work.fault(
            default.where(key="class"),
            "marketing needs a topic that people can opt out of: add `topic: …`",
        )
    for _, source in work.pages.values():
        for key, value in (("class", said), ("topic", topic)):
            if key in source.head and source is not default and source.head[key] != value:
                work.fault(source.where(key=key), f"{key} differs from {default.file}")
    return MessageClass(said), topic


def _coupon(work: _Set, message_class: MessageClass) -> str | None:
    """The pool that codes come from: said once, in the default language."""
    _, default = work.pages.get("", (None, None))
    pool = default.head.get("coupon") if default is not None else None
    for _, source in work.pages.values():
        said = source.head.get("coupon")
        if said is not None and not TOPIC.fullmatch(said):
            work.fault(source.where(key="coupon"), "use lower-case letters, digits, - and _")
        elif said != pool and said is not None:
            work.fault(source.where(key="coupon"), f"coupon differs from {work.name}'s default")
    if pool is not None and message_class is MessageClass.TRANSACTIONAL:
        assert default is not None
        work.fault(default.where(key="coupon"), "a transactional mail holds no coupon")
    return pool


def _variant(
    work: _Set, kind: FileName, source: Source, locale: str, message_class: MessageClass
) -> Variant | None:
    before = len(work.problems)
    _check_head(work, source)
    work.problems += liquid_engine.problems(source.body, source.file, source.first_line)
    if kind.kind == "mjml":
        for line, what in lint(blank(source.body)):
            work.fault(source.where(line), what)
    broken = len(work.problems) > before
    _check_source(work, source, message_class)
    if broken:
        return None
    work.warnings += trying.shown(source, work.problems)
    page = _compile_page(work, kind, source)
    if page is None:
        return None
    written = work.texts.get(locale)
    variant = _finish(work, source, page, written)
    _check_unsubscribe(work, source, written, page.links, message_class)
    return variant


def _check_head(work: _Set, source: Source) -> None:
    subject = source.head.get("subject", "").strip()
    if not subject:
        work.fault(f"{source.file}:1", "no subject: begin the file with a head that has one")
    if len(subject) > SUBJECT_LETTERS_MAX:
        work.fault(source.where(key="subject"), f"longer than {SUBJECT_LETTERS_MAX} letters")
    for key in ("subject", "preheader"):
        if why := gate.header(source.head.get(key, "").strip()):
            work.fault(source.where(key=key), f"{key} {why}")
        for fault in liquid_engine.check(source.head.get(key, "")):
            work.fault(source.where(key=key), f"{key}: {fault.what}")


def _check_source(work: _Set, source: Source, message_class: MessageClass) -> None:
    found = [*gate.images(source.body), *gate.addresses(source.body, work.hosts)]
    if message_class is MessageClass.TRANSACTIONAL:
        found += gate.selling(source.body)
    elif not gate.postal(source.body):
        work.fault(
            source.file, "marketing shows the postal address: add {{ brand.address }} to its end"
        )
    for line, what in sorted(found):
        work.fault(source.where(line), what)
    if liquid_engine.takes(source.body, "coupon") and not _default_head(work).get("coupon"):
        work.fault(source.file, "{{ coupon }} needs a pool: add `coupon: NAME` to the head")


def _default_head(work: _Set) -> Mapping[str, str]:
    _, default = work.pages.get("", (None, None))
    return default.head if default is not None else {}


@dataclass(slots=True)
class _Page:
    html: str
    swapped: Swapped
    links: markup.Links


def _compile_page(work: _Set, kind: FileName, source: Source) -> _Page | None:
    swapped = swap(source.body)
    page = swapped.text
    if kind.kind == "mjml":
        try:
            page = mrml.to_html(page, render_options=_NO_FONTS).content
        except OSError as error:
            work.fault(source.file, f"MJML cannot read it: {error}")
            return None
    try:
        page = _INLINER.inline(page)
    except (css_inline.InlineError, ValueError) as error:
        work.fault(source.file, f"styles cannot be inlined: {error}")
        return None
    if not page.lower().startswith("<!doctype"):
        page = f"<!DOCTYPE html>{page}"
    for number in swapped.missing(page):
        work.fault(
            source.where(swapped.lines[number]),
            f"{swapped.pieces[number][:60]} stands where the compiler drops it",
        )
    page, links = markup.number_links(markup.tighten(page), swapped)
    for href in links.relative[:PROBLEMS_MAX]:
        line = source.body.count("\n", 0, max(source.body.find(href), 0)) + 1
        work.fault(source.where(line), f"link {href[:80]!r} has no https:// and host")
    if len(links.targets) > markup.LINKS_MAX:
        work.fault(source.file, f"more than {markup.LINKS_MAX} links")
    return _Page(page, swapped, links)


def _finish(work: _Set, source: Source, page: _Page, written: Source | None) -> Variant | None:
    if written is None:
        text = page.swapped.restore(markup.text_of(page.html, page.swapped))
    else:
        text = written.body
        work.problems += liquid_engine.problems(text, written.file, written.first_line)
    html = page.swapped.restore(markup.add_pixel(page.html))
    if preheader := source.head.get("preheader", "").strip():
        hidden = swap(preheader)
        html = hidden.restore(markup.add_preheader(html, hidden.text))
    named = swap(source.head["subject"].strip())
    html = named.restore(markup.add_title(html, named.text))
    for compiled in (html, text):
        if faults := liquid_engine.check(compiled):
            work.fault(source.file, f"Liquid tags end up in the wrong order: {faults[0].what}")
            return None
    return Variant(
        subject=source.head["subject"].strip(),
        html=html,
        text=text,
        links=tuple(page.links.targets),
        plain_style=markup.has_plain_style(page.html, page.swapped),
    )


def _check_unsubscribe(
    work: _Set,
    source: Source,
    written: Source | None,
    links: markup.Links,
    message_class: MessageClass,
) -> None:
    if message_class is not MessageClass.MARKETING:
        return
    if not links.unsubscribe:
        work.fault(
            source.file,
            "marketing needs a link to unsubscribe that people can see: "
            '<a href="{{ unsubscribe_url }}">…</a>',
        )
    if written is not None and not gate.leaving(written.body):
        work.fault(written.file, "marketing needs {{ unsubscribe_url }} in the text too")
    if written is not None and not gate.postal(written.body):
        work.fault(written.file, "marketing needs {{ brand.address }} in the text too")
