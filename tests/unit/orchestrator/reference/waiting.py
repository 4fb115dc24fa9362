"""Waits: what they wait for, which way opens, and what moves them."""

import datetime as dt
from collections.abc import Iterator

from chappe.journey.steps import WaitForAny, WaitStep
from chappe.journey.waits import (
    ConditionWanted,
    EventWanted,
    WaitFor,
    WaitForOne,
    WaitUntilDate,
)
from tests.unit.orchestrator.reference.calendar import told
from tests.unit.orchestrator.reference.known import MAILS
from tests.unit.orchestrator.reference.leaving import Leaving
from tests.unit.orchestrator.reference.story import Happening, Run, Stop


class Waiting(Leaving):
    answered: tuple[Run, str, int] | None = None
    """Whose webhook, of which step, the event in hand has answered, and its number."""

    def date(self, run: Run, wait: WaitUntilDate) -> dt.datetime | None:
        offset = wait.offset or dt.timedelta()
        return told(self.value(wait.until, run), offset, wait.at, self.zone)

    def open_way(self, run: Run, wait: WaitForOne | WaitForAny) -> int | None:
        """The first way that was open before anybody waited."""
        for number, wanted in enumerate(wanted_of(wait)):
            if isinstance(wanted, ConditionWanted):
                if self.holds(wanted.when, run):
                    return number
            elif wanted.of is None:
                continue
            elif "webhook.answered" in wanted.event:
                if wanted.of in run.answers and wanted.of not in run.calls:
                    return number
            elif "email.clicked" in wanted.event:
                mail = last_mail(run, wanted.of)
                if mail in self.clicked and mail >= len(self.mails) - MAILS:
                    return number
        return None

    def opened_by(self, run: Run, wait: WaitForOne | WaitForAny, event: Happening) -> int | None:
        """The first way that the event opens."""
        for number, wanted in enumerate(wanted_of(wait)):
            if isinstance(wanted, ConditionWanted):
                answers = self.holds(wanted.when, run)
            elif event.name not in wanted.event:
                answers = False
            elif wanted.of is None:
                answers = True
            elif event.call is not None:
                answers = (run, wanted.of, event.call) == self.answered
            else:
                answers = event.mail is not None and event.mail == last_mail(run, wanted.of)
            if answers:
                return number
        return None

    def restart(self, run: Run) -> None:
        stop = run.stop
        if run.held is not None or stop is None or not isinstance(stop.step, WaitStep):
            return
        wait = stop.step.wait
        if isinstance(wait, WaitFor) and wait.restart:
            run.stop = Stop(stop.step, self.now + wait.time)
        elif isinstance(wait, WaitForOne | WaitForAny) and wait.restart:
            run.stop = Stop(stop.step, self.now + wait.at_most)


def wanted_of(wait: WaitForOne | WaitForAny) -> Iterator[EventWanted | ConditionWanted]:
    yield from wait.for_ if isinstance(wait, WaitForAny) else (wait.for_,)


def last_mail(run: Run, step: str) -> int:
    return max((mail for mail, (own, _) in run.asked.items() if own == step), default=-1)
