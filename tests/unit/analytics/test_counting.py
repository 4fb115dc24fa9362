import datetime as dt
from decimal import Decimal
from itertools import permutations

import pytest

from chappe.events import Event, Flags
from chappe.ids import MessageId
from chappe_analytics.application.folding import Fold
from chappe_analytics.application.ports import Held
from chappe_analytics.domain.report import Report, report
from chappe_analytics.domain.tallies import Counts, add
from tests.unit.analytics.facts import CART_1, NOON, ZOE, decision, event, record_of, touch

EUROS = {"amount": "25.91", "currency": "EUR"}


def told(fold: Fold, *facts: Event) -> None:
    for fact in facts:
        fold.hear(record_of(fact), fact, ZOE)


def counted(fold: Fold) -> Counts:
    counts: Counts = {}
    for _, some in fold.changes().counts:
        for tally, n in some.items():
            if tally.journey:
                add(counts, tally, n)
    return counts


def reported(fold: Fold) -> Report:
    return report("abandoned-cart", counted(fold))


def asked(message: MessageId = CART_1, step: str = "cart-1") -> Fold:
    fold = Fold(Held())
    fold.decide(0, decision("entered"))
    fold.decide(0, decision("asked", step=step, message=message))
    return fold


def clicked(after: dt.timedelta, verdict: str = "human", message: MessageId = CART_1) -> Event:
    return event("email.clicked", at=NOON + after, message=message, verdict=verdict, url="x")


def ordered(after: dt.timedelta, flags: Flags | None = None) -> Event:
    return event("order.placed", at=NOON + after, total=EUROS, flags=flags)


def test_a_mail_is_counted_at_its_step_from_asking_to_revenue() -> None:
    fold = asked()
    told(
        fold,
        event("email.accepted", message=CART_1),
        event("email.delivered", message=CART_1),
        event("email.opened", message=CART_1, verdict="human"),
        clicked(dt.timedelta(hours=1)),
        ordered(dt.timedelta(hours=2)),
    )
    found = reported(fold)
    (step,) = found.steps
    assert step.step == "cart-1"
    measures = {name: n for name, n in step.numbers.measures.items() if n}
    assert measures == {
        "asked": 1, "sent": 1, "delivered": 1, "opened": 1, "clicked": 1, "conversions": 1,
    }  # fmt: skip
    assert step.numbers.revenue == {"EUR": "25.91"}
    assert found.active == 1


def test_the_order_in_which_the_streams_are_read_does_not_matter() -> None:
    facts = [
        event("email.accepted", message=CART_1),
        event("email.clicked", message=CART_1, verdict="human"),
        event("email.unsubscribed", message=CART_1),
    ]
    reports: list[Report] = []
    for order in permutations([*facts, decision("asked", step="cart-1", message=CART_1)]):
        fold = Fold(Held())
        for one in order:
            if isinstance(one, Event):
                told(fold, one)
            else:
                fold.decide(0, one)
        reports.append(reported(fold))
    assert all(one == reports[0] for one in reports)
    assert reports[0].numbers.measures["clicked"] == 1


def test_what_was_applied_before_is_not_counted_again() -> None:
    fold = asked()
    accepted = event("email.accepted", message=CART_1)
    told(fold, accepted, accepted)
    again = decision("not_entered", reason="closed_key")
    fold.decide(0, again)
    fold.decide(0, again)
    found = reported(fold)
    assert found.numbers.measures["sent"] == 1
    assert found.reasons == {"not_entered": {"closed_key": 1}}
    assert fold.repeats == 2


def test_a_skip_told_by_decision_and_by_event_is_one_skip() -> None:
    fold = asked()
    fold.decide(0, decision("skipped", reason="no_consent", step="cart-1", message=CART_1))
    told(fold, event("email.skipped", message=CART_1, reason="no_consent"))
    assert reported(fold).reasons["skipped"] == {"no_consent": 1}


def test_a_doubt_that_was_resolved_is_no_longer_counted() -> None:
    fold = asked()
    told(fold, event("email.in_doubt", message=CART_1))
    told(fold, event("email.resolved", message=CART_1))
    assert reported(fold).numbers.measures["in_doubt"] == 0


def test_what_machines_do_is_counted_apart() -> None:
    fold = asked()
    told(
        fold,
        event("email.opened", message=CART_1, verdict="machine"),
        clicked(dt.timedelta(), "machine"),
        ordered(dt.timedelta(hours=1)),
    )
    measures = reported(fold).numbers.measures
    assert measures["opened_by_machine"] == measures["clicked_by_machine"] == 1
    assert measures["opened"] == measures["clicked"] == measures["conversions"] == 0


def test_a_click_implies_an_open() -> None:
    fold = asked()
    told(fold, clicked(dt.timedelta()))
    assert reported(fold).numbers.measures["opened"] == 1


@pytest.mark.parametrize(
    ("verdict", "after", "earned"),
    [
        ("human", dt.timedelta(days=5), True),
        ("human", dt.timedelta(days=5, minutes=1), False),
        ("human", dt.timedelta(minutes=-1), False),
        ("human", dt.timedelta(milliseconds=-500), True),  # a shop's clock has whole seconds
        ("unsure", dt.timedelta(days=1), True),
        ("machine", dt.timedelta(days=1), False),
    ],
)
def test_an_order_is_owed_to_a_click_of_the_last_five_days(
    verdict: str, after: dt.timedelta, earned: bool
) -> None:
    fold = asked()
    told(fold, clicked(dt.timedelta(), verdict), ordered(after))
    assert reported(fold).numbers.measures["conversions"] == int(earned)


@pytest.mark.parametrize(("verdict", "earned"), [("human", 1), ("unsure", 0), ("machine", 0)])
def test_an_order_is_owed_to_an_open_only_when_a_person_opened(verdict: str, earned: int) -> None:
    fold = asked()
    told(fold, event("email.opened", message=CART_1, verdict=verdict), ordered(dt.timedelta(1)))
    assert reported(fold).numbers.measures["conversions"] == earned


def test_the_last_touch_earns_the_order() -> None:
    fold = asked()
    later = MessageId("m_cart-2")
    fold.decide(0, decision("asked", step="cart-2", message=later))
    told(
        fold,
        clicked(dt.timedelta()),
        clicked(dt.timedelta(hours=1), message=later),
        ordered(dt.timedelta(hours=2)),
    )
    earned = {step.step: step.numbers.measures["conversions"] for step in reported(fold).steps}
    assert earned == {"cart-1": 0, "cart-2": 1}


@pytest.mark.parametrize("flags", [Flags(copy=True), Flags(test=True)])
def test_copies_and_test_orders_earn_nothing(flags: Flags) -> None:
    fold = asked()
    told(fold, clicked(dt.timedelta()), ordered(dt.timedelta(hours=1), flags))
    assert reported(fold).numbers.measures["conversions"] == 0


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "1e400", "much", None, {"a": 1}])
def test_an_order_without_a_plausible_total_converts_and_earns_nothing(amount: object) -> None:
    fold = asked()
    total = {"amount": amount, "currency": "EUR"}
    told(fold, clicked(dt.timedelta()), event("order.placed", total=total))
    numbers = reported(fold).numbers
    assert (numbers.measures["conversions"], numbers.revenue) == (1, {})


def test_revenue_is_summed_by_currency() -> None:
    fold = asked()
    dollars = event("order.placed", total={"amount": "9.5", "currency": "USD"})
    told(fold, clicked(dt.timedelta()), ordered(dt.timedelta(1)), ordered(dt.timedelta(2)), dollars)
    assert reported(fold).numbers.revenue == {"EUR": "51.82", "USD": "9.50"}


def test_a_report_knows_who_stands_where() -> None:
    fold = Fold(Held())
    for what, step, reason in [
        ("entered", None, None),
        ("waiting", "wait-1", None),
        ("entered", None, None),
        ("waiting", "wait-1", None),
        ("wait_over", "wait-1", "time"),
        ("wait_over", "wait-2", "already"),
        ("waiting", "wait-3", None),
        ("entered", None, None),
        ("waiting", "wait-1", None),
        ("exited", "wait-1", "order.placed"),
        ("entered", None, None),
        ("finished", None, "finished"),
    ]:
        fold.decide(0, decision(what, step=step, reason=reason))
    found = reported(fold)
    assert {step.step: step.here for step in found.steps} == {
        "wait-1": 1, "wait-2": 0, "wait-3": 1,
    }  # fmt: skip
    assert found.active == 2
    assert found.reasons["exited"] == {"order.placed": 1}


def test_the_first_reader_of_a_link_is_a_fact_and_the_rest_only_count() -> None:
    fold = Fold(Held())
    facts = [fold.engage(touch(number=n)) for n in ("raw_a", "raw_b", "raw_a")]
    assert [fact.name if fact else None for fact in facts] == ["email.clicked", None, None]
    changes = fold.changes()
    assert [engagement.human for engagement in changes.engagements.values()] == [2]
    assert len(changes.hits) == 2


def test_counts_of_a_known_message_move_by_the_difference() -> None:
    fold = asked()
    told(fold, event("email.accepted", message=CART_1))
    known = Held(messages={message.id: message for message in fold.changes().messages})
    later = Fold(known)
    told(later, event("email.bounced", message=CART_1, reason="invalid_recipient"))
    moved = counted(later)
    assert [(tally.measure, tally.reason, n) for tally, n in moved.items()] == [
        ("bounced", "invalid_recipient", Decimal(1))
    ]
