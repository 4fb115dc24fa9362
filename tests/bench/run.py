"""Every benchmark, into ``build/bench.json``: ``python tests/bench/run.py [--only NAME] [--full]``.

Kafka's figures are measured when ``CHAPPE_KAFKA_BOOTSTRAP`` names a broker (``make kafka``).
"""

import argparse
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cancel
import conditions
import edge
import engine
import engine_space
import envelope
import path
import resolver
import sender
from harness import ROOT, machine

Bench = Callable[[], list[dict[str, Any]]]


def benches(*, full: bool) -> dict[str, Bench]:
    found: dict[str, Bench] = {
        "latency": lambda: path.latency("embedded", CHAPPE_KAFKA_BOOTSTRAP=""),
        "burst": lambda: path.burst("embedded", CHAPPE_KAFKA_BOOTSTRAP=""),
        "cancel": lambda: cancel.measure("embedded", CHAPPE_KAFKA_BOOTSTRAP=""),
        "edge": lambda: edge.measure(None),
        "envelope": envelope.measure,
        "resolver": resolver.measure,
        "sender": sender.measure,
        "conditions": conditions.measure,
        "engine": lambda: engine.measure(full=full),
        "engine-space": lambda: engine_space.measure(full=full),
    }
    kafka = os.environ.get("CHAPPE_KAFKA_BOOTSTRAP")
    if kafka:

        def environment() -> dict[str, str]:
            return {
                "CHAPPE_KAFKA_BOOTSTRAP": kafka,
                "CHAPPE_KAFKA_PREFIX": f"bench.{secrets.token_hex(4)}.",
            }

        found["latency-kafka"] = lambda: path.latency("kafka", **environment())
        found["cancel-kafka"] = lambda: cancel.measure("kafka", **environment())
        found["edge-kafka"] = lambda: edge.measure(kafka)
        found["burst-kafka"] = lambda: path.burst("kafka", **environment())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="run the one with this name")
    parser.add_argument("--full", action="store_true", help="the largest sizes too")
    chosen = parser.parse_args()
    found = benches(full=chosen.full)
    if chosen.only and chosen.only not in found:
        parser.error(f"no bench {chosen.only!r}; there are {', '.join(found)}")
    results: list[dict[str, Any]] = []
    for name, bench in found.items():
        if chosen.only in (None, name):
            print(f"{name} …", flush=True)
            for line in bench():
                results.append(line)
                print(
                    f"  {line['name']}: {line['value']} {line['unit']} per {line['per']}",
                    flush=True,
                )
    out: Path = ROOT / "build" / "bench.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps({"machine": machine(), "results": results}, indent=2) + "\n", "utf-8")
    print(f"written to {out.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
