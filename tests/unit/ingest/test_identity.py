from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chappe.events import Identifier
from chappe.ids import DEFAULT_WORKSPACE, ContactId, derived
from chappe_ingest.domain import identity
from chappe_ingest.domain.identity import Claim, Resolution, View, learn, resolve

ZOE = Identifier("email", "zoe@example.com")
MAX = Identifier("email", "max@example.com")
ID_7 = Identifier("external_id", "shop:7")
ID_8 = Identifier("external_id", "shop:8")
VISITOR = Identifier("anonymous_id", "visitor-1")
CHECKOUT = Identifier("checkout_token", "t1")
CART = Identifier("cart_token", "c1")
PHONE = Identifier("phone", "+33612345678")


class World:
    """Claims one after another, each learnt."""

    def __init__(self) -> None:
        self.view = View()

    def says(
        self, *identifiers: Identifier, scope: str = "shop", trusted: bool = True
    ) -> Resolution:
        claim = Claim(
            workspace=DEFAULT_WORKSPACE, scope=scope, identifiers=identifiers, trusted=trusted
        )
        found = resolve(self.view, claim)
        learn(self.view, claim, found)
        return found


def reasons(found: Resolution) -> list[str]:
    return [conflict.reason for conflict in found.conflicts]


def test_one_address_is_one_contact() -> None:
    world = World()
    assert world.says(ZOE).contact == world.says(ZOE).contact
    assert world.says(ZOE).contact != world.says(MAX).contact


def test_a_new_contact_s_id_follows_from_its_strongest_name() -> None:
    wanted = derived("c_", DEFAULT_WORKSPACE, "external_id", "shop:7")
    assert World().says(CART, ZOE, ID_7).contact == wanted


def test_an_address_learnt_late_joins_the_anonymous_contact() -> None:
    world = World()
    anonymous = world.says(CHECKOUT, CART)
    known = world.says(ZOE, CHECKOUT)
    assert known.contact == anonymous.contact
    assert not known.created
    assert world.says(ZOE).contact == anonymous.contact


def test_an_address_learnt_late_by_its_visitor_joins_too() -> None:
    world = World()
    anonymous = world.says(VISITOR)
    assert world.says(ZOE, VISITOR).contact == anonymous.contact


def test_an_account_learnt_late_joins_with_its_address() -> None:
    world = World()
    anonymous = world.says(CHECKOUT)
    known = world.says(ID_7, ZOE, CHECKOUT)
    assert known.contact == anonymous.contact
    assert world.says(ID_7).contact == anonymous.contact


def test_a_token_of_a_known_contact_does_not_move() -> None:
    world = World()
    zoe = world.says(ZOE, CHECKOUT)
    max_ = world.says(MAX, CHECKOUT)
    assert max_.contact != zoe.contact
    assert reasons(max_) == ["held_by_another"]
    assert max_.elsewhere == (zoe.contact,)
    assert CHECKOUT not in max_.identifiers
    assert world.says(CHECKOUT).contact == zoe.contact


def test_an_anonymous_cart_of_a_known_person_waits_for_a_merge() -> None:
    world = World()
    zoe = world.says(ZOE)
    anonymous = world.says(CHECKOUT)
    found = world.says(ZOE, CHECKOUT)
    assert found.contact == zoe.contact
    assert found.elsewhere == (anonymous.contact,)
    assert reasons(found) == ["merge_wanted"]


def test_a_shared_device_does_not_join_two_people() -> None:
    world = World()
    zoe = world.says(ZOE, VISITOR)
    max_ = world.says(MAX, VISITOR)
    assert max_.contact != zoe.contact
    assert max_.elsewhere == ()


def test_a_verified_account_attaches_to_an_address_that_has_none_from_that_shop() -> None:
    world = World()
    zoe = world.says(ZOE)
    assert world.says(ID_7, ZOE).contact == zoe.contact
    assert world.says(ID_7).contact == zoe.contact


def test_a_second_account_of_one_shop_stays_apart_and_moves_no_address() -> None:
    world = World()
    zoe = world.says(ID_7, ZOE)
    second = world.says(ID_8, ZOE)
    assert second.contact != zoe.contact
    assert second.created
    assert reasons(second) == ["other_external_id"]
    assert ZOE not in second.identifiers
    assert world.says(ZOE).contact == zoe.contact


def test_an_account_of_another_shop_attaches_to_the_same_address() -> None:
    world = World()
    zoe = world.says(ID_7, ZOE)
    assert world.says(Identifier("external_id", "other:1"), ZOE, scope="other").contact == (
        zoe.contact
    )


def test_a_public_key_attaches_no_account_to_a_known_address() -> None:
    world = World()
    zoe = world.says(ZOE)
    found = world.says(ID_7, ZOE, trusted=False)
    assert found.contact != zoe.contact
    assert reasons(found) == ["public_source"]


def test_a_public_key_gives_a_known_contact_no_further_address() -> None:
    world = World()
    zoe = world.says(ID_7, ZOE)
    found = world.says(ID_7, MAX, trusted=False)
    assert found.contact == zoe.contact
    assert reasons(found) == ["not_attached"]
    assert world.says(MAX).contact != zoe.contact


def test_a_public_key_names_an_anonymous_visitor_but_is_not_trusted() -> None:
    world = World()
    visitor = world.says(VISITOR, trusted=False)
    assert world.says(ZOE, VISITOR, trusted=False).contact == visitor.contact
    assert not world.view.is_known(visitor.contact)
    world.says(ZOE)
    assert world.view.is_known(visitor.contact)


def test_a_known_account_learns_a_new_address_up_to_a_limit() -> None:
    world = World()
    zoe = world.says(ID_7, ZOE)
    for number in range(identity.NAMES_MAX - 1):
        found = world.says(ID_7, Identifier("email", f"z{number}@example.com"))
        assert found.contact == zoe.contact
        assert not found.conflicts
    assert reasons(world.says(ID_7, MAX)) == ["not_attached"]


def test_an_account_is_stronger_than_an_address() -> None:
    world = World()
    seven = world.says(ID_7)
    zoe = world.says(ZOE)
    found = world.says(ZOE, ID_7)
    assert found.contact == seven.contact
    assert found.conflicts[0].held_by == zoe.contact


def test_a_phone_finds_a_contact_that_has_no_address_yet() -> None:
    world = World()
    phone = world.says(PHONE)
    assert world.says(PHONE, ZOE).contact == phone.contact
    assert world.says(PHONE, MAX).contact != phone.contact


def test_a_sender_may_name_the_contact_itself() -> None:
    world = World()
    zoe = world.says(ZOE).contact
    claim = Claim(
        workspace=DEFAULT_WORKSPACE, scope="api", identifiers=(CART,), trusted=True, contact=zoe
    )
    assert resolve(world.view, claim).contact == zoe


def test_ordered_tokens_are_remembered() -> None:
    view = View()
    identity.remember_order(view, DEFAULT_WORKSPACE, (ZOE, CHECKOUT))
    assert identity.is_ordered(view, DEFAULT_WORKSPACE, (CART, CHECKOUT))
    assert not identity.is_ordered(view, DEFAULT_WORKSPACE, (ZOE, CART))


@given(
    st.lists(
        st.tuples(
            st.lists(
                st.sampled_from([ZOE, MAX, ID_7, ID_8, VISITOR, CHECKOUT, CART, PHONE]),
                min_size=1,
                max_size=5,
                unique=True,
            ),
            st.booleans(),
        ),
        max_size=12,
    )
)
def test_nothing_that_is_bound_ever_moves(
    said: Iterable[tuple[list[Identifier], bool]],
) -> None:
    world = World()
    bound: dict[identity.Key, ContactId] = {}
    for identifiers, trusted in said:
        found = world.says(*identifiers, trusted=trusted)
        for key, contact in bound.items():
            assert world.view.bindings[key].contact == contact
        bound = {key: each.contact for key, each in world.view.bindings.items()}
        assert all(
            world.view.bindings[identity.key_of(DEFAULT_WORKSPACE, each)].contact == found.contact
            for each in found.identifiers
        )
        assert {*found.identifiers} | {c.identifier for c in found.conflicts} == {*identifiers}


@pytest.mark.parametrize("trusted", [True, False])
def test_the_same_claims_again_change_nothing(trusted: bool) -> None:
    world = World()
    first = world.says(ID_7, ZOE, CHECKOUT, trusted=trusted)
    again = world.says(ID_7, ZOE, CHECKOUT, trusted=trusted)
    assert again.contact == first.contact
    assert again.attached == ()
