import asyncio
import gzip
import itertools
import json
from typing import Any

import pytest

from chappe.events import RawRecord
from chappe.ids import partition_of
from chappe_ingest.application.resolving import Refused, check
from chappe_ingest.domain.rates import VISITOR
from chappe_ingest.domain.source import Secret, SourceState
from tests.unit.ingest.door import PARTITIONS, Answer, Door, basic, later, source
from tests.unit.ingest.shop import NOW, SECRET, checkout, signature

IN = "/in/src_shopify"


def signed(body: bytes, topic: str = "checkouts/create", secret: str = SECRET) -> dict[str, str]:
    return {"X-Shopify-Topic": topic, "X-Shopify-Hmac-Sha256": signature(body, secret)}


BODY = json.dumps(checkout("t1")).encode()

# -- storefronts --------------------------------------------------------------------------------


async def test_a_signed_webhook_is_kept_and_answered_200_empty() -> None:
    door = Door()
    answer = await door.post(IN, BODY, signed(BODY) | {"X-Shopify-Event-Id": "e", "X-Other": "x"})
    assert (answer.status, answer.body) == (200, b"")
    (raw,) = door.raws()
    assert raw.body == BODY
    assert raw.verified is True
    assert raw.namespace == "atelier"
    assert raw.headers == {"x-shopify-topic": "checkouts/create", "x-shopify-event-id": "e"}
    assert raw.received_at == NOW


async def test_one_cart_s_webhooks_share_a_key() -> None:
    door = Door()
    update = json.dumps(checkout("t1", "a@x.example")).encode()
    await door.post(IN, BODY, signed(BODY))
    await door.post(IN, update, signed(update, "checkouts/update"))
    ((first, key, _), (second, again, _)) = door.stored()
    assert key == again == b"src_shopify/t1"
    assert first == second == partition_of(key, PARTITIONS)


async def test_a_forged_webhook_is_refused_and_nothing_is_kept() -> None:
    door = Door()
    assert (await door.post(IN, BODY + b" ", signed(BODY))).status == 401
    assert (await door.post(IN, BODY)).status == 401
    assert door.stored() == []


async def test_an_unknown_source_is_not_found() -> None:
    door = Door()
    assert (await door.post("/in/src_nobody", BODY, signed(BODY))).status == 404
    assert (await door.post("/in/src_segment", BODY, signed(BODY))).status == 404
    assert door.stored() == []


async def test_a_signed_body_that_is_no_json_is_kept() -> None:
    door = Door()
    assert (await door.post(IN, b"{", signed(b"{"))).status == 200
    assert door.raws()[0].body == b"{"


async def test_an_old_secret_still_verifies_until_its_time_is_over() -> None:
    secrets = (Secret("new"), Secret("old", later(60)))
    door = Door(source("shopify", None, secrets=secrets))
    assert (await door.post(IN, BODY, signed(BODY, secret="old"))).status == 200
    assert (await door.post(IN, BODY, signed(BODY, secret="new"))).status == 200
    door.wall.set(later(61))
    assert (await door.post(IN, BODY, signed(BODY, secret="old"))).status == 401


async def test_a_source_added_elsewhere_is_found_without_a_restart() -> None:
    door = Door()
    await door.table.refresh()
    door.table._refreshed = float("-inf")
    door.store.sources.append(source("shopify", "s2", id="src_new", name="new"))
    assert (await door.post("/in/src_new", BODY, signed(BODY, secret="s2"))).status == 200


async def test_a_secret_rotated_elsewhere_verifies_without_a_restart() -> None:
    door = Door()
    await door.table.refresh()
    door.table._refreshed = float("-inf")
    door.store.sources = [source("shopify", "s2")]
    assert (await door.post(IN, BODY, signed(BODY, secret="s2"))).status == 200


async def test_a_shop_on_its_own_domain_is_taken_as_its_myshopify_address_is() -> None:
    """Who signs is what counts; the name that Shopify writes into a header proves nothing."""
    door = Door(source("shopify", SECRET, domains=("www.atelier.example",)))
    for number, host in enumerate(("www.atelier.example", "atelier.myshopify.com")):
        named = {"X-Shopify-Shop-Domain": host, "X-Shopify-Event-Id": f"e{number}"}
        assert (await door.post(IN, BODY, signed(BODY) | named)).status == 200
    assert [raw.source for raw in door.raws()] == ["src_shopify"] * 2
    forged = signed(BODY, secret="wrong") | {"X-Shopify-Shop-Domain": "www.atelier.example"}
    assert (await door.post(IN, BODY, forged)).status == 401


async def test_strangers_cannot_make_the_edge_read_the_database_at_will() -> None:
    door = Door()
    for _ in range(50):
        await door.post("/in/src_nobody", BODY)
        await door.post(IN, BODY, signed(BODY, secret="wrong"))
    assert door.store.reads == 1


async def test_a_database_that_is_away_stops_no_delivery() -> None:
    door = Door()
    await door.table.refresh()
    door.store.away = True
    door.table._refreshed = float("-inf")
    assert (await door.post(IN, BODY, signed(BODY))).status == 200
    assert door.raws()[0].verified is True


async def test_what_cannot_be_verified_while_the_database_is_away_is_kept_to_be_checked() -> None:
    door = Door()
    await door.table.refresh()
    door.store.away = True
    door.table._refreshed = float("-inf")
    rotated = signed(BODY, secret="rotated")
    assert (await door.post(IN, BODY, rotated)).status == 200
    assert (await door.post("/in/src_added_elsewhere", BODY, signed(BODY))).status == 200
    assert (await door.post("/in/src_x", BODY, signed(BODY))).status == 404
    first, second = door.raws()
    assert first.verified is second.verified is None
    good = source("shopify", "rotated")
    found = check(first, good)
    assert isinstance(found, RawRecord)
    assert (found.verified, found.workspace, found.namespace) == (True, "default", "atelier")
    assert found.headers == {"x-shopify-topic": "checkouts/create"}
    forged = check(second, good)
    assert isinstance(forged, Refused)
    assert "check the secret" in forged.reason
    assert isinstance(check(second, None), Refused)


async def test_a_paused_source_keeps_and_answers_200() -> None:
    door = Door(source("shopify", SECRET, state=SourceState.PAUSED))
    assert (await door.post(IN, BODY, signed(BODY))).status == 200
    assert door.raws()[0].headers["paused"] == "1"


async def test_a_deleted_source_is_gone() -> None:
    door = Door(source("shopify", None, state=SourceState.DELETED))
    assert (await door.post(IN, BODY, signed(BODY))).status == 410


async def test_what_comes_before_the_secret_is_held_and_passed_on_once_it_verifies() -> None:
    door = Door(source("shopify", None, state=SourceState.AWAITING_SECRET))
    assert (await door.post(IN, BODY, signed(BODY))).status == 200
    assert (await door.post(IN, BODY, signed(BODY, secret="forged"))).status == 200
    assert door.stored() == []
    door.business.set(later(60))
    assert await door.quarantine.release(source("shopify", SECRET)) == 1
    (raw,) = door.raws()
    assert raw.verified is True
    assert raw.received_at == NOW
    assert raw.headers == {"x-shopify-topic": "checkouts/create"}
    assert len(await door.held.of(raw.source)) == 1
    await door.quarantine.release_all([source("shopify", SECRET)])
    assert len(door.raws()) == 1


async def test_a_full_quarantine_asks_the_sender_to_come_again() -> None:
    door = Door(source("shopify", None, state=SourceState.AWAITING_SECRET))
    answers = [await door.post(IN, BODY) for _ in range(4)]
    assert [each.status for each in answers] == [200, 200, 200, 503]
    await door.tally.flush()
    (seen,) = door.store.seen.values()
    assert "quarantine" in (seen.refused_because or "")


async def test_a_secret_set_elsewhere_ends_the_waiting_without_a_restart() -> None:
    door = Door(source("shopify", None, state=SourceState.AWAITING_SECRET))
    await door.table.refresh()
    door.table._refreshed = float("-inf")
    door.store.sources = [source("shopify", SECRET)]
    assert (await door.post(IN, BODY, signed(BODY))).status == 200
    assert len(door.raws()) == 1


async def test_a_disabled_source_refuses() -> None:
    off = SourceState.DISABLED
    door = Door(source("shopify", SECRET, state=off), source("segment", "wk_1", state=off))
    assert (await door.post(IN, BODY, signed(BODY))).status == 403
    assert (await door.post("/v1/track", b"{}", basic("wk_1"))).status == 403
    assert door.stored() == []


async def test_a_crowd_at_a_slow_door_is_asked_to_come_again() -> None:
    door = Door()
    door.app.crowd.most = 2
    waiting = [
        asyncio.create_task(door.knock("POST", IN, headers=signed(BODY).items(), silent=True))
        for _ in range(2)
    ]
    await asyncio.sleep(0)
    answer = await door.post(IN, BODY, signed(BODY))
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    assert (await door.post(IN, BODY, signed(BODY))).status == 200


async def test_bodies_that_wait_are_bounded_together_and_their_room_comes_back() -> None:
    door = Door()
    door.app.crowd.most_bytes = 3 * len(BODY)
    waiting = [
        asyncio.create_task(
            door.knock("POST", IN, headers=signed(BODY).items(), body=[BODY], silent=True)
        )
        for _ in range(2)
    ]
    await asyncio.sleep(0)
    big = [BODY, BODY]
    answer = await door.knock("POST", IN, headers=signed(BODY).items(), body=big)
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert door.app.crowd.held_bytes == 2 * len(BODY)
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    assert door.app.crowd.held_bytes == 0
    assert (await door.post(IN, BODY, signed(BODY))).status == 200
    assert door.app.crowd.held_bytes == 0


async def test_a_head_of_too_many_letters_is_refused() -> None:
    door = Door()
    answer = await door.post(IN, BODY, signed(BODY) | {"X-Long": "x" * 20_000})
    assert answer.status == 431


async def test_a_public_key_is_slowed_down_per_visitor_and_others_are_not() -> None:
    door = Door(source("segment", "wk_pub", public=True))
    body = b'{"type":"page","anonymousId":"a"}'
    path, keys = "/v1/page", [*basic("wk_pub").items(), ("Content-Type", "application/json")]

    async def call(client: str) -> Answer:
        return await door.knock("POST", path, headers=keys, body=[body], client=client)

    answers = [await call("203.0.113.1") for _ in range(int(VISITOR.burst) + 20)]
    assert answers[0].status == 200
    assert answers[-1].status == 429
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert "x-ratelimit-reset" in answers[-1].headers
    assert (await call("203.0.113.2")).status == 200


async def test_why_the_last_delivery_failed_is_told_in_words() -> None:
    door = Door()
    await door.post(IN, BODY, signed(BODY, secret="wrong"))
    await door.post(IN, BODY, signed(BODY))
    await door.tally.flush()
    (seen,) = door.store.seen.values()
    assert (seen.accepted, seen.refused) == (1, 1)
    assert "check the secret" in (seen.refused_because or "")


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_a_handshake_is_answered(method: str) -> None:
    answer = await Door().knock(method, IN)
    assert (answer.status, answer.body) == (200, b"")


async def test_other_methods_are_told_which_one_to_use() -> None:
    answer = await Door().knock("DELETE", IN)
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


# -- the body -----------------------------------------------------------------------------------


async def test_a_body_over_four_megabytes_is_refused_by_its_told_length() -> None:
    door = Door()
    big = b"x" * (4 * 1024 * 1024 + 1)
    assert (await door.post(IN, big, signed(big))).status == 413
    assert door.stored() == []


async def test_a_body_over_four_megabytes_is_refused_by_what_comes() -> None:
    door = Door()
    chunks = [b"x" * 1024 * 1024] * 5
    headers = [("Transfer-Encoding", "chunked"), ("Content-Type", "application/json")]
    assert (await door.knock("POST", IN, headers=headers, body=chunks)).status == 413


async def test_a_body_of_four_megabytes_is_taken() -> None:
    body = b" " * (4 * 1024 * 1024)
    assert (await Door().post(IN, body, signed(body))).status == 200


async def test_a_length_told_twice_is_refused_and_the_connection_closed() -> None:
    both = signed(BODY) | {"Transfer-Encoding": "chunked"}
    answer = await Door().post(IN, BODY, both)
    assert (answer.status, answer.headers["connection"]) == (400, "close")


async def test_a_body_that_does_not_come_times_out() -> None:
    door = Door()
    door.app.patience.seconds = 0.01
    answer = await door.knock("POST", IN, body=[b"{"], silent=True)
    assert (answer.status, answer.headers["connection"]) == (408, "close")


@pytest.mark.parametrize(
    "kind", ["multipart/form-data; boundary=x", "text/xml", "application/x-www-form-urlencoded"]
)
async def test_another_content_type_is_refused(kind: str) -> None:
    door = Door()
    assert (await door.post(IN, BODY, signed(BODY) | {"Content-Type": kind})).status == 415
    assert (
        await door.post("/v1/track", BODY, basic("wk_1") | {"Content-Type": kind})
    ).status == 415
    assert door.stored() == []


async def test_a_compressed_webhook_is_refused() -> None:
    answer = await Door().post(IN, BODY, signed(BODY) | {"Content-Encoding": "gzip"})
    assert answer.status == 415


# -- the log ------------------------------------------------------------------------------------


async def test_while_the_log_is_away_the_sender_is_asked_to_come_again() -> None:
    door = Door()
    await door.table.refresh()
    door.broker.away = True
    for path, headers in ((IN, signed(BODY)), ("/v1/track", basic("wk_1"))):
        answer = await door.post(path, BODY, headers)
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")


async def test_a_log_that_is_too_slow_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    door = Door()

    async def never(*_: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(door.broker, "append", never)
    door.inlet.patience.seconds = 0.01
    assert (await door.post(IN, BODY, signed(BODY))).status == 503


# -- the Segment API ----------------------------------------------------------------------------

TRACK = b'{"userId":"u1","event":"Signed Up"}'


async def test_a_call_is_kept_with_its_name() -> None:
    door = Door()
    answer = await door.post("/v1/track", TRACK, basic("wk_1"))
    assert (answer.status, answer.json()) == (200, {"success": True})
    (raw,) = door.raws()
    assert raw.headers == {"call": "track"}
    assert raw.source == "src_segment"
    assert door.stored()[0][1] == b"src_segment/u1"


@pytest.mark.parametrize(
    "headers",
    [basic("nobody"), {}, {"Authorization": "Basic é"}, {"Authorization": "Bearer " + "x" * 900}],
)
async def test_an_unknown_write_key_is_refused_always(headers: dict[str, str]) -> None:
    door = Door()
    assert (await door.post("/v1/track", TRACK, headers)).status == 401
    assert (await door.post("/v1/batch", b'{"batch":[]}', headers)).status == 401
    assert door.stored() == []


async def test_the_write_key_may_come_in_the_body() -> None:
    door = Door()
    body = b'{"userId":"u","event":"E","writeKey":"wk_1"}'
    assert (await door.post("/v1/track", body)).status == 200
    batch = b'{"batch":[{"type":"track","userId":"u","event":"E"}],"writeKey":"wk_1"}'
    assert (await door.post("/v1/batch", batch, {"Content-Type": "text/plain"})).status == 200


async def test_a_batch_s_items_are_kept_one_by_one() -> None:
    door = Door()
    batch = {"batch": [{"type": "track", "userId": f"u{n}", "event": "E"} for n in range(3)]}
    assert (await door.post("/v1/batch", json.dumps(batch).encode(), basic("wk_1"))).status == 200
    assert [json.loads(raw.body)["userId"] for raw in door.raws()] == ["u0", "u1", "u2"]
    assert {key for _, key, _ in door.stored()} == {
        b"src_segment/u0",
        b"src_segment/u1",
        b"src_segment/u2",
    }


async def test_a_gzipped_batch_is_taken_and_a_bomb_is_not() -> None:
    door = Door()
    headers = basic("wk_1") | {"Content-Encoding": "gzip"}
    good = gzip.compress(b'{"batch":[{"type":"track","userId":"u","event":"E"}]}')
    assert (await door.post("/v1/batch", good, headers)).status == 200
    bomb = gzip.compress(b" " * 50_000_000)
    assert (await door.post("/v1/batch", bomb, headers)).status == 413
    assert (await door.post("/v1/batch", b"no gzip", headers)).status == 400
    assert (await door.post("/v1/batch", good[:-9], headers)).status == 400
    assert len(door.raws()) == 1


async def test_limits_of_the_segment_api() -> None:
    door = Door()
    assert (await door.post("/v1/track", b" " * 32_769, basic("wk_1"))).status == 413
    assert (await door.post("/v1/batch", b" " * 500_001, basic("wk_1"))).status == 413
    many = json.dumps({"batch": [{}] * 2501}).encode()
    assert (await door.post("/v1/batch", many, basic("wk_1"))).status == 413
    assert door.stored() == []


@pytest.mark.parametrize("body", [b"{", b"[]", b"", b'{"event":""}', b"\xff\xfe"])
async def test_a_bad_call_is_kept_unless_strict_mode_asks(body: bytes) -> None:
    door = Door()
    assert (await door.post("/v1/track", body, basic("wk_1"))).status == 200
    assert len(door.raws()) == 1
    strict = await door.post("/v1/track", body, basic("wk_1") | {"X-Strict-Mode": "1"})
    assert strict.status == 400
    assert strict.json()["errors"]
    assert len(door.raws()) == 1


async def test_strict_mode_says_which_item_is_wrong() -> None:
    body = b'{"batch":[{"type":"track","userId":"u","event":"E"},{"type":"track","userId":"u"}]}'
    answer = await Door().post("/v1/batch", body, basic("wk_1") | {"X-Strict-Mode": "1"})
    assert [error["where"] for error in answer.json()["errors"]] == ["batch[1].event"]


async def test_a_browser_may_call_with_a_public_key() -> None:
    door = Door(source("segment", "wk_p", public=True))
    assert (await door.knock("OPTIONS", "/v1/track")).headers["access-control-allow-origin"] == "*"
    answer = await door.post("/v1/track", TRACK, basic("wk_p"))
    assert answer.headers["access-control-allow-origin"] == "*"
    assert door.raws()[0].public


async def test_a_call_that_does_not_exist_is_not_found() -> None:
    assert (await Door().post("/v1/jump", TRACK, basic("wk_1"))).status == 404


# -- strangers ----------------------------------------------------------------------------------

HOSTILE = [
    b"",
    b"null",
    b"[]",
    b"1",
    b'"x"',
    b"{",
    b"\xff\xfe\x00",
    b"[" * 100_000,
    b'{"a":' * 20_000,
    b"9" * 5000,
    b'{"id":NaN}',
    b'{"id":' + b"9" * 400 + b"}",
    b'{"email":{"a":1},"line_items":7,"total_price":[],"token":{},"customer":[]}',
    b'{"userId":"\\ud800"}',
    b'{"userId":"u","event":"\\u0000"}',
    b'{"batch":[[],1,null,{"userId":{}}],"context":7,"sentAt":{}}',
    b'{"userId":null,"properties":[]}',
]
HEADS: list[dict[str, str]] = [
    {},
    {"X-Shopify-Hmac-Sha256": ""},
    {"X-Shopify-Hmac-Sha256": "Ã©"},
    {"X-Shopify-Hmac-Sha256": "=" * 5000},
    {"Content-Encoding": "gzip"},
    {"Content-Type": "multipart/form-data; boundary=x"},
    {"Transfer-Encoding": "chunked"},
    {"Content-Length": "9" * 50},
    {"Content-Length": "x"},
]


@pytest.mark.parametrize("path", [IN, "/v1/track", "/v1/batch", "/v1/identify", "/providers/ses/x"])
async def test_no_stranger_gets_a_500(path: str) -> None:
    door = Door()
    await door.table.refresh()
    for body, head in itertools.product(HOSTILE, HEADS):
        with_key = head | (basic("wk_1") if path.startswith("/v1") else {})
        assert (await door.post(path, body, with_key)).status < 500, (body[:20], head)
        if path == IN:
            assert (await door.post(path, body, head | signed(body))).status < 500


@pytest.mark.parametrize(
    "path",
    [
        "/o/",
        "/o/x.gif",
        "/c/../../etc/passwd",
        "/c/\x00",
        "/c/" + "A" * 9000,
        "/u/x",
        "/in/..",
        "/in/" + "a" * 5000,
        "/v1/",
        "/v1/é",
        "/providers/unknown/x",
        "/",
        "//in/x",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST"])
async def test_no_path_gets_a_500(method: str, path: str) -> None:
    assert (await Door().knock(method, path)).status < 500
