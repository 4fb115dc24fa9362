"""The whole path: from a signed-up contact's event to the mail in the inbox."""

import asyncio
import datetime as dt
import time
from typing import Any

import httpx
from harness import Box, one_box, percentile, result, signup

RATE_PER_SECOND = 50
LATENCY_SECONDS = 20
BURST_EVENTS = 5_000
BATCH = 500
DRAIN_SECONDS_MAX = 180


def _drained(box: Box, count: int) -> float:
    """Wait for ``count`` mails; seconds since the epoch when the last was seen."""
    deadline = time.monotonic() + DRAIN_SECONDS_MAX
    while (have := box.mails()) < count:
        if time.monotonic() > deadline:
            raise SystemExit(f"only {have} of {count} mails after {DRAIN_SECONDS_MAX} s")
        time.sleep(0.05)
    return time.time()


async def _post_steadily(box: Box, prefix: str) -> dict[str, float]:
    """One signup every 1/50 s; returns when each was sent, by address, seconds since the epoch."""
    sent: dict[str, float] = {}
    async with httpx.AsyncClient(timeout=30) as client:

        async def post(who: str) -> None:
            sent[f"{who}@bench.example"] = time.time()
            body = {"batch": signup(who)}
            answer = await client.post(f"{box.url}/v1/batch", json=body, headers=box.headers)
            answer.raise_for_status()

        started = time.monotonic()
        async with asyncio.TaskGroup() as posts:
            for n in range(RATE_PER_SECOND * LATENCY_SECONDS):
                await asyncio.sleep(max(0, started + n / RATE_PER_SECOND - time.monotonic()))
                posts.create_task(post(f"{prefix}{n}"))
    return sent


def latency(stack: str, **environment: str) -> list[dict[str, Any]]:
    """Event → mail in the inbox at a steady rate, after a first run that warms everything up."""
    with one_box(**environment) as box:
        warm = asyncio.run(_post_steadily(box, "warm"))
        _drained(box, len(warm))
        cpu = box.cpu_seconds()
        sent = asyncio.run(_post_steadily(box, "timed"))
        _drained(box, len(warm) + len(sent))
        cpu = box.cpu_seconds() - cpu
        arrived = {mail["To"][0]["Address"]: mail["Created"] for mail in box.all_mails()}
    seconds = [
        dt.datetime.fromisoformat(arrived[address]).timestamp() - at for address, at in sent.items()
    ]
    settings = {"stack": stack, "rate_per_second": RATE_PER_SECOND, "mails": len(seconds)}
    return [
        result(
            f"event_to_mail_p50_{stack}", percentile(seconds, 0.5) * 1e3, "ms", "mail", **settings
        ),
        result(
            f"event_to_mail_p99_{stack}", percentile(seconds, 0.99) * 1e3, "ms", "mail", **settings
        ),
        result(f"event_to_mail_cpu_{stack}", cpu / len(seconds) * 1e3, "ms", "mail", **settings),
    ]


def burst(stack: str, **environment: str) -> list[dict[str, Any]]:
    """Mails per second drained from a burst, everything on: log, ledger, journal, inbox."""
    with one_box(**environment) as box:
        people = [f"burst{n}" for n in range(BURST_EVENTS)]
        cpu = box.cpu_seconds()
        started = time.time()
        for at in range(0, BURST_EVENTS, BATCH // 2):
            batch = [call for who in people[at : at + BATCH // 2] for call in signup(who)]
            answer = box.client.post(
                f"{box.url}/v1/batch", json={"batch": batch}, headers=box.headers
            )
            answer.raise_for_status()
        accepted = time.time()
        done = _drained(box, BURST_EVENTS)
        cpu = box.cpu_seconds() - cpu
    settings = {"stack": stack, "mails": BURST_EVENTS, "accepting_seconds": accepted - started}
    return [
        result(f"burst_{stack}", BURST_EVENTS / (done - started), "mails/s", "box", **settings),
        result(f"burst_cpu_{stack}", cpu / BURST_EVENTS * 1e3, "ms", "mail", **settings),
    ]
