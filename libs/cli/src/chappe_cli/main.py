"""The ``chappe`` command."""

import sys
from typing import Any, cast

import typer

from chappe_cli import show
from chappe_cli.commands import (
    contacts,
    coupons,
    dead_letters,
    domains,
    endpoints,
    enrollments,
    events,
    feedback,
    journeys,
    messages,
    providers,
    running,
    segments,
    sending,
    sources,
    suppressions,
    templates,
)
from chappe_cli.failure import BAD_INPUT, CANNOT_REACH, Failure

HTTP_SERVER_ERROR = 500

app = typer.Typer(
    help="Event-driven email automation that a shop runs itself.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="Example:  chappe up --demo",
)
running.add_to(app)
for name, group in {
    "sources": sources.app,
    "events": events.app,
    "journeys": journeys.app,
    "segments": segments.app,
    "enrollments": enrollments.app,
    "contacts": contacts.app,
    "messages": messages.app,
    "templates": templates.app,
    "coupons": coupons.app,
    "suppressions": suppressions.app,
    "providers": providers.app,
    "domains": domains.app,
    "sending": sending.app,
    "bounces": feedback.bounces,
    "dead-letters": dead_letters.app,
}.items():
    app.add_typer(group, name=name, no_args_is_help=True)

providers.app.add_typer(endpoints.app, name="endpoint", no_args_is_help=True)


def main() -> None:
    """Run the command and exit: 0 done, 1 a check failed, 2 bad usage or input, 3 cannot reach."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit status. Every failure is said once, as JSON after ``--json``."""
    as_json = "--json" in arguments
    try:
        code: Any = app(arguments, prog_name="chappe", standalone_mode=False)
    except typer.TyperException as error:
        return _bad_usage(error, as_json=as_json)
    except (typer.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:  # whoever read us has seen enough
        sys.stderr.close()
        return 0
    except Exception as error:
        failure = _failure_of(error)
        if failure is None:
            raise
        show.failure(failure, as_json=as_json)
        return failure.code
    return code if isinstance(code, int) else 0


def _failure_of(error: Exception) -> Failure | None:
    from chappe.settings import SettingsError
    from chappe_onebox.box.failures import CannotStart
    from chappe_onebox.client import Refused, Unreachable

    match error:
        case Failure():
            return error
        case Refused():
            code = CANNOT_REACH if error.status >= HTTP_SERVER_ERROR else BAD_INPUT
            return Failure(str(error), code, error.errors)
        case Unreachable():
            return Failure(str(error), CANNOT_REACH)
        case CannotStart():
            return Failure(str(error), error.code)
        case SettingsError():
            return Failure(str(error))
        case _:
            return None


def _bad_usage(error: typer.TyperException, *, as_json: bool) -> int:
    code = BAD_INPUT if error.exit_code == BAD_INPUT else error.exit_code
    if as_json:
        show.failure(Failure(error.format_message(), code), as_json=True)
    else:
        from typer.rich_utils import rich_format_error

        rich_format_error(cast("Any", error))
    return code
