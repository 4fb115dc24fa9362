"""What holds for all mail of a workspace, in Postgres."""

import datetime as dt
from typing import Any

import asyncpg

from chappe.ids import WorkspaceId
from chappe_sender.application.ports import Policy
from chappe_sender.domain.measuring import MeasuringRules, Tracking

FIND = """
    SELECT consent, tracking_countries, tracking_refused FROM sender.policy WHERE workspace = $1
"""

KEEP = """
    INSERT INTO sender.policy (workspace, consent, tracking_countries, tracking_refused, updated_at)
    VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (workspace) DO UPDATE
           SET consent = excluded.consent, tracking_countries = excluded.tracking_countries,
               tracking_refused = excluded.tracking_refused, updated_at = excluded.updated_at
"""


class PostgresPolicies:
    """``Policies`` over the sender's schema."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def policy(self, workspace: WorkspaceId) -> Policy:
        row: Any = await self._pool.fetchrow(FIND, workspace)
        if row is None:
            return Policy()
        measuring = MeasuringRules(
            frozenset(row["tracking_countries"]), Tracking(row["tracking_refused"])
        )
        return Policy(opt_out=row["consent"] == "opt_out", measuring=measuring)

    async def keep(self, workspace: WorkspaceId, policy: Policy, now: dt.datetime) -> None:
        await self._pool.execute(
            KEEP,
            workspace,
            "opt_out" if policy.opt_out else "opt_in",
            sorted(policy.measuring.countries),
            policy.measuring.refused.value,
            now,
        )
