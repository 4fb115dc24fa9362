"""The headless demo, whole, over a real Kafka."""

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.apart.fleet import CHAPPE

pytestmark = [pytest.mark.e2e, pytest.mark.kafka]

SECONDS_MAX = 180


async def test_the_demo_holds_on_kafka(kafka_bootstrap: str, tmp_path: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "CHAPPE_KAFKA_BOOTSTRAP": kafka_bootstrap,
    }
    done = await asyncio.to_thread(
        subprocess.run, [CHAPPE, "demo", "--once"],
        env=environment, capture_output=True, text=True, timeout=SECONDS_MAX, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "(on Kafka," in done.stdout.splitlines()[-1]
