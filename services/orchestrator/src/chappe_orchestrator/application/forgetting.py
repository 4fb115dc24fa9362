"""The history of events ends: what is older than anybody is told to count on is dropped."""

import asyncio
import datetime as dt
from collections.abc import Callable

import structlog

from chappe.clock import Clock
from chappe.journey.notes import HISTORY_KEPT
from chappe_orchestrator.application.ports import History, HistoryAway

KEEP = HISTORY_KEPT
"""A year and the weeks around its end: "as last spring" can still be asked."""

ROWS_MAX = 10_000
"""So many facts go at once."""

EVERY_SECONDS = 6 * 3_600

logger = structlog.get_logger(__name__)


async def forget_for_ever(history: History, clock: Clock, is_ours: Callable[[], bool]) -> None:
    """Drop old facts now and then. ``is_ours``: of all processes one does it."""
    while True:
        if is_ours():
            try:
                await forget(history, clock.now())
            except HistoryAway as error:
                logger.warning("The old history was not dropped", error=str(error))
        await asyncio.sleep(EVERY_SECONDS)


async def forget(history: History, now: dt.datetime) -> int:
    """Drop every fact older than ``KEEP``; returns how many. Raises ``HistoryAway``."""
    dropped = 0
    while went := await history.forget(now - KEEP, ROWS_MAX):
        dropped += went
    return dropped
