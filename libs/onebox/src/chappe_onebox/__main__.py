"""A server process: ``python -m chappe_onebox up '{"data": …}'``.

The command becomes this with an exec, so that the server does not carry the command line's own
libraries for the rest of its life.
"""

import sys
from pathlib import Path
from typing import Any

import msgspec

from chappe.settings import Settings, SettingsError, environment, load_settings
from chappe_onebox.box.alone import RunOptions, run_services
from chappe_onebox.box.box import Endpoints, Options, run_box
from chappe_onebox.box.start import run_to_end

BAD_USAGE = 2


def main() -> int:
    what, given = sys.argv[1], sys.argv[2].encode()
    try:
        settings = load_settings(environment())
    except SettingsError as error:
        return _say(f"chappe {what}: {error}", BAD_USAGE)
    if what == "run":
        return _run(settings, msgspec.json.decode(given, type=RunOptions))
    return _up(settings, msgspec.json.decode(given, type=Options, dec_hook=_path))


def _up(settings: Settings, options: Options) -> int:
    def announce(endpoints: Endpoints) -> None:
        lines = [
            "",
            "  Chappe is ready." + ("  Open the page and press a button." if options.demo else ""),
            "",
            f"  {'Page' if options.demo else 'API '}    {endpoints.url}",
            f"  Inbox   {endpoints.inbox or 'none: CHAPPE_SMTP_URL is set'}",
            f"  SMTP    {endpoints.smtp}",
            f"  Token   {endpoints.token}",
            f"  Data    {options.data}",
            "",
            "  Ctrl-C stops everything.",
            "",
        ]
        _say("\n".join(lines), 0)

    return run_to_end("chappe up", settings, run_box(options, settings, announce))


def _run(settings: Settings, options: RunOptions) -> int:
    def announce(url: str) -> None:
        _say(f"{', '.join(options.services)}: {url}", 0)

    return run_to_end("chappe run", settings, run_services(options, settings, announce))


def _path(_kind: type[Any], text: str) -> Path:
    return Path(text)


def _say(text: str, code: int) -> int:
    print(text, file=sys.stderr if code else sys.stdout, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
