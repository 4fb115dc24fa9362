"""Ask ingest, over its public API, whose identifier this is."""

from http import HTTPStatus
from urllib.parse import quote

import httpx
import msgspec

from chappe.ids import ContactId, WorkspaceId
from chappe_analytics.application.ports import IdentitiesUnavailable

TIMEOUT_SECONDS = 5.0


class _Identity(msgspec.Struct):
    contact: ContactId


class HttpIdentities:
    """``Identities`` behind ``GET /api/v1/identities/{ref}``."""

    def __init__(self, client: httpx.AsyncClient, admin_token: str) -> None:
        self._client = client
        self._headers = {"authorization": f"Bearer {admin_token}"}

    async def resolve(self, workspace: WorkspaceId, ref: str) -> ContactId | None:
        headers = {**self._headers, "chappe-workspace": workspace}
        address = f"/api/v1/identities/{quote(ref, safe='')}"
        try:
            answer = await self._client.get(address, headers=headers, timeout=TIMEOUT_SECONDS)
            if answer.status_code == HTTPStatus.NOT_FOUND:
                return None
            answer.raise_for_status()
            return msgspec.json.decode(answer.content, type=_Identity).contact
        except (httpx.HTTPError, msgspec.MsgspecError) as error:
            raise IdentitiesUnavailable(str(error) or type(error).__name__) from error
