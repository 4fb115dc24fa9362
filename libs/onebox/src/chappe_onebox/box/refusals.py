"""Errors of what we stand on, as the sentence and the exit status of a refused start."""

import sqlite3

import asyncpg

from chappe.broker import BrokerError, BrokerUnavailable
from chappe.postgres import DatabaseUnavailable, MigrationError
from chappe.settings import SettingsError
from chappe_onebox.box.failures import BAD_USAGE, CANNOT_REACH, CannotStart
from chappe_onebox.inbox import InboxTooNewError


def refusal(error: BaseException) -> CannotStart | None:
    """What to tell the person who starts it; None for an error nobody expected."""
    match error:
        case CannotStart():
            return error
        case DatabaseUnavailable() | BrokerUnavailable():
            return CannotStart(str(error), CANNOT_REACH)
        case BrokerError() | MigrationError() | SettingsError() | InboxTooNewError():
            return CannotStart(str(error), BAD_USAGE)
        case asyncpg.DiskFullError():
            return CannotStart(f"the database's disk is full ({error}): free some space")
        case asyncpg.InsufficientPrivilegeError():
            return CannotStart(f"the database's user may not do this ({error}): make it the owner")
        case sqlite3.Error():
            return CannotStart(f"the inbox's file cannot be used ({error}): see inbox/ in the data")
        case BaseExceptionGroup():
            found = [refusal(inner) for inner in error.exceptions]
            return found[0] if found and all(found) else None
        case _:
            return None
