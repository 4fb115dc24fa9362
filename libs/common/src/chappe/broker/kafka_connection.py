"""How to reach a Kafka cluster, and the small things every client of it needs."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import structlog
from aiokafka.errors import KafkaError
from aiokafka.helpers import create_ssl_context

from chappe.broker.limits import ANSWER_SECONDS
from chappe.broker.port import BrokerError
from chappe.clock import monotonic

ADDRESS = re.compile(r"^(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:]+\]):([0-9]{1,5})$")
PORT_MAX = 65_535
BACKOFF_SECONDS = 0.1
STOP_SECONDS = 5.0
METADATA_SECONDS = 60.0
QUIET_SECONDS = 10.0

AWAY = (KafkaError, OSError, TimeoutError)
"""What a client raises while the broker does not answer as it should."""

LOGGERS = (
    "aiokafka",
    "aiokafka.cluster",
    "aiokafka.conn",
    "aiokafka.consumer.consumer",
    "aiokafka.consumer.fetcher",
    "aiokafka.producer.producer",
    "aiokafka.producer.sender",
)

Untyped: TypeAlias = Any
"""What comes from aiokafka: it has no types, so its objects are named and left unchecked."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaConnection:
    """Where the cluster is and who we are there. ``bootstrap`` is ``host:port``, by commas."""

    bootstrap: str
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None

    def client_arguments(self) -> dict[str, Any]:
        """What every aiokafka client takes; ``BrokerError`` says which setting is wrong."""
        arguments: dict[str, Any] = {
            "bootstrap_servers": self._addresses(),
            "security_protocol": self.security_protocol,
            "request_timeout_ms": int(ANSWER_SECONDS * 1000),
            "retry_backoff_ms": int(BACKOFF_SECONDS * 1000),
            "metadata_max_age_ms": int(METADATA_SECONDS * 1000),
        }
        if self.security_protocol in {"SSL", "SASL_SSL"}:
            try:
                arguments["ssl_context"] = create_ssl_context(cafile=self.ca_file)
            except OSError as error:
                raise BrokerError(
                    f"CHAPPE_KAFKA_CA_FILE={self.ca_file} cannot be read: {error}"
                ) from error
        if self.security_protocol.startswith("SASL_"):
            if not self.username or not self.password:
                raise BrokerError(
                    f"CHAPPE_KAFKA_SECURITY_PROTOCOL={self.security_protocol} needs"
                    " CHAPPE_KAFKA_USERNAME and CHAPPE_KAFKA_PASSWORD"
                )
            arguments["sasl_mechanism"] = self.sasl_mechanism or "PLAIN"
            arguments["sasl_plain_username"] = self.username
            arguments["sasl_plain_password"] = self.password
        return arguments

    def _addresses(self) -> list[str]:
        addresses = [address.strip() for address in self.bootstrap.split(",")]
        for address in addresses:
            match = ADDRESS.match(address)
            if match is None or not 0 < int(match[1]) <= PORT_MAX:
                raise BrokerError(
                    f"CHAPPE_KAFKA_BOOTSTRAP={self.bootstrap!r} is not host:port[,host:port…]:"
                    " correct it, or unset it to use the embedded log"
                )
        return addresses


async def quietly(stop: Callable[[], Awaitable[object]]) -> None:
    """Stop a client that may be in any state; only a cancellation of the caller gets through.

    aiokafka's own ``stop`` can raise ``CancelledError`` while a fetch is backing off.
    """
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await stop()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
    except Exception as error:  # noqa: BLE001  it is thrown away, whatever it says
        log.info("kafka client did not stop cleanly", error=repr(error))


class RateLimit:
    """Lets each message through once in ten seconds: aiokafka repeats itself."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._seen: dict[str, tuple[float, int]] = {}

    def __call__(self, record: logging.LogRecord) -> bool:
        now = self._clock()
        message = str(record.msg)
        last, left_out = self._seen.get(message, (-QUIET_SECONDS, 0))
        if now - last < QUIET_SECONDS:
            self._seen[message] = (last, left_out + 1)
            return False
        if left_out:
            record.msg = f"{message} ({left_out} more like it left out)"
        self._seen[message] = (now, 0)
        return True


def quieten_client_logs() -> None:
    """Put a ``RateLimit`` on aiokafka's loggers, once per process."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if not any(isinstance(known, RateLimit) for known in logger.filters):
            logger.addFilter(RateLimit())
