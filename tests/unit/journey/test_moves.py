"""Step ids that nobody wrote may not come to stand for other steps."""

from chappe.journey import read_journey
from chappe.journey.moves import moved_ids, written_ids

HEAD = "schema: 1\njourney: j\ntrigger: {event: custom.a}\nsteps:\n"
OLD = HEAD + "  - wait: 1d\n  - send: {template: a}\n  - wait: 2d\n  - send: {template: b}\n"


def moved(new: str, old: str = OLD) -> list[str]:
    after = read_journey(new)
    return [one.what for one in moved_ids(read_journey(old), after, written_ids(new, after))]


def test_a_step_put_in_before_others_moves_their_ids() -> None:
    (first, second) = moved(OLD.replace("steps:\n", "steps:\n  - wait: 1h\n"))
    assert first.startswith("the id 'wait-1' stood for the step that is now 'wait-2'")
    assert second.startswith("the id 'wait-2' stood for the step that is now 'wait-3'")


def test_what_is_written_is_meant() -> None:
    new = OLD.replace("steps:\n", "steps:\n  - {id: early, wait: 1h}\n")
    new = new.replace("- wait: 1d", "- {id: wait-1, wait: 1d}")
    assert moved(new.replace("- wait: 2d", "- {id: wait-2, wait: 2d}")) == []


def test_an_edit_in_place_moves_nothing() -> None:
    assert moved(OLD.replace("1d", "3d")) == []
    assert moved(OLD) == []


def test_a_step_taken_out_before_others_moves_their_ids() -> None:
    (only,) = moved(OLD.replace("  - wait: 1d\n", ""))
    assert only.endswith("this one was 'wait-2': write `id: wait-2` here")


def test_a_step_taken_out_at_the_end_moves_nothing() -> None:
    assert moved(OLD.replace("  - wait: 2d\n  - send: {template: b}\n", "")) == []


def test_ids_inside_branches_are_followed() -> None:
    arm = HEAD + "  - branch:\n      - when: {contact.plan: gold}\n        then:\nX"
    steps = "          - wait: 1d\n          - send: {template: a}\n"
    new = arm.replace("X", "          - wait: 1h\n" + steps)
    (only,) = moved(new, arm.replace("X", steps))
    assert "'branch-1.1.wait-1' stood for the step that is now 'branch-1.1.wait-2'" in only
