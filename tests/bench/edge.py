"""The door: single calls and batches with a durable answer, beside plain FastAPI and pydantic."""

import base64
import json
import os
import secrets
import tempfile
from typing import Any

from apart import Process, database, running, script, service, settings
from harness import percentile, result
from load import Outcome, request, send

SINGLES = 30_000
WARM = 3_000
CONNECTIONS = 256
BATCHES = 400
BATCH_ITEMS = 250
BATCH_CONNECTIONS = 8
BODY_BYTES = 1_024


def call(number: int) -> dict[str, Any]:
    """A Segment call of 1 KB."""
    made: dict[str, Any] = {
        "type": "track",
        "userId": f"user-{number % 5_000}",
        "event": "Product Viewed",
        "messageId": f"m-{number}-{secrets.token_hex(4)}",
        "timestamp": "2026-11-24T10:00:00Z",
        "properties": {"product_id": "p-1", "price": 19.9, "currency": "EUR"},
        "context": {"library": {"name": "bench", "version": "1"}, "pad": ""},
    }
    made["context"]["pad"] = "x" * (BODY_BYTES - len(json.dumps(made)))
    return made


def _singles(key: str, count: int) -> list[bytes]:
    headers = {
        "authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode(),
        "content-type": "application/json",
        "user-agent": "bench/1",
    }
    return [request("/v1/track", json.dumps(call(n)).encode(), headers) for n in range(count)]


def _batches(key: str) -> list[bytes]:
    headers = {
        "authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode(),
        "content-type": "application/json",
    }
    return [
        request(
            "/v1/batch",
            json.dumps(
                {"batch": [call(at * BATCH_ITEMS + n) for n in range(BATCH_ITEMS)]}
            ).encode(),
            headers,
        )
        for at in range(BATCHES)
    ]


def _timed(process: Process, requests: list[bytes], connections: int) -> tuple[Outcome, float]:
    cpu = process.cpu_seconds()
    outcome = send(process.port, requests, connections)
    cpu = process.cpu_seconds() - cpu
    wrong = {status: n for status, n in outcome.statuses.items() if status != 200}
    if wrong:
        raise SystemExit(f"not everything was taken: {wrong}")
    return outcome, cpu


def _plain(environment: dict[str, str], *how: str) -> tuple[float, float]:
    """Events per second of the yardstick: of its process, and of a core."""
    with running(script("edge_plain.py", *how), environment) as plain:
        send(plain.port, _singles("anybody", WARM), CONNECTIONS)
        theirs, cpu = _timed(plain, _singles("anybody", SINGLES), CONNECTIONS)
    return theirs.per_second, SINGLES / cpu


def measure(kafka: str | None) -> list[dict[str, Any]]:
    """Both doors over the same log, one after the other."""
    stack = "kafka" if kafka else "embedded"
    more = {"CHAPPE_KAFKA_BOOTSTRAP": kafka or ""}
    if kafka:
        more["CHAPPE_KAFKA_PREFIX"] = f"bench.{secrets.token_hex(4)}."
    found: list[dict[str, Any]] = []
    with database() as dsn, tempfile.TemporaryDirectory() as data:
        environment = settings(dsn, CHAPPE_DATA=data, **more)
        with running(service("ingest"), environment) as edge:
            key = edge.api("POST", "/api/v1/sources", {"kind": "segment", "name": "bench"})[
                "secret"
            ]
            send(edge.port, _singles(key, WARM), CONNECTIONS)
            singles, cpu = _timed(edge, _singles(key, SINGLES), CONNECTIONS)
            batches, batch_cpu = _timed(edge, _batches(key), BATCH_CONNECTIONS)
            events = BATCHES * BATCH_ITEMS
            memory = edge.resident_mb()
        plain, plain_per_core = _plain(environment)
        _, shared_per_core = _plain(environment, "--shared")
    on = {"stack": stack, "connections": CONNECTIONS, "bytes": BODY_BYTES}
    ours = SINGLES / cpu
    found += [
        result("edge_single", singles.per_second, "events/s", "process", **on),
        result("edge_single_per_core", ours, "events/s", "core", **on),
        result("edge_single_p99", percentile(singles.latencies, 0.99) * 1e3, "ms", "event", **on),
        result("edge_plain", plain, "events/s", "process", **on),
        result("edge_plain_per_core", plain_per_core, "events/s", "core", **on),
        result("edge_plain_shared_log_per_core", shared_per_core, "events/s", "core", **on),
        result("edge_against_plain", singles.per_second / plain, "times", "process", **on),
        result("edge_against_plain_per_core", ours / plain_per_core, "times", "core", **on),
        result("edge_against_plain_shared_log", ours / shared_per_core, "times", "core", **on),
        result(
            "edge_batch",
            events / batches.seconds,
            "events/s",
            "process",
            items=BATCH_ITEMS,
            stack=stack,
        ),
        result(
            "edge_batch_per_core",
            events / batch_cpu,
            "events/s",
            "core",
            items=BATCH_ITEMS,
            stack=stack,
        ),
        result("edge_resident", memory, "MB", "process", stack=stack),
    ]
    return found


if __name__ == "__main__":
    for line in measure(os.environ.get("CHAPPE_KAFKA_BOOTSTRAP")):
        print(line["name"], line["value"], line["unit"], line["per"])
