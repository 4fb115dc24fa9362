"""A contact as the orchestrator's public API shows it."""

import urllib.parse
from http import HTTPStatus
from typing import Any, cast

import httpx

from chappe.ids import WorkspaceId

SECONDS_MAX = 10.0


class HttpPeople:
    """Asks over ``client``, whose base is the installation's address."""

    def __init__(self, client: httpx.AsyncClient, token: str) -> None:
        self._client = client
        self._token = token

    async def __call__(self, workspace: WorkspaceId, ref: str) -> dict[str, Any] | None:
        """What templates may show of the contact. Raises ``ConnectionError`` when nobody says."""
        try:
            answer = await self._client.get(
                f"/api/v1/contacts/{urllib.parse.quote(ref, safe='')}",
                headers={"Authorization": f"Bearer {self._token}", "Chappe-Workspace": workspace},
                timeout=SECONDS_MAX,
            )
        except httpx.HTTPError as error:
            raise ConnectionError(f"contacts cannot be reached: {error}") from error
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return None
        if answer.status_code != HTTPStatus.OK:
            raise ConnectionError(f"contacts answered {answer.status_code}")
        said = cast("dict[str, Any]", answer.json())
        traits: Any = said.get("traits") or said.get("attributes") or {}
        shown = dict(cast("dict[str, Any]", traits)) if isinstance(traits, dict) else {}
        shown |= {key: said[key] for key in ("id", "email", "tags", "score") if key in said}
        return shown
