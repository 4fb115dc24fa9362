"""Who leaves, and what is taken back when they do."""

from chappe.journey.rules import ExitWhen
from tests.unit.orchestrator.reference.known import Known
from tests.unit.orchestrator.reference.story import Run


class Leaving(Known):
    def leaves(self, run: Run) -> bool:
        if not run.active:
            return True
        for rule in run.journey.exit:
            if isinstance(rule, ExitWhen) and self.holds(rule.when, run):
                self.leave(run)
                return True
        return False

    def leave(self, run: Run) -> None:
        self.take_back(run)
        run.active, run.stop, run.held = False, None, None

    def take_back(self, run: Run) -> None:
        """What was asked for and has not gone out yet: mails and calls."""
        self.dropped += run.calls.values()
        run.calls = {}
        for mail, (step, state) in run.asked.items():
            if state == "asked":
                run.asked[mail] = (step, "over")
                self.cancelled.append(mail)
