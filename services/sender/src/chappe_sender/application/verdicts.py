"""What a verdict on one letter means: its end, another way for it, and what it says of the site."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import structlog

from chappe.clock import monotonic
from chappe_sender import metrics
from chappe_sender.application.flight import Flight
from chappe_sender.application.letter import Letter
from chappe_sender.application.line import Line, about_the_route
from chappe_sender.application.lines import Lines
from chappe_sender.application.notes import Notes, again
from chappe_sender.application.ports import Ended, Verdict
from chappe_sender.application.routing import Refusals
from chappe_sender.application.sites import Sites
from chappe_sender.domain.bounces import BounceClass, classify
from chappe_sender.domain.breaker import Breaker
from chappe_sender.domain.ending import Ending
from chappe_sender.domain.message import State
from chappe_sender.domain.outcome import Declined, Refused, Scope
from chappe_sender.domain.providers import Kind

logger = structlog.get_logger(__name__)


@dataclass(slots=True)
class Verdicts:
    """``site`` gives the MX site of an address, as far as it is known without asking."""

    flight: Flight
    notes: Notes
    lines: Lines
    breaker: Breaker
    site: Callable[[str], str]
    sites: Sites | None = None
    refusals: Refusals = field(default_factory=Refusals)

    def plain(self, letter: Letter, verdict: Verdict) -> None:
        """By the default way out."""
        self.flight.carried.discard(letter.claimed.message.id)
        ended = self.notes.end(letter.claimed, verdict, letter.subject)
        self._saw(letter, verdict, ended.ending, sites=self.sites)
        self.notes.ended(ended)

    def by_line(self, letter: Letter, verdict: Verdict, line: Line) -> None:
        """By a provider."""
        claimed = letter.claimed
        self.flight.carried.discard(claimed.message.id)
        if self._goes_elsewhere(letter, verdict, line):
            made = again(self.notes.business.now(), "failed_over", str(verdict))
        else:
            made = self.notes.end(claimed, verdict).ending
            direct = line.record.kind is Kind.DIRECT
            self._saw(letter, verdict, made, sites=None if direct else self.sites)
        named = replace(made, data={**made.data, "provider": line.record.name})
        self.notes.ended(
            Ended(claimed.message, claimed.epoch, named, claimed.address, letter.subject)
        )

    def _goes_elsewhere(self, letter: Letter, verdict: Verdict, line: Line) -> bool:
        """Whether it surely did not go this way, and may go another way at once."""
        id_ = letter.claimed.message.id
        declined = verdict if isinstance(verdict, Declined) else None
        if declined is not None and declined.scope is Scope.LOAD:
            self.refusals.isolate(id_)
            return True
        about_it = declined is not None and declined.scope is Scope.MESSAGE
        if not about_it and not about_the_route(verdict):
            self.refusals.forget(id_)
            return False
        tried = self.refusals.add(id_, line.record.id)
        domain = letter.mail.sender.address.domain
        look = self.lines.untried if about_it else self.lines.choose
        if look(letter.claimed.message, domain, tried):
            return True
        self.refusals.forget(id_)
        return False

    def _saw(self, letter: Letter, verdict: Verdict, made: Ending, *, sites: Sites | None) -> None:
        """For the sites' rules, and for the breaker: only verdicts, and only on marketing."""
        if sites is not None and isinstance(verdict, Refused):
            sites.heard(letter.claimed.address, verdict.reply.whole)
        if not letter.claimed.message.is_marketing:
            return
        if made.state is State.ACCEPTED:
            bounce_class, code = None, ""
        elif isinstance(verdict, Refused):
            found = classify(f"{verdict.reply.code} {verdict.reply.enhanced} {verdict.reply.text}")
            bounce_class, code = found.bounce_class, verdict.reply.enhanced or ""
        else:
            return
        domain = letter.mail.sender.address.domain
        site = self.site(letter.claimed.address)
        self.judge(domain, site, bounce_class, code)

    def judge(self, domain: str, site: str, bounce_class: BounceClass | None, code: str) -> None:
        """One marketing mail's verdict; ``bounce_class`` None: taken."""
        opened = self.breaker.saw(domain, site, bounce_class, code, monotonic())
        if opened is not None:
            metrics.BREAKERS_OPENED.inc()
            logger.error("Marketing waits: a breaker opened", reason=opened)
