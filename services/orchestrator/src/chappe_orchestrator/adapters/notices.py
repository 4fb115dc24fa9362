"""Mail to the shop's own people, through the sender's API."""

from http import HTTPStatus

import httpx

from chappe_orchestrator.application.call_ports import NoticeFailedError

TIMEOUT_SECONDS = 10.0


class HttpNotices:
    """``Notices`` over ``POST /api/v1/messages/notices``."""

    def __init__(self, client: httpx.AsyncClient, api_url: str, token: str) -> None:
        self._client = client
        self._url = f"{api_url}/api/v1/messages/notices"
        self._token = token

    async def mail(self, call: str, workspace: str, address: str, subject: str, text: str) -> None:
        """Raises ``NoticeFailedError``."""
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Chappe-Workspace": workspace,
            "Idempotency-Key": call,
        }
        body = {"id": call, "to": address, "subject": subject, "text": text}
        try:
            answer = await self._client.post(
                self._url, headers=headers, json=body, timeout=TIMEOUT_SECONDS
            )
        except httpx.HTTPError as error:
            raise NoticeFailedError(f"the sender cannot be reached: {error}") from error
        if answer.status_code >= HTTPStatus.MULTIPLE_CHOICES:
            raise NoticeFailedError(f"the sender answered {answer.status_code}")
