"""Fill a template in for somebody who has everything and for somebody who has nothing."""

from dataclasses import dataclass
from typing import Any

from chappe_sender.adapters.liquid_engine import RenderFailed, check, compile_text, misses
from chappe_sender.adapters.renderer import Renderer
from chappe_sender.domain import gate, samples
from chappe_sender.domain.frontmatter import Source
from chappe_sender.domain.template import Problem, TemplateVersion

_OURS = ("unsubscribe_url", "preferences_url", "locale", "time_zone")
_CONTACTS: tuple[dict[str, Any] | None, ...] = (None, {})
_CLOSED = ("brand", "entry", "workspace", "coupon")
"""Their fields are known: one that is not is a slip."""
_OPEN = ("brand.colors", "brand.fonts", "entry.variants", "entry.webhook")
_SEALED_LETTERS = 300
"""About what a link of ours is long."""


@dataclass(frozen=True, slots=True)
class SampleLinks:
    """Links that lead nowhere, as long as real ones."""

    base: str = "https://mail.example"

    def open(self) -> str:
        return self._url("o")

    def click(self, index: int, destination: str) -> str:
        _ = index
        return self._url("c") + "x" * (len(destination) * 4 // 3)

    def unsubscribe(self) -> str:
        return self._url("u")

    def preferences(self) -> str:
        return self._url("p")

    def _url(self, kind: str) -> str:
        return f"{self.base}/{kind}/{'x' * _SEALED_LETTERS}"


def shown(source: Source, problems: list[Problem]) -> list[Problem]:
    """Warnings; what must not be published is added to ``problems``.

    Filled in twice: with a full contact and event, and with a contact that says nothing. What fails
    to fill in, an unknown field of what we know whole, and a subject or preheader with a hole are
    problems. Fields of contacts and events are open, so a hole in the body is a warning.
    """
    warnings: dict[str, Problem] = {}
    ours = dict.fromkeys(_OURS, "x")
    for contact in _CONTACTS:
        values = samples.values(contact=contact) | ours
        for key in ("subject", "preheader"):
            text = source.head.get(key, "")
            for miss in _misses(text, source.where(key=key), values, problems):
                slip = Problem(
                    source.where(key=key),
                    f"{key}: {miss[1]} may be missing: say what then, "
                    f"like {{{{ {miss[1]} | default: 'there' }}}}",
                )
                if slip not in problems:
                    problems.append(slip)
        for line, path in _misses(source.body, source.file, values, problems):
            where = source.where(line)
            if path.startswith(_CLOSED) and not path.startswith(_OPEN):
                slip = Problem(where, f"there is no {path}")
                if slip not in problems:
                    problems.append(slip)
                continue
            warnings.setdefault(
                path,
                Problem(
                    where,
                    f"{path} may be missing, and is then shown as nothing: "
                    f"add a default, or {{% if %}} around it",
                ),
            )
    return list(warnings.values())


def _misses(
    text: str, where: str, values: dict[str, Any], problems: list[Problem]
) -> list[tuple[int, str]]:
    if not text or check(text):
        return []
    try:
        return [(miss.line, miss.path) for miss in misses(text, values)]
    except RenderFailed as error:
        problem = Problem(where, f"cannot be filled in: {error}")
        if problem not in problems:
            problems.append(problem)
        return []


def weigh(version: TemplateVersion, locale: str, source: Source, problems: list[Problem]) -> None:
    """The whole mail, filled in: not too large, and with something in its text and subject."""
    for contact in _CONTACTS:
        values = samples.values(contact=contact)
        try:
            made = Renderer().render(version, locale, values, SampleLinks())
            subject = compile_text(version.variants[locale].subject).render(
                {**values, **dict.fromkeys(_OURS, "x")}
            )
        except RenderFailed as error:
            problems.append(Problem(source.file, f"cannot be filled in: {error}"))
            return
        if why := gate.header(subject.strip()):
            problems.append(Problem(source.where(key="subject"), f"subject {why}"))
            return
        if contact is None and not made.text.strip():
            problems.append(Problem(source.file, "the plain text comes out empty"))
            return
        if (octets := gate.weight(made.html)) > gate.HTML_BYTES_MAX:
            problems.append(
                Problem(
                    source.file,
                    f"{octets // 1024} kB of HTML, and Gmail cuts mails off at "
                    f"{gate.HTML_BYTES_MAX // 1024} kB",
                )
            )
            return
