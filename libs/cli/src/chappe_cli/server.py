"""Find the server: CHAPPE_URL and CHAPPE_TOKEN, else a running ``chappe up`` by its directory."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chappe.settings import SettingsError, environment, load_client_settings
from chappe_cli.failure import CANNOT_REACH, Failure

if TYPE_CHECKING:
    from chappe_onebox.client import Api

DATA = Path("build/data")
DEMO_DATA = Path("build/demo")
SECONDS_MAX = 30.0


def connect(seconds_max: float = SECONDS_MAX) -> "Api":
    """The server to talk to. Raises ``Failure`` when none is named and none runs here."""
    from chappe_onebox.client import Api

    try:
        settings = load_client_settings(environment())
    except SettingsError as error:
        raise Failure(str(error)) from error
    url, token = settings.url, settings.token.get_secret_value() if settings.token else None
    if url is None or token is None:
        running = _running(settings.data)
        url, token = url or running["url"], token or running["token"]
    return Api(url, token, seconds_max=seconds_max)


def _running(data: Path | None) -> dict[str, Any]:
    directories = [data] if data else [DATA, DEMO_DATA]
    for directory in directories:
        try:
            return json.loads((directory / "endpoints.json").read_text("utf-8"))
        except (OSError, ValueError):
            continue
    raise Failure(
        f"no server is running on {' or '.join(str(each) for each in directories)}: start one with "
        "`chappe up`, or set CHAPPE_URL and CHAPPE_TOKEN",
        CANNOT_REACH,
    )
