"""What became of one message, and what that adds to the counts of its step.

A message is known by what was said of it, in whatever order that came: the counts of a step are
the sum of what its messages contribute, so a repeat changes nothing and a late word about the
journey moves everything at once.
"""

import datetime as dt
from decimal import Decimal

import msgspec

from chappe.events import Decision, Event
from chappe.ids import ContactId, EnrollmentId, MessageId, StepId, WorkspaceId
from chappe_analytics.domain.tallies import REVENUE, Counts, Tally, amount_of
from chappe_analytics.domain.verdict import Verdict

TOUCHES_MAX = 20
REASON_LENGTH_MAX = 60
CURRENCY_LENGTH = 3

FATES = {
    "email.accepted": "sent",
    "email.delivered": "delivered",
    "email.bounced": "bounced",
    "email.rejected": "failed",
    "email.failed": "failed",
    "email.skipped": "skipped",
    "email.cancelled": "cancelled",
    "email.in_doubt": "in_doubt",
    "email.unsubscribed": "unsubscribed",
    "email.complained": "complained",
}
ENGAGEMENTS = {"email.opened": "opened", "email.clicked": "clicked"}
WITH_REASON = ("bounced", "failed", "skipped", "cancelled")


class Touch(msgspec.Struct, frozen=True):
    """A reader touched the message: what an order may be owed to."""

    at: dt.datetime
    kind: str


class Message(msgspec.Struct, kw_only=True):
    """What is known of one message. ``fates`` maps what happened to its reason, or to ""."""

    id: MessageId
    workspace: WorkspaceId
    contact: ContactId
    journey: str | None = None
    version: int = 0
    step: StepId | None = None
    enrollment: EnrollmentId | None = None
    fates: dict[str, str] = {}
    touches: list[Touch] = []
    orders: int = 0
    revenue: dict[str, Decimal] = {}

    @property
    def touched_at(self) -> dt.datetime | None:
        """The last time a reader touched it in a way that an order may be owed to."""
        return max((touch.at for touch in self.touches), default=None)

    def learn(self, decision: Decision) -> None:
        """A decision about the message: whose it is, and that it was asked for or left out."""
        if self.journey is None and decision.journey is not None:
            self.journey = decision.journey
            self.version = decision.version or 0
            self.step = decision.step
            self.enrollment = decision.enrollment
        if decision.what in ("asked", "skipped"):
            self._fate(decision.what, decision.reason)

    def hear(self, event: Event) -> None:
        """A fact about the message."""
        if (fate := FATES.get(event.name)) is not None:
            reason = event.data.get("reason")
            self._fate(fate, reason if isinstance(reason, str) else None)
        elif (engaged := ENGAGEMENTS.get(event.name)) is not None:
            self._engaged(engaged, event)
        elif event.name == "email.resolved":
            self.fates.pop("in_doubt", None)

    def earn(self, event: Event) -> None:
        """An order that is owed to this message."""
        self.orders += 1
        total = event.data.get("total")
        if not isinstance(total, dict):
            return
        money: dict[str, object] = total  # pyright: ignore[reportUnknownVariableType]
        amount, currency = amount_of(money.get("amount")), money.get("currency")
        if amount is not None and isinstance(currency, str) and len(currency) == CURRENCY_LENGTH:
            self.revenue[currency] = self.revenue.get(currency, Decimal()) + amount

    def counts(self) -> Counts:
        """What the message adds to the numbers of its step; nothing until the step is known."""
        if self.journey is None:
            return {}
        sums = {(fate, reason): Decimal(1) for fate, reason in self.fates.items()}
        if self.orders:
            sums["conversions", ""] = Decimal(self.orders)
        sums |= {(REVENUE, currency): amount for currency, amount in self.revenue.items()}
        return {
            Tally(self.workspace, self.journey, self.version, self.step or "", *what): n
            for what, n in sums.items()
        }

    def _fate(self, fate: str, reason: str | None) -> None:
        kept = (reason or "unknown")[:REASON_LENGTH_MAX] if fate in WITH_REASON else ""
        self.fates.setdefault(fate, kept)
        if fate == "sent":
            self.fates.pop("in_doubt", None)

    def _engaged(self, engaged: str, event: Event) -> None:
        if event.data.get("verdict") == Verdict.MACHINE:
            self.fates.setdefault(f"{engaged}_by_machine", "")
            return
        self.fates.setdefault(engaged, "")
        self.fates.setdefault("opened", "")  # nobody clicks a mail without having opened it
        human = event.data.get("verdict") in (None, Verdict.HUMAN)
        if engaged == "clicked" or human:
            self.touches.append(Touch(event.occurred_at, engaged))
            del self.touches[:-TOUCHES_MAX]


def message_of(event: Event) -> MessageId | None:
    """The message that an ``email.`` event is about."""
    if not event.name.startswith("email."):
        return None
    said = event.data.get("message")
    if not isinstance(said, str):
        said = event.object.id if event.object and event.object.type == "message" else None
    return MessageId(said) if said else None
