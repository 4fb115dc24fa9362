"""Every example of the journeys' and segments' pages is accepted as it stands."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from chappe.journey import Condition, JourneySettings, read_journey
from chappe.journey.rules import EXIT_KINDS, Entry
from chappe.journey.segments import Segment
from chappe.journey.steps import STEP_KINDS
from chappe.journey.triggers import TRIGGER_KINDS

DOCS = Path(__file__).resolve().parents[3] / "docs"
BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
JOURNEYS = (DOCS / "journeys.md").read_text("utf-8")


def blocks(name: str) -> list[str]:
    return BLOCK.findall((DOCS / name).read_text("utf-8"))


def whole(fragment: str) -> str:
    """A fragment of the page as a journey file: what it leaves out is filled in."""
    missing = {
        "schema": "schema: 1\n",
        "journey": "journey: example\n",
        "trigger": "trigger: {event: contact.created}\n",
        "steps": "steps: [{send: {template: example}}]\n",
    }
    said: dict[str, Any] = yaml.safe_load(fragment)
    return "".join(text for key, text in missing.items() if key not in said) + fragment


@pytest.mark.parametrize("block", blocks("journeys.md") + blocks("segments.md"))
def test_an_example_is_accepted(block: str) -> None:
    said: dict[str, Any] = yaml.safe_load(block)
    if "conditions" in said:
        condition: TypeAdapter[Any] = TypeAdapter(Condition)
        for one in said["conditions"]:
            condition.validate_python(one)
    elif "settings" in said:
        JourneySettings.model_validate(said["settings"])
    elif "segment" in said:
        Segment.model_validate(said)
    else:
        read_journey(whole(block))


def test_every_trigger_exit_and_step_has_an_example() -> None:
    for kinds in (TRIGGER_KINDS, EXIT_KINDS, STEP_KINDS):
        assert [kind for kind in kinds if not re.search(rf"[{{\s]{kind}:", JOURNEYS)] == []


def test_every_rule_of_the_entry_is_named() -> None:
    assert [name for name in Entry.model_fields if name not in JOURNEYS] == []
