"""Ask the sender which topics there are: those of its templates, and those of the brand kit."""

from http import HTTPStatus
from typing import Any

import httpx
import structlog

from chappe.ids import WorkspaceId

TIMEOUT_SECONDS = 5.0
PAGES_MAX = 20
PAGE = 500

logger = structlog.get_logger(__name__)


class HttpTopics:
    """``Topics`` over ``GET /api/v1/templates`` and ``GET /api/v1/brand``."""

    def __init__(self, client: httpx.AsyncClient, api_url: str, token: str) -> None:
        self._client = client
        self._url = f"{api_url}/api/v1"
        self._token = token

    async def known(self, workspace: WorkspaceId) -> frozenset[str] | None:
        """Every topic; None while the sender cannot be asked, or has too many templates to say."""
        try:
            brand = await self._get(workspace, "brand")
            found = set(brand.get("topics", {}))
            cursor: str | None = None
            for _ in range(PAGES_MAX):
                page = await self._get(workspace, "templates", limit=PAGE, cursor=cursor)
                found |= {one["topic"] for one in page["items"] if one.get("topic")}
                cursor = page.get("next")
                if cursor is None:
                    return frozenset(found)
        except (httpx.HTTPError, ValueError, LookupError, TypeError, AttributeError) as error:
            logger.warning("Nobody can say which topics there are", error=repr(error)[:200])
        return None

    async def _get(self, workspace: WorkspaceId, path: str, **params: Any) -> dict[str, Any]:
        answer = await self._client.get(
            f"{self._url}/{path}",
            params={name: value for name, value in params.items() if value is not None},
            headers={"Authorization": f"Bearer {self._token}", "Chappe-Workspace": workspace},
            timeout=TIMEOUT_SECONDS,
        )
        if answer.status_code != HTTPStatus.OK:
            raise ValueError(f"{path} answered {answer.status_code}")
        return answer.json()
