"""A second reading of the journey language, slow and plain, to hold the engine against.

It shares the definition model with the engine and nothing else: no program, no nodes, no state
documents, no timers. An enrollment is a generator that walks the written tree; time is a question
who wakes next. It knows one contact, and the steps that decide who gets which mail.
"""

import datetime as dt

from chappe.journey.definition import Journey
from chappe.journey.rules import ExitRule
from chappe.journey.steps import SendStep, WaitForAny, WaitStep
from chappe.journey.waits import WaitForOne, WaitUntilDate
from tests.unit.orchestrator.reference.entering import key_of
from tests.unit.orchestrator.reference.known import MAILS
from tests.unit.orchestrator.reference.story import Happening, Run, Stop
from tests.unit.orchestrator.reference.watching import Watch, Watching

UNSENT = ("email.skipped", "email.cancelled", "email.failed")


class Reference(Watching):
    """One contact and its journeys."""

    def hear(self, event: Happening) -> None:
        if event.id in self.heard:
            return
        self.heard.add(event.id)
        self._apply(event)
        self._tell_news()

    def until(self, end: dt.datetime) -> None:
        """Let time pass, waking whoever is due, one after the other."""
        while due := self._due(end):
            at, _, who = min(due, key=lambda one: one[:2])
            self.now = max(self.now, at)
            if isinstance(who, Watch):
                found = self.next_watch(who)
                assert found is not None
                self.begin(who, *found)
            else:
                self._wake(who)
            self._tell_news()
        self.now = end

    def resume(self) -> None:
        self.paused = False
        for run in [one for one in self.runs if one.active and one.held is not None]:
            told, run.held = run.held, None
            if run.active and told is not None:
                self.go_on(run, told)
                self._tell_news()

    def _due(self, end: dt.datetime) -> list[tuple[dt.datetime, int, Run | Watch]]:
        """Of those due at one instant the journeys come first that are still to begin."""
        found: list[tuple[dt.datetime, int, Run | Watch]] = []
        watches = self.watches()
        for number, watch in enumerate(watches):
            beginning = self.next_watch(watch)
            if beginning is not None and beginning[0] <= end:
                found.append((beginning[0], number - len(watches), watch))
        for number, run in enumerate(self.runs):
            if run.active and run.held is None and run.stop is not None and run.stop.due <= end:
                found.append((run.stop.due, number, run))
        return found

    def _wake(self, run: Run) -> None:
        assert run.stop is not None
        due, step = run.stop.due, run.stop.step
        if self.leaves(run):
            return
        told: str | int = "time"
        run.due, run.inserting = due, False
        if isinstance(step, SendStep):
            pass
        elif isinstance(step.wait, WaitForOne | WaitForAny):
            way = self.open_way(run, step.wait)
            told = "time" if way is None else way
        elif isinstance(step.wait, WaitUntilDate):
            at = self.date(run, step.wait)
            if at is None:
                self.leave(run)
                return
            if at > self.now:
                run.stop = Stop(step, at)
                return
        self.go_on(run, told)

    # -- one fact ---------------------------------------------------------------------------------

    def _apply(self, event: Happening) -> None:
        self._learn(event)
        for run in self.runs:
            if any(ends(rule, run, event) for rule in exits(run.journey, event)):
                if run.active:
                    self.leave(run)
                else:
                    self.take_back(run)
        self._close(event)
        for run in self.active():
            self.leaves(run)
        if event.traits:
            for run in self.active():
                self.move(run)
        if not event.historical:
            for run in self.active():
                self._answer(run, event)
        self.look_at_the_calendar(set(event.traits), may_enter=not event.historical)
        self.enter(event)

    def _close(self, event: Happening) -> None:
        value = key_of(event.data)
        for journey in self.journeys:
            if value is not None and any(rule.match for rule in exits(journey, event)):
                self.closed[journey.journey, value] = self.now

    def _learn(self, event: Happening) -> None:
        for name, value in event.traits.items():
            if name == "tags":
                self.set_tags(value)
            elif event.historical and name in self.traits:
                continue
            elif value is None:
                self.traits.pop(name, None)
            else:
                self.traits[name] = value
        self.counts[event.name] += 1
        self.last[event.name] = self.now
        self._learn_of_mail(event)
        self.answered = None
        if event.call is not None:
            self._learn_answer(event, event.call)

    def _learn_of_mail(self, event: Happening) -> None:
        mail = event.mail
        if mail is None:
            return
        if event.name == "email.clicked" and mail >= len(self.mails) - MAILS:
            self.clicked.add(mail)
        if event.name in UNSENT:
            self.unsent.add(mail)
        if event.name in ("email.accepted", *UNSENT):
            state = "accepted" if event.name == "email.accepted" else "over"
            for run in self.runs:
                if mail in run.asked:
                    run.asked[mail] = (run.asked[mail][0], state)

    def _learn_answer(self, event: Happening, call: int) -> None:
        """An answer counts while its call is the last of its step, and nobody has answered it."""
        for run in self.runs:
            for step, number in list(run.calls.items()):
                if number == call:
                    del run.calls[step]
                    run.answers[step] = dict(event.data["answer"])
                    self.answered = (run, step, call)

    def _tell_news(self) -> None:
        while self.news:
            name, data, traits = self.news.pop(0)
            self._apply(Happening("news", name, data, traits))

    def _answer(self, run: Run, event: Happening) -> None:
        stop = run.stop
        if run.held is not None or stop is None or not run.active:
            return
        if not isinstance(stop.step, WaitStep):
            return
        wait = stop.step.wait
        if not isinstance(wait, WaitForOne | WaitForAny):
            return
        way = self.opened_by(run, wait, event)
        if way is not None:
            run.due, run.inserting = self.now, False
            self.go_on(run, way)


def exits(journey: Journey, event: Happening) -> list[ExitRule]:
    rules = [rule for rule in journey.exit if isinstance(rule, ExitRule)]
    return [rule for rule in rules if rule.event == event.name]


def ends(rule: ExitRule, run: Run, event: Happening) -> bool:
    """An order without a key ends whatever is open; one with a key the run of that key."""
    value = key_of(event.data)
    return rule.match is None or value is None or value == run.key
