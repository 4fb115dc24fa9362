import datetime as dt

import pytest

from chappe.events import Identifier
from chappe.ids import DEFAULT_WORKSPACE, ContactId
from chappe_ingest.domain import identity
from chappe_ingest.domain.identity import Binding, Key, View
from chappe_ingest.domain.merging import folded, forget, merge
from tests.unit.ingest.shop import NOW

A, B, C = ContactId("c_a"), ContactId("c_b"), ContactId("c_c")
LATER = NOW + dt.timedelta(days=1)


def key(email: str) -> Key:
    return DEFAULT_WORKSPACE, "email", email


def people() -> View:
    view = View()
    for contact in (A, B, C):
        view.bind(key(f"{contact}@x.example"), Binding(contact))
    return view


def holders(view: View) -> set[ContactId]:
    return {binding.contact for binding in view.bindings.values()}


def test_a_chain_of_merges_ends_in_the_last() -> None:
    view = people()
    merge(view, DEFAULT_WORKSPACE, A, B)
    merge(view, DEFAULT_WORKSPACE, B, C)
    assert holders(view) == {C}
    assert len(view.names[C]) == 3
    assert view.names.keys() == {C}


def test_a_circle_of_merges_ends_in_one_contact() -> None:
    view = people()
    for gone, into in ((A, B), (B, C), (C, A), (A, B)):
        merge(view, DEFAULT_WORKSPACE, gone, into)
    assert holders(view) == {B}


def test_a_merge_of_somebody_who_has_no_name_left_moves_nothing() -> None:
    view = people()
    merge(view, DEFAULT_WORKSPACE, A, B)
    assert merge(view, DEFAULT_WORKSPACE, A, B) == []


@pytest.mark.parametrize(("first", "second"), [("2026-01-01", "2026-06-01"), ("", "2026-06-01")])
def test_unsubscribed_wins_over_any_later_word(first: str, second: str) -> None:
    left, stayed = {"shop email": ["unsubscribed", first]}, {"shop email": ["subscribed", second]}
    assert folded(left, stayed) == left
    assert folded(stayed, left) == left


def test_of_two_like_words_the_later_counts_and_a_tie_changes_nothing() -> None:
    early, late = (
        {"shop email": ["subscribed", "2026-01-01T00:00:00Z"]},
        {"shop email": ["pending", "2026-06-01T00:00:00Z"]},
    )
    assert folded(early, late) == late
    assert folded(late, early) == late
    same = {"shop email": ["pending", "2026-01-01T00:00:00Z"]}
    assert folded(early, same) == early


def test_each_source_keeps_its_own_word() -> None:
    one, other = {"shop email": ["subscribed", "x"]}, {"app email": ["unsubscribed", "y"]}
    assert folded(one, other) == one | other


def test_who_has_an_erased_name_is_somebody_new_each_time() -> None:
    view, seen = View(), {A}
    claim = identity.Claim(
        workspace=DEFAULT_WORKSPACE,
        scope="shop",
        identifiers=(Identifier("email", "zoe@example.com"),),
        trusted=True,
    )
    for at in (NOW, LATER, NOW):
        found = identity.resolve(view, claim)
        identity.learn(view, claim, found)
        seen.add(found.contact)
        forget(view, DEFAULT_WORKSPACE, found.contact, at)
    assert len(seen) == 4
    erased = view.erased[key("zoe@example.com")]
    assert (erased.times, erased.at) == (3, LATER)
