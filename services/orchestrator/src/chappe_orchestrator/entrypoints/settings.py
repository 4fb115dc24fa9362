"""``/api/v1/journeys/settings``: cadence, zones, holdout, test recipients of a workspace."""

import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ValidationError

from chappe.clock import Clock
from chappe.http import FieldError, Problem
from chappe.ids import WorkspaceId
from chappe.journey import JourneySettings
from chappe_orchestrator.application.ports import SettingsShelf


class SettingsOut(BaseModel):
    """``webhook_secret`` is what receivers check the signature of our webhooks with."""

    settings: dict[str, Any]
    webhook_secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsApi:
    """What this address needs."""

    shelf: SettingsShelf
    clock: Clock
    workspace: Callable[[Request], Awaitable[WorkspaceId]]
    secret: Callable[[WorkspaceId], bytes]


def settings_router(api: SettingsApi) -> APIRouter:
    """Before the routes of journeys: none can be called ``settings``."""
    router = APIRouter(prefix="/api/v1/journeys/settings", tags=["journeys"])
    caller = Depends(api.workspace)

    def shown(settings: JourneySettings, workspace: WorkspaceId) -> SettingsOut:
        secret = base64.b64encode(api.secret(workspace)).decode()
        said = settings.model_dump(mode="json", by_alias=True)
        return SettingsOut(settings=said, webhook_secret=f"whsec_{secret}")

    @router.get("")
    async def read(workspace: WorkspaceId = caller) -> SettingsOut:
        """What is in force."""
        doc = await api.shelf.one(workspace)
        return shown(JourneySettings.model_validate_json(doc or b"{}"), workspace)

    @router.put("")
    async def write(body: dict[str, Any], workspace: WorkspaceId = caller) -> SettingsOut:
        """Replace all of them; what is left out is off."""
        try:
            settings = JourneySettings.model_validate(body)
        except ValidationError as error:
            raise Problem(
                422,
                "the settings cannot be accepted; see errors",
                errors=[
                    FieldError(".".join(str(part) for part in one["loc"]), one["msg"])
                    for one in error.errors(include_url=False)
                ],
            ) from error
        said = settings.model_dump(mode="json", by_alias=True, exclude_unset=True)
        doc = json.dumps(said, sort_keys=True, ensure_ascii=False).encode()
        await api.shelf.put(workspace, doc, api.clock.now())
        return shown(settings, workspace)

    _ = (read, write)
    return router
