"""Every provider's adapter keeps the same promises, whatever its API does to us."""

import asyncio
import json
from typing import Any

import pytest

from chappe.http import OutboundAnswer
from chappe_sender.adapters.providers import Draft, account_of, adapter_of, judge
from chappe_sender.domain.outcome import (
    Declined,
    HandOverError,
    InDoubt,
    NotSent,
    Scope,
    Taken,
)
from chappe_sender.domain.providers import CAPABILITIES, Kind
from tests.contract.providers.work import NOW, Desk, carried, lanes, letter, record
from tests.fakes.providers import (
    BATCHES,
    KEYED,
    KINDS,
    RETRY_AFTER,
    SECRET,
    Fake,
    Fault,
    serving,
)

UNKEYED = [kind for kind in KINDS if kind not in KEYED]
every = pytest.mark.parametrize("kind", KINDS)


@every
async def test_a_mail_is_taken_with_our_id_our_headers_and_without_their_tracking(
    kind: str,
) -> None:
    async with serving(Fake(kind)) as fake:
        desk = await carried(fake, "m_1")
    (taken,) = fake.taken
    assert (taken.message, taken.recipient) == ("m_1", "m-1@example.com")
    assert taken.headers["List-Unsubscribe"] == "<https://mail.example/u/tok>"
    assert taken.headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert taken.headers["Chappe-Message"] == "m_1"
    assert "Bonjour Zo" in taken.html
    assert not taken.tracked
    verdict = desk.verdicts["m_1"]
    assert isinstance(verdict, Taken)
    assert verdict.provider_id == taken.id
    if CAPABILITIES[Kind(kind)].keeps_message_id:
        assert taken.headers["Message-ID"] == "<m_1@shop.example>"


@every
async def test_wrong_credentials_prove_that_nothing_was_taken(kind: str) -> None:
    async with serving(Fake(kind, [Fault.AUTH])) as fake:
        desk = await carried(fake, "m_1")
    verdict = desk.verdicts["m_1"]
    assert isinstance(verdict, Declined)
    assert verdict.scope is Scope.ROUTE
    assert fake.taken == []


@every
async def test_a_refused_message_is_no_fault_of_the_route(kind: str) -> None:
    async with serving(Fake(kind, [Fault.REFUSED])) as fake:
        desk = await carried(fake, "m_1")
    verdict = desk.verdicts["m_1"]
    assert isinstance(verdict, Declined)
    assert verdict.scope is Scope.MESSAGE
    assert fake.taken == []


@every
async def test_too_many_says_how_long_to_wait(kind: str) -> None:
    async with serving(Fake(kind, [Fault.RATE])) as fake:
        desk = await carried(fake, "m_1")
    verdict = desk.verdicts["m_1"]
    assert isinstance(verdict, Declined)
    assert (verdict.scope, verdict.retry_after) == (Scope.RATE, RETRY_AFTER)
    assert fake.taken == []


@pytest.mark.parametrize("kind", UNKEYED)
@pytest.mark.parametrize(
    "fault", [Fault.ERROR_AFTER_ACCEPT, Fault.SILENCE_AFTER_ACCEPT, Fault.RESET_AFTER_BODY]
)
async def test_without_a_key_a_lost_answer_is_a_doubt_and_asked_for_once(
    kind: str, fault: Fault
) -> None:
    async with serving(Fake(kind, [fault])) as fake:
        desk = await carried(fake, "m_1")
    assert isinstance(desk.verdicts["m_1"], InDoubt)
    assert len(fake.requests) == 1
    assert fake.messages == ["m_1"]


@pytest.mark.parametrize("kind", UNKEYED)
async def test_a_server_error_is_never_proof_that_nothing_was_sent(kind: str) -> None:
    async with serving(Fake(kind, [Fault.ERROR])) as fake:
        desk = await carried(fake, "m_1")
    assert isinstance(desk.verdicts["m_1"], InDoubt)


@pytest.mark.parametrize("kind", KEYED)
@pytest.mark.parametrize(
    "fault", [Fault.ERROR_AFTER_ACCEPT, Fault.SILENCE_AFTER_ACCEPT, Fault.RESET_AFTER_BODY]
)
async def test_under_a_key_a_lost_answer_is_asked_for_again_with_the_same_bytes(
    kind: str, fault: Fault
) -> None:
    async with serving(Fake(kind, [fault])) as fake:
        desk = await carried(fake, "m_1")
    assert isinstance(desk.verdicts["m_1"], Taken)
    assert fake.messages == ["m_1"]
    first, second = fake.requests
    assert first.body == second.body
    assert first.headers.get("idempotency-key") == second.headers.get("idempotency-key")


@pytest.mark.parametrize("kind", KEYED)
async def test_under_a_key_it_is_a_doubt_when_no_answer_ever_comes(kind: str) -> None:
    async with serving(Fake(kind, [Fault.ERROR_AFTER_ACCEPT] * 9)) as fake:
        desk = await carried(fake, "m_1")
    assert isinstance(desk.verdicts["m_1"], InDoubt)
    assert fake.messages == ["m_1"]
    assert len(fake.requests) == 4


@every
async def test_a_success_that_cannot_be_read_is_no_refusal(kind: str) -> None:
    async with serving(Fake(kind, [Fault.MALFORMED])) as fake:
        desk = await carried(fake, "m_1")
    assert isinstance(desk.verdicts["m_1"], Taken | InDoubt)
    assert fake.messages == ["m_1"]


@every
async def test_what_is_called_surely_not_sent_was_not_taken(kind: str) -> None:
    faults = [Fault.RESET_BEFORE_BODY, Fault.RESET_AFTER_BODY, Fault.NONE]
    async with serving(Fake(kind, faults)) as fake:
        desk = await carried(fake, "m_1", "m_2", "m_3", size=1, in_flight="1")
    surely_not = {
        id_ for id_, verdict in desk.verdicts.items() if isinstance(verdict, NotSent | Declined)
    }
    assert surely_not.isdisjoint(fake.messages)
    assert len(fake.messages) == len(set(fake.messages))


@every
async def test_a_provider_that_is_away_means_surely_not_sent(kind: str) -> None:
    async with serving(Fake(kind)) as fake:
        pass
    desk = await carried(fake, "m_1")
    assert isinstance(desk.verdicts["m_1"], NotSent)


@pytest.mark.parametrize("kind", BATCHES)
async def test_each_message_of_a_batch_has_its_own_verdict(kind: str) -> None:
    async with serving(Fake(kind, [Fault.PARTIAL])) as fake:
        desk = await carried(fake, "m_0", "m_1", "m_2", "m_3")
    assert fake.messages == ["m_0", "m_2"]
    ids = {taken.message: taken.id for taken in fake.taken}
    for id_, verdict in desk.verdicts.items():
        if id_ in ids:
            assert isinstance(verdict, Taken)
            assert verdict.provider_id == ids[id_]
        else:
            assert isinstance(verdict, Declined)
            assert verdict.scope in {Scope.RECIPIENT, Scope.MESSAGE}


@every
async def test_a_load_is_no_larger_than_told_and_no_more_are_in_flight(kind: str) -> None:
    ids = [f"m_{n}" for n in range(12)]
    batch = {"batch": "3"} if kind in BATCHES else {}
    async with serving(Fake(kind)) as fake:
        fake.hold = asyncio.Event()
        desk = Desk([letter(id_) for id_ in ids])
        async with lanes(fake, desk, answer_seconds=10, in_flight="2", **batch):
            async with asyncio.timeout(10):
                while fake.in_flight < 2:
                    await asyncio.sleep(0.005)
            in_doubt = sum(len(load) for load in desk.committed)
            fake.hold.set()
            async with asyncio.timeout(10):
                await desk.done.wait()
    assert in_doubt == 2 * (3 if batch else 1)
    assert fake.most_in_flight == 2
    assert sorted(fake.messages) == sorted(ids)


@every
async def test_everything_is_sent_once(kind: str) -> None:
    ids = [f"m_{n}" for n in range(60)]
    async with serving(Fake(kind)) as fake:
        await carried(fake, *ids, answer_seconds=10)
    assert sorted(fake.messages) == sorted(ids)


@every
async def test_the_same_messages_make_the_same_bytes_and_the_same_key(kind: str) -> None:
    async with serving(Fake(kind)) as fake:
        first = await carried(fake, "m_1")
        again = await carried(fake, "m_1")
        other = await carried(fake, "m_2")
    bodies = [request.body for request in fake.requests]
    assert bodies[0] == bodies[1] != bodies[2]
    if kind in KEYED:
        assert first.keys == again.keys != other.keys
    else:
        assert first.keys == [None]


@every
async def test_no_secret_is_shown(kind: str) -> None:
    made = record(kind)
    adapter = adapter_of(account_of(made.kind, made.secrets, made.options))
    one = letter("m_1")
    drafts = [Draft("m_1", one.envelope, one.mail, one.header_id)]
    request = adapter.request(drafts, "key", NOW)
    assert SECRET not in repr(request) + repr(made) + repr(adapter.account)
    assert request.url.startswith("https://")
    assert SECRET not in request.url
    async with serving(Fake(kind, [Fault.AUTH])) as fake:
        desk = await carried(fake, "m_1")
    assert SECRET not in str(desk.verdicts["m_1"])


NOISE: list[Any] = [
    None, [], {}, "x", 3, [None], [[]], {"Messages": 5}, {"Messages": [3]}, {"data": [1]},
    {"results": []}, {"results": {"id": 5}}, {"id": {}}, {"errors": "x"}, {"messageId": []},
    [{"ErrorCode": []}], {"MessageId": None}, {"data": [{"id": "a"}], "errors": [{"index": 0}]},
]  # fmt: skip


@every
@pytest.mark.parametrize("status", [200, 202, 207, 301, 400, 404, 409, 418, 422, 500, 503])
def test_whatever_comes_back_gives_one_verdict_each(kind: str, status: int) -> None:
    made = record(kind)
    adapter = adapter_of(account_of(made.kind, made.secrets, made.options))
    ones = [letter(id_) for id_ in (("m_1", "m_2") if kind in BATCHES else ("m_1",))]
    drafts = [Draft(o.claimed.message.id, o.envelope, o.mail, o.header_id) for o in ones]
    for body in [b"", b"\xff", b"[" * 5_000, *(json.dumps(each).encode() for each in NOISE)]:
        verdicts = judge(adapter, OutboundAnswer(status, {}, body), drafts)
        assert len(verdicts) == len(drafts)
        assert all(isinstance(verdict, Taken | HandOverError) for verdict in verdicts)
        if status >= 500 or status in {301, 409, 418}:
            assert all(isinstance(verdict, InDoubt) for verdict in verdicts)
