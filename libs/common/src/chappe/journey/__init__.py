"""The journey language: what a journey file may say, and the program it becomes."""

from chappe.journey.conditions import Condition
from chappe.journey.definition import Journey, Location
from chappe.journey.durations import format_duration, parse_duration
from chappe.journey.ids import with_ids
from chappe.journey.names import EVENT_NAMES, is_event_name
from chappe.journey.predicates import Check, Facts, check, read_path
from chappe.journey.problems import Problem, problems_in
from chappe.journey.program import (
    BranchNode,
    Edge,
    EntryRules,
    ExitNode,
    ExitOn,
    GoalOn,
    Next,
    Node,
    Pinned,
    Program,
    SendNode,
    WaitForNode,
    WaitNode,
    compile_program,
    edges,
)
from chappe.journey.reading import (
    Complaint,
    JourneyInvalidError,
    canonical_json,
    journey_schema,
    read_journey,
    stored_journey,
)
from chappe.journey.values import as_list, as_mapping

__all__ = [
    "EVENT_NAMES",
    "BranchNode",
    "Check",
    "Complaint",
    "Condition",
    "Edge",
    "EntryRules",
    "ExitNode",
    "ExitOn",
    "Facts",
    "GoalOn",
    "Journey",
    "JourneyInvalidError",
    "Location",
    "Next",
    "Node",
    "Pinned",
    "Problem",
    "Program",
    "SendNode",
    "WaitForNode",
    "WaitNode",
    "as_list",
    "as_mapping",
    "canonical_json",
    "check",
    "compile_program",
    "edges",
    "format_duration",
    "is_event_name",
    "journey_schema",
    "parse_duration",
    "problems_in",
    "read_journey",
    "read_path",
    "stored_journey",
    "with_ids",
]
