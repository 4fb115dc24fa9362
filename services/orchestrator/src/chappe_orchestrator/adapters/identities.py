"""Ask the ingest service whom a reference means."""

import urllib.parse
from http import HTTPStatus

import httpx

from chappe.ids import ContactId, WorkspaceId
from chappe_orchestrator.application.ports import IdentitiesUnavailable

TIMEOUT_SECONDS = 5.0


class HttpIdentities:
    """``Identities`` over ``GET /api/v1/identities/{ref}``."""

    def __init__(self, client: httpx.AsyncClient, api_url: str, token: str) -> None:
        self._client = client
        self._url = f"{api_url}/api/v1/identities/"
        self._token = token

    async def contact(self, workspace: WorkspaceId, ref: str) -> ContactId | None:
        """Raises ``IdentitiesUnavailable`` when the answer is neither a contact nor a 404."""
        headers = {"Authorization": f"Bearer {self._token}", "Chappe-Workspace": workspace}
        try:
            answer = await self._client.get(
                self._url + urllib.parse.quote(ref, safe=""),
                headers=headers,
                timeout=TIMEOUT_SECONDS,
            )
        except httpx.HTTPError as error:
            raise IdentitiesUnavailable(f"identities cannot be reached: {error}") from error
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return None
        if answer.status_code != HTTPStatus.OK:
            raise IdentitiesUnavailable(f"identities answered {answer.status_code}")
        found = answer.json().get("contact")
        return ContactId(found) if isinstance(found, str) else None
