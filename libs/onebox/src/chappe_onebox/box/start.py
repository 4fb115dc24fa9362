"""From a command to an exit status: 0 stopped when asked, 1 something broke, 2 and 3 refused."""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any

import structlog
import uvloop

from chappe.settings import Settings
from chappe.telemetry import set_up_logs
from chappe_onebox.box.refusals import refusal

INTERRUPTED = 130

logger = structlog.get_logger(__name__)


def run_to_end(name: str, settings: Settings, work: Coroutine[Any, Any, None]) -> int:
    """Run a process of ours; whatever ends it is said once, on stderr."""
    set_up_logs(settings.log_level, console=sys.stderr.isatty())
    try:
        uvloop.run(work)
    except (asyncio.CancelledError, KeyboardInterrupt):
        return INTERRUPTED
    except BaseException as error:
        refused = refusal(error)
        if refused is None:
            logger.critical("Ended by an error nobody expected", exc_info=error)
            return 1
        print(f"{name}: {refused}", file=sys.stderr)  # noqa: T201 - for who typed it
        return refused.code
    return 0
