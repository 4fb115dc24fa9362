"""``/api/v1/sending/policy``: who may be written to without having asked, and who is measured."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from chappe.clock import Clock
from chappe.http import require_token
from chappe.ids import WorkspaceId
from chappe_sender.application.ports import Policies, Policy
from chappe_sender.domain.measuring import COUNTRIES_MAX, MeasuringRules, Tracking

Country = Annotated[str, Field(pattern="^[A-Z]{2}$", description="ISO 3166-1 alpha-2.")]


class MeasuringWanted(BaseModel):
    """``countries``: where silence is no consent. ``refused``: what holds for those who said no."""

    model_config = ConfigDict(extra="forbid")

    countries: Annotated[list[Country], Field(max_length=COUNTRIES_MAX)] | None = None
    refused: Literal["aggregate", "none"] | None = None


class PolicyWanted(BaseModel):
    """What is absent stays as it is."""

    model_config = ConfigDict(extra="forbid")

    consent: Literal["opt_in", "opt_out"] | None = None
    tracking: MeasuringWanted = MeasuringWanted()


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyApi:
    """What the addresses need."""

    admin_token: str
    policies: Policies
    clock: Clock


def router(api: PolicyApi) -> APIRouter:
    workspace_of = require_token(api.admin_token)
    routes = APIRouter(prefix="/api/v1/sending/policy", tags=["sending"])

    @routes.get("")
    async def policy(workspace: Annotated[WorkspaceId, Depends(workspace_of)]) -> dict[str, Any]:
        """What holds now."""
        return _shown(await api.policies.policy(workspace))

    @routes.patch("")
    async def change(
        body: PolicyWanted, workspace: Annotated[WorkspaceId, Depends(workspace_of)]
    ) -> dict[str, Any]:
        """It holds from the next claim on, also for what waits already."""
        held = await api.policies.policy(workspace)
        wanted = _changed(held, body)
        await api.policies.keep(workspace, wanted, api.clock.now())
        return _shown(wanted)

    _ = (policy, change)
    return routes


def _changed(held: Policy, body: PolicyWanted) -> Policy:
    said = body.tracking
    countries = said.countries if said.countries is not None else held.measuring.countries
    refused = Tracking(said.refused) if said.refused is not None else held.measuring.refused
    opt_out = held.opt_out if body.consent is None else body.consent == "opt_out"
    return Policy(opt_out=opt_out, measuring=MeasuringRules(frozenset(countries), refused))


def _shown(policy: Policy) -> dict[str, Any]:
    return {
        "consent": "opt_out" if policy.opt_out else "opt_in",
        "tracking": {
            "countries": sorted(policy.measuring.countries),
            "refused": policy.measuring.refused,
        },
    }
