"""Database and broker are tied together once; what is not ours is refused with what to do."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from pydantic import SecretStr

from chappe.broker import BrokerError, BrokerMismatch, BrokerUnavailable, Outgoing
from chappe.broker.embedded import EmbeddedLog
from chappe.broker.installation import BrokerAdmin, ensure_installation, open_broker
from chappe.broker.limits import INSTALLATION
from chappe.events.streams import EVENTS, STREAMS
from chappe.postgres import migrate
from chappe.testing.kafka import free_port
from tests.contract.broker.stands import PARTITIONS, closing, fresh_prefix, kafka

pytestmark = pytest.mark.contract

STATE = "SELECT state FROM chappe.installation"


@dataclass
class Home:
    """A migrated database, and brokers of one kind to tie it to."""

    pool: asyncpg.Pool
    kind: str
    bootstrap: str
    stack: AsyncExitStack
    prefix: str = field(default_factory=fresh_prefix)

    async def broker(
        self, *, prefix: str | None = None, partitions: int = PARTITIONS
    ) -> BrokerAdmin:
        if self.kind == "embedded":
            opened: BrokerAdmin = EmbeddedLog(self.pool, partitions, exclusive=True)
        else:
            opened = kafka(self.bootstrap, prefix or self.prefix, partitions)
        return await self.stack.enter_async_context(closing(opened))


@pytest.fixture(
    params=[
        pytest.param("embedded", marks=pytest.mark.integration),
        pytest.param("kafka", marks=pytest.mark.kafka),
    ]
)
async def home(request: pytest.FixtureRequest, pool: asyncpg.Pool) -> AsyncIterator[Home]:
    kind = request.param
    bootstrap = request.getfixturevalue("kafka_bootstrap") if kind == "kafka" else ""
    async with opened(pool, kind, bootstrap) as home:
        yield home


@pytest.fixture
async def kafka_home(pool: asyncpg.Pool, kafka_bootstrap: str) -> AsyncIterator[Home]:
    async with opened(pool, "kafka", kafka_bootstrap) as home:
        yield home


@asynccontextmanager
async def opened(pool: asyncpg.Pool, kind: str, bootstrap: str) -> AsyncGenerator[Home]:
    await migrate(pool, "log", "chappe.broker.migrations")
    async with AsyncExitStack() as stack:
        yield Home(pool, kind, bootstrap, stack)


async def test_the_first_start_creates_everything_and_the_next_finds_it(home: Home) -> None:
    broker = await home.broker()
    tied = await ensure_installation(home.pool, broker)
    assert await broker.streams() == {**dict.fromkeys(STREAMS, PARTITIONS), INSTALLATION: 1}
    assert await home.pool.fetchval(STATE) == "ready"
    await broker.append(EVENTS, [Outgoing(0, b"k", b"1")])
    assert await ensure_installation(home.pool, await home.broker()) == tied


async def test_processes_that_start_together_make_one_installation(home: Home) -> None:
    brokers = [await home.broker() for _ in range(3)]
    tied = await asyncio.gather(*(ensure_installation(home.pool, one) for one in brokers))
    assert len(set(tied)) == 1
    assert await brokers[0].end_offsets(INSTALLATION) == {0: 1}


async def test_another_shard_count_is_refused_with_the_right_one(home: Home) -> None:
    await ensure_installation(home.pool, await home.broker())
    with pytest.raises(BrokerMismatch, match=f"CHAPPE_SHARDS={PARTITIONS}"):
        await ensure_installation(home.pool, await home.broker(partitions=PARTITIONS * 2))


async def test_streams_made_beforehand_are_adopted_while_they_are_empty(home: Home) -> None:
    broker = await home.broker()
    await broker.create({EVENTS: PARTITIONS})
    await ensure_installation(home.pool, broker)


async def test_streams_made_beforehand_with_other_partitions_are_refused(home: Home) -> None:
    broker = await home.broker()
    await broker.create({EVENTS: PARTITIONS - 1})
    with pytest.raises(BrokerMismatch, match="3 partitions instead of 4"):
        await ensure_installation(home.pool, broker)


async def test_records_that_the_database_knows_nothing_of_are_refused(home: Home) -> None:
    broker = await home.broker()
    await broker.create({EVENTS: PARTITIONS})
    await broker.append(EVENTS, [Outgoing(0, b"k", b"1")])
    with pytest.raises(BrokerMismatch, match=r"restore their database, or set .*PREFIX"):
        await ensure_installation(home.pool, broker)
    assert await home.pool.fetchval(STATE) == "creating"


async def test_another_installations_streams_are_refused(home: Home) -> None:
    await ensure_installation(home.pool, await home.broker())
    await home.pool.execute("DELETE FROM chappe.installation")
    with pytest.raises(
        BrokerMismatch, match=r"another installation .* set another CHAPPE_KAFKA_PR"
    ):
        await ensure_installation(home.pool, await home.broker())


@pytest.mark.kafka
async def test_after_a_refusal_another_prefix_is_enough(kafka_home: Home) -> None:
    await ensure_installation(kafka_home.pool, await kafka_home.broker())
    await kafka_home.pool.execute("DELETE FROM chappe.installation")
    with pytest.raises(BrokerMismatch):
        await ensure_installation(kafka_home.pool, await kafka_home.broker())
    await ensure_installation(kafka_home.pool, await kafka_home.broker(prefix=fresh_prefix()))


@pytest.mark.kafka
async def test_a_ready_installation_does_not_move_to_another_prefix(kafka_home: Home) -> None:
    await ensure_installation(kafka_home.pool, await kafka_home.broker())
    with pytest.raises(BrokerMismatch, match=f"set CHAPPE_KAFKA_PREFIX={kafka_home.prefix}"):
        await ensure_installation(kafka_home.pool, await kafka_home.broker(prefix=fresh_prefix()))


@pytest.mark.kafka
async def test_a_lost_topic_is_not_silently_made_anew(kafka_home: Home) -> None:
    broker = await kafka_home.broker()
    await ensure_installation(kafka_home.pool, broker)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_home.bootstrap)
    await admin.start()
    await admin.delete_topics([kafka_home.prefix + EVENTS])
    await admin.close()
    with pytest.raises(BrokerMismatch, match="lost events of this installation"):
        await ensure_installation(kafka_home.pool, await kafka_home.broker())


@pytest.mark.kafka
async def test_a_topic_that_would_lose_records_is_refused(kafka_home: Home) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_home.bootstrap)
    await admin.start()
    topic = NewTopic(kafka_home.prefix + EVENTS, PARTITIONS, 1)
    await admin.create_topics([topic])
    await admin.close()
    with pytest.raises(BrokerMismatch, match=r"--add-config retention\.ms=-1"):
        await ensure_installation(kafka_home.pool, await kafka_home.broker())


@pytest.mark.kafka
async def test_a_database_that_belongs_to_kafka_does_not_open_the_embedded_log(
    kafka_home: Home,
) -> None:
    await ensure_installation(kafka_home.pool, await kafka_home.broker())
    embedded = EmbeddedLog(kafka_home.pool, PARTITIONS, exclusive=True)
    with pytest.raises(BrokerMismatch, match="set CHAPPE_KAFKA_BOOTSTRAP"):
        await ensure_installation(kafka_home.pool, embedded)
    await embedded.close()


@dataclass(frozen=True)
class Settings:
    """What ``chappe.settings`` says about the broker."""

    kafka_bootstrap: str | None = None
    kafka_prefix: str = "chappe."
    kafka_security_protocol: str = "PLAINTEXT"
    kafka_sasl_mechanism: str | None = None
    kafka_username: str | None = None
    kafka_password: SecretStr | None = None
    kafka_ca_file: Path | None = None
    shards: int = PARTITIONS


async def test_the_settings_choose_the_broker(home: Home) -> None:
    settings = Settings(kafka_bootstrap=home.bootstrap or None, kafka_prefix=home.prefix)
    async with open_broker(settings, home.pool, exclusive=True) as broker:
        await broker.append(EVENTS, [Outgoing(0, b"k", b"1")])
        assert getattr(broker, "kind", None) == home.kind


@pytest.mark.integration
@pytest.mark.parametrize("bootstrap", ["", "kafka", "kafka:0", "http://kafka:9092", "a:1,b"])
async def test_a_malformed_bootstrap_is_refused_by_its_name(
    pool: asyncpg.Pool, bootstrap: str
) -> None:
    with pytest.raises(BrokerError, match=r"CHAPPE_KAFKA_BOOTSTRAP=.* is not host:port"):
        async with open_broker(Settings(kafka_bootstrap=bootstrap), pool, exclusive=True):
            pass


@pytest.mark.integration
async def test_a_broker_that_does_not_answer_is_an_error_and_never_the_embedded_log(
    pool: asyncpg.Pool,
) -> None:
    await migrate(pool, "log", "chappe.broker.migrations")
    settings = Settings(kafka_bootstrap=f"127.0.0.1:{free_port()}")
    with pytest.raises(BrokerUnavailable, match="no Kafka broker answers at CHAPPE_KAFKA_BOOTSTR"):
        async with open_broker(settings, pool, exclusive=True):
            pass
    assert await pool.fetchval("SELECT count(*) FROM log.partition") == 0


@pytest.mark.integration
async def test_without_the_migrations_the_embedded_log_says_so(pool: asyncpg.Pool) -> None:
    with pytest.raises(BrokerError, match="chappe migrate"):
        async with open_broker(Settings(), pool, exclusive=True):
            pass


@pytest.mark.integration
async def test_a_password_is_asked_for_where_it_is_needed(pool: asyncpg.Pool) -> None:
    settings = Settings(kafka_bootstrap="kafka:9092", kafka_security_protocol="SASL_SSL")
    with pytest.raises(BrokerError, match="needs CHAPPE_KAFKA_USERNAME and CHAPPE_KAFKA_PASSWORD"):
        async with open_broker(settings, pool, exclusive=True):
            pass
