"""The log on Apache Kafka, through aiokafka: partitions by hand, acknowledged by all replicas.

A stream is the topic ``PREFIX + stream``. Topics are created explicitly and keep everything:
``trim`` alone deletes.
"""

from collections.abc import Mapping, Sequence

from chappe.broker.kafka_connection import KafkaConnection, quieten_client_logs
from chappe.broker.kafka_control import EARLIEST, LATEST, KafkaControl
from chappe.broker.kafka_producer import REQUEST_BYTES_MAX, Appender
from chappe.broker.kafka_reader import KafkaReader
from chappe.broker.limits import check, partitions_of
from chappe.broker.port import BrokerMismatch, Outgoing, Reader
from chappe.clock import Clock, WallClock
from chappe.events.streams import EVENTS, Stream

TOPIC_SETTINGS = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "max.message.bytes": str(REQUEST_BYTES_MAX),
}


class KafkaBroker:
    """The log on the cluster of ``connection``. Opens no connection before it needs one."""

    kind = "kafka"

    def __init__(
        self,
        connection: KafkaConnection,
        *,
        prefix: str,
        partitions: int,
        clock: Clock | None = None,
    ) -> None:
        quieten_client_logs()
        self._arguments = connection.client_arguments()
        self.prefix = prefix
        self._partitions = partitions
        self._clock = clock or WallClock()
        self._control = KafkaControl(self._arguments)
        self._appender = Appender(self._arguments)
        self._readers: list[KafkaReader] = []

    @property
    def partitions(self) -> int:
        return self._partitions

    async def append(self, stream: Stream, records: Sequence[Outgoing]) -> None:
        check(stream, records, self._partitions)
        if records:
            await self._appender.append(self._topic(stream), records)

    def reader(self, stream: Stream) -> Reader:
        reader = KafkaReader(self._arguments, self._topic(stream), lambda: self.end_offsets(stream))
        self._readers.append(reader)
        return reader

    async def start_offsets(self, stream: Stream) -> dict[int, int]:
        return await self._offsets(stream, EARLIEST)

    async def end_offsets(self, stream: Stream) -> dict[int, int]:
        return await self._offsets(stream, LATEST)

    async def publish_position(
        self, consumer: str, stream: Stream, offsets: Mapping[int, int]
    ) -> None:
        if offsets:
            await self._control.commit(self.prefix + consumer, self._topic(stream), offsets)

    async def trim(self, stream: Stream, keep_seconds: float) -> None:
        positions = await self._positions(stream)
        if not positions:
            return
        before = self._clock.now().timestamp() - keep_seconds
        young = await self._offsets(stream, round(before * 1000))
        starts = await self.start_offsets(stream)
        ends = await self.end_offsets(stream)
        bounds = {
            partition: min(
                young[partition] if young[partition] >= 0 else ends[partition],
                *(offsets.get(partition, 0) for offsets in positions),
            )
            for partition in starts
        }
        gone = {partition: to for partition, to in bounds.items() if to > starts[partition]}
        if gone:
            await self._control.delete_before(self._topic(stream), gone)

    async def ping(self) -> None:
        """Asks the leader of one partition, so that a broker without leaders counts as away."""
        await self._control.offsets(self._topic(EVENTS), [0], LATEST)

    async def close(self) -> None:
        for reader in self._readers:
            await reader.close()
        await self._appender.close()
        await self._control.close()

    async def cluster(self) -> str:
        return await self._control.cluster()

    async def streams(self) -> dict[Stream, int]:
        """The topics of our prefix, as streams, with their partition counts."""
        return {
            Stream(topic.removeprefix(self.prefix)): count
            for topic, count in (await self._control.topics()).items()
            if topic.startswith(self.prefix)
        }

    async def create(self, streams: Mapping[Stream, int]) -> None:
        """Create what is missing. Raises ``BrokerMismatch`` when a topic could lose records."""
        topics = {self._topic(stream): count for stream, count in streams.items()}
        await self._control.create(topics, TOPIC_SETTINGS)
        for topic in topics:
            found = await self._control.settings(topic, TOPIC_SETTINGS)
            for name, wanted in TOPIC_SETTINGS.items():
                if name in found and not _is_enough(name, found[name], wanted):
                    raise BrokerMismatch(
                        f"topic {topic} has {name}={found[name]}, Chappe needs {wanted}:"
                        f" kafka-configs.sh --alter --topic {topic} --add-config {name}={wanted}"
                    )

    async def _positions(self, stream: Stream) -> list[dict[int, int]]:
        """How far each consumer of the stream has read, by partition."""
        topic = self._topic(stream)
        numbers = range(partitions_of(stream, self._partitions))
        groups = [group for group in await self._control.groups() if group.startswith(self.prefix)]
        found = [await self._control.positions(group, topic, numbers) for group in groups]
        return [offsets for offsets in found if offsets]

    async def _offsets(self, stream: Stream, at: int) -> dict[int, int]:
        numbers = range(partitions_of(stream, self._partitions))
        return await self._control.offsets(self._topic(stream), numbers, at)

    def _topic(self, stream: Stream) -> str:
        return self.prefix + stream


def _is_enough(name: str, found: str, wanted: str) -> bool:
    if name == "max.message.bytes":
        return int(found) >= int(wanted)
    return found == wanted
