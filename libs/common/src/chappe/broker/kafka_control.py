"""What we ask a Kafka cluster beside appends and reads: offsets, topics, positions, deletion."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar

import structlog
from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import (
    KafkaError,
    LeaderNotAvailableError,
    NodeNotReadyError,
    TopicAlreadyExistsError,
    for_code,
)
from aiokafka.protocol.admin import (
    CreateTopicsRequest,
    DeleteRecordsRequest,
    DescribeConfigsRequest,
    ListGroupsRequest,
)
from aiokafka.protocol.commit import OffsetCommitRequest, OffsetFetchRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.structs import TopicPartition

from chappe.broker.kafka_connection import AWAY, BACKOFF_SECONDS, Untyped, quietly
from chappe.broker.limits import ANSWER_SECONDS
from chappe.broker.port import BrokerUnavailable

T = TypeVar("T")

EARLIEST, LATEST = -2, -1
NO_GENERATION, NO_MEMBER = -1, ""
TOPIC = 2
CREATE_SECONDS = 60.0

REPLICAS = 3
POSITION_KEPT_MS = 100 * 365 * 24 * 3600 * 1000
"""Positions do not expire: one that did would let trim drop what its consumer has not read."""

log = structlog.get_logger(__name__)


class KafkaControl:
    """One client for questions, each asked again until it is answered or 3 s have passed."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self._arguments = dict(arguments)
        self._client: Untyped | None = None
        self._connecting = asyncio.Lock()
        self._coordinators: dict[str, int] = {}

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await quietly(client.close)

    async def cluster(self) -> str:
        """The cluster's own id."""

        async def ask(client: Untyped) -> str:
            return str((await _send(client, MetadataRequest([]))).cluster_id)

        return await self._ask(ask)

    async def topics(self) -> dict[str, int]:
        """Every topic that we may see, with its partition count."""

        async def ask(client: Untyped) -> dict[str, int]:
            answer = await _send(client, MetadataRequest(None))
            return {topic: len(partitions) for _, topic, _, partitions in answer.topics}

        return await self._ask(ask)

    async def create(self, topics: Mapping[str, int], settings: Mapping[str, str]) -> None:
        """Create what does not exist, and return when each partition's leader serves it."""

        async def ask(client: Untyped) -> None:
            replicas = min(REPLICAS, len(client.cluster.brokers()))
            in_sync = {"min.insync.replicas": str(max(1, replicas - 1))}
            wanted: list[Untyped] = [
                (topic, count, replicas, [], [*settings.items(), *in_sync.items()])
                for topic, count in topics.items()
            ]
            request = CreateTopicsRequest(wanted, int(CREATE_SECONDS * 1000), validate_only=False)
            controller = client.cluster.controller
            if controller is None:
                raise LeaderNotAvailableError
            answer = await client.send(controller.nodeId, request)
            for topic, code, message in answer.topic_errors:
                if code not in {0, TopicAlreadyExistsError.errno}:
                    raise for_code(code)(f"{topic}: {message}")

        await self._ask(ask, CREATE_SECONDS)
        for topic, count in topics.items():
            await self.offsets(topic, range(count), LATEST, CREATE_SECONDS)

    async def settings(self, topic: str, names: Iterable[str]) -> dict[str, str]:
        """The topic's settings in force, those of ``names`` that we may see."""

        async def ask(client: Untyped) -> dict[str, str]:
            request = DescribeConfigsRequest([(TOPIC, topic, list(names))])
            ((code, message, _, _, entries),) = (await _send(client, request)).resources
            if code:
                log.warning("kafka topic settings not readable", topic=topic, error=message)
                return {}
            return {name: value for name, value, *_ in entries}

        return await self._ask(ask)

    async def offsets(
        self, topic: str, partitions: Iterable[int], at: int, seconds: float = ANSWER_SECONDS
    ) -> dict[int, int]:
        """The first offset whose time is not before ``at`` (ms, or ``EARLIEST`` or ``LATEST``).

        -1 where there is none.
        """

        async def ask(client: Untyped) -> dict[int, int]:
            found: dict[int, int] = {}
            for node, numbers in _by_leader(client, topic, partitions).items():
                request = OffsetRequest(-1, 0, [(topic, [(number, at) for number in numbers])])
                answer = await client.send(node, request)
                for _, parts in answer.topics:
                    for partition, code, _, offset in parts:
                        _raise(code)
                        found[partition] = offset
            return found

        return await self._ask(ask, seconds)

    async def commit(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        """Store positions in a group that nobody joins, for ever."""
        positions = [(partition, offset, "") for partition, offset in offsets.items()]
        request = OffsetCommitRequest(
            group, NO_GENERATION, NO_MEMBER, POSITION_KEPT_MS, [(topic, positions)]
        )

        async def ask(client: Untyped) -> None:
            answer = await self._to_coordinator(client, group, request)
            for _, parts in answer.topics:
                for _, code in parts:
                    _raise(code)

        await self._ask(ask)

    async def positions(self, group: str, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """What ``commit`` stored; a partition without a position is left out."""
        request = OffsetFetchRequest(group, [(topic, list(partitions))])

        async def ask(client: Untyped) -> dict[int, int]:
            answer = await self._to_coordinator(client, group, request)
            _raise(answer.error_code)
            found: dict[int, int] = {}
            for _, parts in answer.topics:
                for partition, offset, _, code in parts:
                    _raise(code)
                    if offset >= 0:
                        found[partition] = offset
            return found

        return await self._ask(ask)

    async def groups(self) -> list[str]:
        """Every group on every broker."""

        async def ask(client: Untyped) -> list[str]:
            found: list[str] = []
            for broker in client.cluster.brokers():
                answer = await client.send(broker.nodeId, ListGroupsRequest())
                _raise(answer.error_code)
                found += [group for group, _ in answer.groups]
            return found

        return await self._ask(ask)

    async def delete_before(self, topic: str, offsets: Mapping[int, int]) -> None:
        async def ask(client: Untyped) -> None:
            for node, numbers in _by_leader(client, topic, offsets).items():
                bounds = [(number, offsets[number]) for number in numbers]
                request = DeleteRecordsRequest([(topic, bounds)], int(ANSWER_SECONDS * 1000))
                answer = await client.send(node, request)
                for topic_answer in answer.topics:
                    for partition_answer in topic_answer[1]:
                        _raise(partition_answer[2])

        await self._ask(ask)

    async def _ask(
        self,
        question: Callable[[Untyped], Awaitable[T]],
        seconds: float = ANSWER_SECONDS,
    ) -> T:
        last: BaseException | None = None
        try:
            async with asyncio.timeout(seconds):
                while True:
                    try:
                        return await question(await self._connected())
                    except KafkaError as error:
                        last = error
                        if not error.retriable:
                            break
                        self._coordinators.clear()
                    await asyncio.sleep(BACKOFF_SECONDS)
                    if self._client is not None:
                        await self._client.force_metadata_update()
        except AWAY as error:
            last = last or error
        raise BrokerUnavailable(f"Kafka did not answer: {last!r}") from last

    async def _connected(self) -> Untyped:
        async with self._connecting:
            if self._client is None:
                client: Untyped = AIOKafkaClient(**self._arguments)
                try:
                    await client.bootstrap()
                except BaseException:
                    await quietly(client.close)
                    raise
                self._client = client
            return self._client

    async def _to_coordinator(self, client: Untyped, group: str, request: Untyped) -> Untyped:
        if group not in self._coordinators:
            self._coordinators[group] = await client.coordinator_lookup(
                CoordinationType.GROUP, group
            )
        return await client.send(self._coordinators[group], request)


async def _send(client: Untyped, request: Untyped) -> Untyped:
    """Ask any broker."""
    node = client.get_random_node()
    if node is None:
        raise NodeNotReadyError
    return await client.send(node, request)


def _by_leader(client: Untyped, topic: str, partitions: Iterable[int]) -> dict[int, list[int]]:
    """Group ``partitions`` by who leads them; raises while one has no leader."""
    found: dict[int, list[int]] = defaultdict(list)
    for partition in partitions:
        leader = client.cluster.leader_for_partition(TopicPartition(topic, partition))
        if leader is None or leader < 0:
            raise LeaderNotAvailableError(f"{topic}/{partition}")
        found[leader].append(partition)
    return found


def _raise(code: int) -> None:
    if code:
        raise for_code(code)
