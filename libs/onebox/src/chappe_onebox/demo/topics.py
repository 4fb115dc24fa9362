"""Take a demo's own topics off a shared Kafka again."""

import asyncio
from collections.abc import Mapping

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

SECONDS_MAX = 20.0


def drop_topics(environ: Mapping[str, str]) -> None:
    """Delete the topics of ``CHAPPE_KAFKA_PREFIX``; nothing without Kafka, or on a guarded one."""
    bootstrap = environ.get("CHAPPE_KAFKA_BOOTSTRAP")
    if not bootstrap or environ.get("CHAPPE_KAFKA_SECURITY_PROTOCOL", "PLAINTEXT") != "PLAINTEXT":
        return
    asyncio.run(_drop(bootstrap, environ["CHAPPE_KAFKA_PREFIX"]))


async def _drop(bootstrap: str, prefix: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        async with asyncio.timeout(SECONDS_MAX):
            await admin.start()
            ours = [name for name in await admin.list_topics() if name.startswith(prefix)]
            if ours:
                await admin.delete_topics(ours)
    except (KafkaError, OSError, TimeoutError):
        return  # what stays behind is in nobody's way: the prefix is never used again
    finally:
        await admin.close()
