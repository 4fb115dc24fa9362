"""Whose streams are these? A database and a broker are tied together once, and checked at boot.

The tie is one row in Postgres, written first, and one record in the stream ``installation``.
Neither an emptied broker, nor a foreign one, nor a restored or wrong database is ever taken for
ours: each is refused with a sentence that says what to do.
"""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import asyncpg
from pydantic import SecretStr

from chappe.broker.embedded import EmbeddedLog
from chappe.broker.limits import ANSWER_SECONDS, INSTALLATION, partitions_of
from chappe.broker.port import Broker, BrokerMismatch, BrokerUnavailable, Outgoing
from chappe.broker.untied import UntiedBroker
from chappe.events.streams import STREAMS, Stream
from chappe.ids import NewId, random_id

LOCK_KEY = 0x43484249  # "CHBI": one process at a time ties, the others find it done
KEY = b"installation"

LOCK = "SELECT pg_advisory_lock($1)"
UNLOCK = "SELECT pg_advisory_unlock($1)"
FIND = """
    SELECT id, broker, cluster, prefix, partitions, streams, state FROM chappe.installation
"""
BEGIN = """
    INSERT INTO chappe.installation (id, broker, cluster, prefix, partitions)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (one) DO UPDATE
       SET broker = EXCLUDED.broker, cluster = EXCLUDED.cluster, prefix = EXCLUDED.prefix,
           partitions = EXCLUDED.partitions
     WHERE chappe.installation.state = 'creating'
"""
FINISH = "UPDATE chappe.installation SET state = 'ready', streams = $1"


class BrokerSettings(Protocol):
    """The settings that choose the broker and say how to reach it."""

    @property
    def kafka_bootstrap(self) -> str | None: ...
    @property
    def kafka_prefix(self) -> str: ...
    @property
    def kafka_security_protocol(self) -> str: ...
    @property
    def kafka_sasl_mechanism(self) -> str | None: ...
    @property
    def kafka_username(self) -> str | None: ...
    @property
    def kafka_password(self) -> SecretStr | None: ...
    @property
    def kafka_ca_file(self) -> Path | None: ...
    @property
    def shards(self) -> int: ...


class BrokerAdmin(Broker, Protocol):
    """A broker that can also say what it holds and create what is missing."""

    kind: str
    prefix: str

    async def cluster(self) -> str:
        """Which cluster this is, whatever it is called and wherever it answers."""
        ...

    async def streams(self) -> dict[Stream, int]:
        """The streams of our prefix that exist, with their partition counts."""
        ...

    async def create(self, streams: Mapping[Stream, int]) -> None:
        """Create what does not exist; refuse what would lose records."""
        ...


@dataclass(frozen=True, slots=True)
class _Tie:
    """The row, as it is or as it should be."""

    id: str
    broker: str
    cluster: str
    prefix: str
    partitions: int
    streams: Sequence[str] = ()
    state: str = "creating"


Counts: TypeAlias = Mapping[Stream, int]


@asynccontextmanager
async def open_broker(
    settings: BrokerSettings, pool: asyncpg.Pool, *, exclusive: bool, spooling: bool = False
) -> AsyncGenerator[Broker]:
    """Kafka when ``kafka_bootstrap`` is set, else the embedded log; checked, and closed at the end.

    ``exclusive``: no other process appends to the embedded log. ``spooling``: the process can do
    without the broker for a while, so an installation that is already tied is opened although the
    broker is away (``UntiedBroker``). Needs the migrations. Raises ``BrokerError`` with a sentence
    for the operator; a wrong bootstrap never means embedded.
    """
    broker: BrokerAdmin
    if settings.kafka_bootstrap is None:
        broker = EmbeddedLog(pool, settings.shards, exclusive=exclusive)
    else:
        broker = _kafka(settings, settings.kafka_bootstrap)
    try:
        opened: Broker = broker
        try:
            await ensure_installation(pool, broker)
        except BrokerUnavailable as error:
            if not spooling or not await _is_tied(pool, broker):
                raise BrokerUnavailable(_how_to_reach(settings, error)) from error
            opened = UntiedBroker(broker, lambda: ensure_installation(pool, broker))
        try:
            yield opened
        finally:
            await opened.close()
    finally:
        await broker.close()


async def ensure_installation(
    pool: asyncpg.Pool, broker: BrokerAdmin, new_id: NewId = random_id
) -> str:
    """Tie database and broker together, or check that they are; returns the installation's id.

    Raises ``BrokerMismatch`` when they are not each other's, ``BrokerUnavailable`` when the broker
    does not answer.
    """
    async with pool.acquire() as connection:
        await connection.execute(LOCK, LOCK_KEY)
        try:
            found = await _find(connection)
            wanted = _Tie(
                id=found.id if found else new_id("inst_"),
                broker=broker.kind,
                cluster=await broker.cluster(),
                prefix=broker.prefix,
                partitions=broker.partitions,
            )
            if found is None or found.state == "creating":
                await connection.execute(
                    BEGIN,
                    wanted.id,
                    wanted.broker,
                    wanted.cluster,
                    wanted.prefix,
                    wanted.partitions,
                )
                await _adopt(broker, wanted)
            else:
                _check_same(found, wanted)
                await _check_ours(broker, found)
            await broker.create(_streams(broker))
            await _mark(broker, wanted)
            await connection.execute(FINISH, sorted(_streams(broker)))
        finally:
            await connection.execute(UNLOCK, LOCK_KEY)
    return wanted.id


async def _is_tied(pool: asyncpg.Pool, broker: BrokerAdmin) -> bool:
    """Whether the row says that the streams exist, as far as it can be told without the broker.

    Raises ``BrokerMismatch`` when the settings are another installation's.
    """
    async with pool.acquire() as connection:
        found = await _find(connection)
    if found is None or found.state != "ready":
        return False
    _check_same(
        found,
        _Tie(found.id, broker.kind, found.cluster, broker.prefix, broker.partitions),
    )
    return True


async def _find(connection: asyncpg.pool.PoolConnectionProxy) -> _Tie | None:
    try:
        row = await connection.fetchrow(FIND)
    except asyncpg.UndefinedTableError as error:
        raise BrokerMismatch("this database is not set up: run `chappe migrate` first") from error
    return None if row is None else _Tie(**dict(row))


def _how_to_reach(settings: BrokerSettings, error: BrokerUnavailable) -> str:
    if settings.kafka_bootstrap is None:
        return f"the embedded log does not answer, check Postgres ({error})"
    return (
        f"no Kafka broker answers at CHAPPE_KAFKA_BOOTSTRAP={settings.kafka_bootstrap}: start it,"
        f" correct the setting, or unset it to use the embedded log ({error})"
    )


def _kafka(settings: BrokerSettings, bootstrap: str) -> BrokerAdmin:
    # The client costs 10 MB and a tenth of a second: one box does without.
    from chappe.broker.kafka import KafkaBroker  # noqa: PLC0415
    from chappe.broker.kafka_connection import KafkaConnection  # noqa: PLC0415

    password = settings.kafka_password
    connection = KafkaConnection(
        bootstrap=bootstrap,
        security_protocol=settings.kafka_security_protocol,
        sasl_mechanism=settings.kafka_sasl_mechanism,
        username=settings.kafka_username,
        password=password.get_secret_value() if password else None,
        ca_file=str(settings.kafka_ca_file) if settings.kafka_ca_file else None,
    )
    return KafkaBroker(connection, prefix=settings.kafka_prefix, partitions=settings.shards)


def _streams(broker: Broker) -> dict[Stream, int]:
    """Every stream of an installation, with the partitions that it must have."""
    return {stream: partitions_of(stream, broker.partitions) for stream in (*STREAMS, INSTALLATION)}


def _check_same(found: _Tie, wanted: _Tie) -> None:
    if found.broker != wanted.broker:
        raise BrokerMismatch(
            f"this database belongs to an installation on the {found.broker} broker, not the"
            f" {wanted.broker} one: "
            + (
                "set CHAPPE_KAFKA_BOOTSTRAP to its cluster"
                if found.broker == "kafka"
                else "unset CHAPPE_KAFKA_BOOTSTRAP"
            )
            + ", or use another database"
        )
    if found.partitions != wanted.partitions:
        raise BrokerMismatch(
            f"this installation was created with {found.partitions} shards, and the count is fixed:"
            f" set CHAPPE_SHARDS={found.partitions}, not {wanted.partitions}"
        )
    if found.prefix != wanted.prefix:
        raise BrokerMismatch(
            f"this installation's topics begin with {found.prefix!r}: set"
            f" CHAPPE_KAFKA_PREFIX={found.prefix}, not {wanted.prefix}, or use another database"
        )
    if found.cluster != wanted.cluster:
        raise BrokerMismatch(
            f"this installation lives on Kafka cluster {found.cluster}, and"
            f" CHAPPE_KAFKA_BOOTSTRAP leads to {wanted.cluster}: point it to the former, or use"
            " another database"
        )


async def _adopt(broker: BrokerAdmin, wanted: _Tie) -> None:
    """Streams that were made for us beforehand are taken, as long as nothing is in them."""
    existing = await _existing(broker)
    marker = await _marker(broker, existing)
    if marker is not None and marker != wanted.id:
        raise _foreign(wanted, marker)
    _check_counts(broker, existing)
    for stream in existing:
        if marker is None and any((await broker.end_offsets(stream)).values()):
            raise BrokerMismatch(
                f"{wanted.prefix}{stream} on the {wanted.broker} broker holds records, and this"
                " database knows nothing of them: restore their database, or set another"
                " CHAPPE_KAFKA_PREFIX, or delete the topics"
            )


async def _check_ours(broker: BrokerAdmin, found: _Tie) -> None:
    existing = await _existing(broker)
    marker = await _marker(broker, existing)
    if marker is not None and marker != found.id:
        raise _foreign(found, marker)
    missing = sorted(set(found.streams) - existing.keys())
    if missing or marker is None:
        raise BrokerMismatch(
            f"the broker has lost {', '.join(missing) or 'the records'} of this installation"
            f" ({found.id}): restore the topics {found.prefix}*, or begin anew with an empty"
            " database and another CHAPPE_KAFKA_PREFIX"
        )
    _check_counts(broker, existing)


def _foreign(ours: _Tie, marker: str) -> BrokerMismatch:
    return BrokerMismatch(
        f"the streams {ours.prefix}* on the {ours.broker} broker belong to another installation"
        f" ({marker}, this database is {ours.id}): restore its database, or set another"
        " CHAPPE_KAFKA_PREFIX"
    )


def _check_counts(broker: BrokerAdmin, existing: Counts) -> None:
    for stream, wanted in _streams(broker).items():
        if existing.get(stream, wanted) != wanted:
            raise BrokerMismatch(
                f"{broker.prefix}{stream} has {existing[stream]} partitions instead of {wanted}:"
                " set CHAPPE_SHARDS to the count that the streams were made with, or set another"
                " CHAPPE_KAFKA_PREFIX"
            )


async def _existing(broker: BrokerAdmin) -> Counts:
    """Which of our streams are there; others of the same prefix are none of our business."""
    wanted = _streams(broker)
    return {stream: count for stream, count in (await broker.streams()).items() if stream in wanted}


async def _mark(broker: BrokerAdmin, wanted: _Tie) -> None:
    """Write our id, unless it is there; of two who do so at once the first in the log has won."""
    existing = await _existing(broker)
    if await _marker(broker, existing) is None:
        value = json.dumps({"installation": wanted.id}).encode()
        await broker.append(INSTALLATION, [Outgoing(0, KEY, value)])
    marker = await _marker(broker, existing)
    if marker != wanted.id:
        raise _foreign(wanted, str(marker))


async def _marker(broker: BrokerAdmin, existing: Counts) -> str | None:
    """The id in the first record of ``installation``, if there is one."""
    if INSTALLATION not in existing or not (await broker.end_offsets(INSTALLATION))[0]:
        return None
    start = (await broker.start_offsets(INSTALLATION))[0]
    reader = broker.reader(INSTALLATION)
    try:
        await reader.assign({0: start})
        records = (await reader.read(1, ANSWER_SECONDS)).get(0)
    finally:
        await reader.close()
    if not records:
        raise BrokerUnavailable("the broker does not give the record that says whose it is")
    return str(json.loads(records[0].value)["installation"])
