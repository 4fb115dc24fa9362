"""Every broker there is, under one suite."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.conftest import own_kafka
from tests.contract.broker.stands import (
    MemoryStand,
    PostgresServer,
    Server,
    Stand,
    embedded_stand,
    kafka_stand,
)

KINDS = [
    pytest.param("memory"),
    pytest.param("embedded", marks=pytest.mark.integration),
    pytest.param("alone", marks=pytest.mark.integration),
    pytest.param("kafka", marks=pytest.mark.kafka),
]


@pytest.fixture(params=KINDS)
async def log(request: pytest.FixtureRequest, database: str) -> AsyncIterator[Stand]:
    match request.param:
        case "memory":
            yield MemoryStand()
        case "kafka":
            async with kafka_stand(request.getfixturevalue("kafka_bootstrap")) as stand:
                yield stand
        case kind:
            async with embedded_stand(database, exclusive=kind == "alone") as stand:
                yield stand


@pytest.fixture(
    params=[
        pytest.param("embedded", marks=pytest.mark.integration),
        pytest.param("kafka", marks=pytest.mark.kafka),
    ]
)
def doomed(request: pytest.FixtureRequest) -> Iterator[tuple[str, Server, str]]:
    """A server that the test may kill: its kind, itself, and where it answers."""
    if request.param == "kafka":
        with own_kafka() as server:
            yield "kafka", server, server.bootstrap
        return
    directory = Path(tempfile.mkdtemp(prefix="chappe-pg-"))
    server = PostgresServer(directory / "data")
    try:
        yield "embedded", server, server.url
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)
