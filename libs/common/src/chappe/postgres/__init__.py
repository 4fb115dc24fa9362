"""Postgres, the authority: a pool, and numbered migrations."""

from chappe.postgres.migrate import Migration, MigrationError, migrate, migrations_in
from chappe.postgres.pool import DatabaseUnavailable, open_pool

__all__ = [
    "DatabaseUnavailable",
    "Migration",
    "MigrationError",
    "migrate",
    "migrations_in",
    "open_pool",
]
