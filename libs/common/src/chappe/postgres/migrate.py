"""Numbered SQL files, applied once each, in order, under an advisory lock.

``NNNN_name.sql`` in a package's ``migrations`` folder; each file runs in one transaction with its
row in ``<schema>.migration``. Forward only. A file that was changed after it was applied, or a
database that knows a newer file than we ship, is refused.
"""

import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files

import asyncpg

LOCK_KEY = 0x43484150  # "CHAP"
LOCK_TIMEOUT = "30s"
KNOWN = "SELECT number, name, digest FROM {schema}.migration WHERE package = $1"
APPLIED = """
    INSERT INTO {schema}.migration (package, number, name, digest) VALUES ($1, $2, $3, $4)
"""
NAME = re.compile(r"^(\d{4})_[a-z0-9_]+\.sql$")


class MigrationError(Exception):
    """The schema and this program do not fit; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    name: str
    sql: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations_in(package: str) -> list[Migration]:
    """The SQL files of ``package``, by number. Raises on a bad name or a repeated number."""
    found: dict[int, Migration] = {}
    for entry in files(package).iterdir():
        if not entry.name.endswith(".sql"):
            continue
        match = NAME.match(entry.name)
        if match is None or int(match[1]) in found:
            raise MigrationError(f"{package}/{entry.name}: not NNNN_name.sql, or number taken")
        found[int(match[1])] = Migration(int(match[1]), entry.name, entry.read_text("utf-8"))
    return [found[number] for number in sorted(found)]


async def migrate(pool: asyncpg.Pool, schema: str, *packages: str) -> list[str]:
    """Bring ``schema`` up to date with the files of ``packages``; returns the names applied.

    In each file ``{schema}`` stands for the schema's name. Several packages (a service's own and
    ``chappe.shards.migrations``) are told apart by package name.
    """
    applied: list[str] = []
    async with pool.acquire() as connection:
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK_KEY)
        try:
            await connection.execute(
                f"""
                SET lock_timeout = '{LOCK_TIMEOUT}';
                CREATE SCHEMA IF NOT EXISTS {schema};
                CREATE TABLE IF NOT EXISTS {schema}.migration (
                    package text NOT NULL, number int NOT NULL, name text NOT NULL,
                    digest text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now(),
                    PRIMARY KEY (package, number));
                """
            )
            for package in packages:
                applied += await _apply(connection, schema, package)
        finally:
            await connection.execute("RESET lock_timeout")
            await connection.execute("SELECT pg_advisory_unlock($1)", LOCK_KEY)
    return applied


async def _apply(
    connection: asyncpg.pool.PoolConnectionProxy, schema: str, package: str
) -> list[str]:
    rows = await connection.fetch(KNOWN.format(schema=schema), package)
    known = {row["number"]: row for row in rows}
    ours = migrations_in(package)
    newest = ours[-1].number if ours else 0
    if any(number > newest for number in known):
        raise MigrationError(
            f"schema {schema} was migrated by a newer Chappe "
            f"({max(known):04d}, we know {newest:04d}): "
            "run that version or newer"
        )
    applied: list[str] = []
    for migration in ours:
        if (row := known.get(migration.number)) is not None:
            if row["digest"] != migration.digest:
                raise MigrationError(
                    f"{schema}/{migration.name} differs from what was applied: "
                    "migrations are never edited; add a new one"
                )
            continue
        async with connection.transaction():
            await connection.execute(migration.sql.replace("{schema}", schema))
            await connection.execute(
                APPLIED.format(schema=schema),
                package,
                migration.number,
                migration.name,
                migration.digest,
            )
        applied.append(f"{schema}/{migration.name}")
    return applied
