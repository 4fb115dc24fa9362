"""The HTTP app of analytics."""

from collections.abc import Mapping

from fastapi import FastAPI

from chappe.http import Check, create_app, require_token
from chappe_analytics.application.live import Live
from chappe_analytics.application.ports import DeadLetters, EventLog, Identities, Reading
from chappe_analytics.entrypoints.dead_letters import dead_letter_routes
from chappe_analytics.entrypoints.live import live_routes
from chappe_analytics.entrypoints.reports import report_routes
from chappe_analytics.entrypoints.timeline import timeline_routes
from chappe_analytics.entrypoints.workspace import token_anywhere


def analytics_app(
    *,
    reading: Reading,
    log: EventLog,
    letters: DeadLetters,
    identities: Identities,
    live: Live,
    admin_token: str,
    checks: Mapping[str, Check],
) -> FastAPI:
    """Timelines, reports and the live stream, behind the Bearer token."""
    app = create_app("analytics", checks=checks, distribution="chappe-analytics")
    by_header = require_token(admin_token)
    app.include_router(timeline_routes(reading, identities, by_header))
    app.include_router(report_routes(reading, by_header))
    app.include_router(dead_letter_routes(letters, by_header))
    app.include_router(live_routes(live, log, token_anywhere(admin_token)))
    return app
