"""The walk: the steps as they are written, one after the other, until one of them waits."""

import datetime as dt
from collections.abc import Generator

from chappe.journey.definition import lists_in
from chappe.journey.steps import (
    BranchStep,
    Else,
    ExitStep,
    GotoStep,
    SendStep,
    SplitStep,
    StartJourneyStep,
    Step,
    UpdateStep,
    UpdateWhat,
    WaitForAny,
    WaitStep,
    WebhookStep,
)
from chappe.journey.triggers import OnJourney
from chappe.journey.waits import WaitFor, WaitForOne, WaitUntilDate, WaitUntilTime
from tests.unit.orchestrator.reference.calendar import next_on
from tests.unit.orchestrator.reference.known import MAILS
from tests.unit.orchestrator.reference.story import Call, Mail, Refusal, Run, Stop, Walk
from tests.unit.orchestrator.reference.waiting import Waiting

DAY = dt.timedelta(days=1)
PAST = dt.timedelta(minutes=15)
TOPIC = "offers"

Steps = tuple[Step, ...]


class Walking(Waiting):
    def step(self, run: Run, told: str | int | None) -> None:
        """Let a run go on; it stands where the walk stops, or has come to its end."""
        assert run.walk is not None
        run.stop = None
        try:
            run.stop = next(run.walk) if told is None else run.walk.send(told)
        except StopIteration as end:
            if run.active:
                run.active = False
                self.tell(run, "finished", end.value or "finished")

    def tell(self, run: Run, what: str, reason: str | None = None) -> None:
        """For the journeys that begin when this one does, or when it is over."""
        name = run.journey.journey
        listeners = [
            one
            for journey in self.journeys
            for one in journey.trigger
            if isinstance(one, OnJourney) and getattr(one.journey, what) == name
        ]
        if listeners:
            more = {"journey": name, "key": run.key} | ({"reason": reason} if reason else {})
            self.news.append((f"journey.{what}", {**run.event, **more}, {}))

    def walk(self, run: Run) -> Walk:
        place: list[tuple[Steps, int]] = [(run.journey.steps, 0)]
        while not self.leaves(run):
            while place and place[-1][1] >= len(place[-1][0]):
                place.pop()
            if not place:
                return None
            steps, index = place.pop()
            place.append((steps, index + 1))
            step = steps[index]
            match step:
                case SendStep():
                    yield from self._send(run, step)
                    if not run.active:
                        return None
                case WaitStep():
                    way = yield from self._wait(run, step)
                    if way is None:
                        return None
                    place.append((way, 0))
                case GotoStep(goto=target):
                    place = place_of(run.journey.steps, target)
                case ExitStep(exit=reason):
                    return reason  # type: ignore[return-value]
                case _:
                    place.append((self._act(run, step), 0))
        return None

    def _act(self, run: Run, step: Step) -> Steps:
        match step:
            case BranchStep(branch=arms):
                for arm in arms:
                    if isinstance(arm, Else):
                        return arm.else_
                    if self.holds(arm.when, run):
                        return arm.then
            case SplitStep():
                return self._draw(run, step)
            case UpdateStep(update=what):
                self._update(what)
            case StartJourneyStep(start_journey=other):
                asked = {"journey": other, "by": "journey", "from": run.journey.journey}
                self.news.append(("journey.requested", {**run.event, **asked}, {}))
            case WebhookStep():
                self._call(run, step.id or "")
            case _:
                raise AssertionError(step)
        return ()

    def _draw(self, run: Run, step: SplitStep) -> Steps:
        variants = step.split.variants
        left = self.lot("split", run.journey.journey, step.id or "", self.contact)
        left *= sum(one.weight for one in variants)
        for one in variants:
            left -= one.weight
            if left < 0:
                return one.then
        return variants[-1].then

    def _update(self, what: UpdateWhat) -> None:
        changed = {k: v for k, v in what.set.items() if self.traits.get(k) != v}
        for name, value in changed.items():
            if value is None:
                self.traits.pop(name, None)
            else:
                self.traits[name] = value
        if changed:
            self.news.append(("contact.updated", {}, changed))
        tags = [*self.tags, *(tag for tag in what.add_tags or () if tag not in self.tags)]
        self.set_tags(tag for tag in tags if tag not in (what.remove_tags or ()))

    def _call(self, run: Run, step: str) -> None:
        run.visits[step] += 1
        if run.inserting and self.now - run.due > PAST:
            return
        run.calls[step] = len(self.calls)
        self.calls.append(Call(run.journey.journey, run.key, step, self.now))

    # -- waiting ----------------------------------------------------------------------------------

    def _wait(self, run: Run, step: WaitStep) -> Generator[Stop, "str | int", Steps | None]:
        wait = step.wait
        if isinstance(wait, WaitUntilDate):
            at = self.date(run, wait)
            if at is None:
                self.leave(run)
                return None
            if at > self.now:
                yield Stop(step, at)
            else:
                run.due, run.inserting = at, True
            return ()
        base = run.due if run.inserting else self.now
        if isinstance(wait, WaitForOne | WaitForAny):
            ways = (
                (step.then,) if isinstance(wait, WaitForOne) else tuple(p.then for p in wait.for_)
            )
            way = self.open_way(run, wait)
            if way is not None:
                return ways[way]
            told = yield from self._let_pass(run, step, base + wait.at_most)
            return ways[told] if isinstance(told, int) else step.timeout
        if isinstance(wait, WaitUntilTime):
            until = next_on(base, wait.until, wait.on or (), self.zone)
            if until == base:
                return ()
        else:
            until = base + (wait.time if isinstance(wait, WaitFor) else wait)
        yield from self._let_pass(run, step, until)
        return ()

    def _let_pass(
        self, run: Run, step: WaitStep, until: dt.datetime
    ) -> Generator[Stop, "str | int", "str | int"]:
        """Wait, unless a date known late has put the end of the wait into the past."""
        if run.inserting and until <= self.now:
            run.due = until
            return "time"
        return (yield Stop(step, until))

    # -- asking -----------------------------------------------------------------------------------

    def _send(self, run: Run, step: SendStep) -> Generator[Stop, "str | int", None]:
        """Ask for the message, or say why not; if it is only not yet, try again then."""
        topic = step.send.topic or TOPIC
        while True:
            reason, until = self._objection(run, step, topic)
            if until is None:
                break
            self._refuse("postponed", run, step, reason or "")
            yield Stop(step, until)
            if self.leaves(run):
                return
        own = step.id or ""
        run.visits[own] += 1
        if reason is not None:
            self._refuse("trapped" if reason == "holdout" else "skipped", run, step, reason)
            return
        number = len(self.mails)
        run.asked[number] = (own, "asked")
        for mail in list(run.asked)[:-MAILS]:
            del run.asked[mail]
        name = run.journey.journey
        self.mails.append(Mail(name, run.key, own, run.visits[own], self.now, topic))

    def _objection(
        self, run: Run, step: SendStep, topic: str
    ) -> tuple[str | None, dt.datetime | None]:
        """Why the message is not asked for now, and when to try again, if ever."""
        late, what = self.now - run.due, step.send
        if run.inserting and late > PAST:
            return "date_passed", None
        if late > DAY:
            return "too_late", None
        wanted = run.journey.entry.filter
        if wanted is not None and not self.holds(wanted, run):
            return "filter", None
        if self.held_out(run.journey):
            return "holdout", None
        quiet = self.quiet_until(run.journey)
        if quiet is not None:
            return "quiet_hours", quiet if what.if_quiet == "postpone" else None
        free = self.capped_until(run.journey, topic)
        if free is not None:
            return "frequency_cap", free if what.if_capped == "postpone" else None
        return None, None

    def _refuse(self, what: str, run: Run, step: SendStep, reason: str) -> None:
        name = run.journey.journey
        self.refusals.append(Refusal(what, name, run.key, step.id or "", reason, self.now))


def place_of(steps: Steps, target: str) -> list[tuple[Steps, int]]:
    """Where the step called ``target`` stands: the lists it is in, with what follows in each."""
    for index, step in enumerate(steps):
        if step.id == target:
            return [(steps, index)]
        for _, _, inner in lists_in(step):
            found = place_of(inner, target)
            if found:
                return [(steps, index + 1), *found]
    return []
