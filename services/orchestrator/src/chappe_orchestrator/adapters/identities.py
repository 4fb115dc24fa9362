"""Ask the ingest service whom a reference means."""

import urllib.parse
from http import HTTPStatus
from typing import Any

import httpx

from chappe.ids import ContactId, WorkspaceId
from chappe_orchestrator.application.ports import IdentitiesUnavailable

TIMEOUT_SECONDS = 5.0
ERASE_TIMEOUT_SECONDS = 15.0
"""It waits until the erasure is applied, for a while."""


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

    async def erase(self, workspace: WorkspaceId, ref: str) -> tuple[bool, dict[str, Any]] | None:
        """A change of identifiers goes through the service that keeps them."""
        headers = {"Authorization": f"Bearer {self._token}", "Chappe-Workspace": workspace}
        try:
            answer = await self._client.delete(
                self._url + urllib.parse.quote(ref, safe=""),
                headers=headers,
                timeout=ERASE_TIMEOUT_SECONDS,
            )
        except httpx.HTTPError as error:
            raise IdentitiesUnavailable(f"identities cannot be reached: {error}") from error
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return None
        if answer.status_code not in (HTTPStatus.OK, HTTPStatus.ACCEPTED):
            raise IdentitiesUnavailable(f"identities answered {answer.status_code}")
        return answer.status_code == HTTPStatus.OK, answer.json()
