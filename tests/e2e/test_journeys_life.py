"""A journey's life by the command: checked, published, paused, upgraded, archived."""

from pathlib import Path

from tests.e2e.journeys import Stage


def course(name: str, wait: str = "7d", last: str = "lesson-2") -> str:
    return f"""\
schema: 1
journey: {name}
trigger: {{event: custom.enrolled, where: {{event.in: {name}}}}}
steps:
  - send: {{template: lesson-1}}
  - id: pause
    wait: {wait}
  - send: {{template: {last}}}
"""


BEGUN = ["entered", "asked lesson-1", "waiting pause", "handed_over lesson-1"]
ENDED = ["asked lesson-2", "finished: finished", "handed_over lesson-2"]


def written(stage: Stage, path: Path, yaml: str) -> str:
    """The folder of a journey, with a template for each mail."""
    (path / "templates").mkdir(exist_ok=True)
    (path / "journey.yaml").write_text(yaml)
    for files in stage.folder(yaml).templates.values():
        for name, text in files.items():
            (path / "templates" / name).write_text(text)
    return str(path)


def enrolls(stage: Stage, who: str, name: str) -> str:
    ref = stage.meets(who)
    stage.hears(who, "Enrolled", **{"in": name})
    return ref


def test_a_folder_is_checked_planned_published_and_exported(stage: Stage, tmp_path: Path) -> None:
    yaml = course("folder")
    path = written(stage, tmp_path, yaml)
    (tmp_path / "journey.yaml").write_text(
        yaml.replace("{template: lesson-2}", "{template: leson-2}")
    )
    refused = stage.commands("journeys", "validate", path, code=2)["errors"]
    assert [(one["where"], one["what"]) for one in refused] == [
        (f"{path}/journey.yaml:8:12: steps[2].send.template",
         "no template is called 'leson-2', did you mean 'lesson-2'?"),
    ]  # fmt: skip
    (tmp_path / "journey.yaml").write_text(yaml)
    (planned,) = stage.commands("journeys", "plan", path)["items"]
    assert (planned["change"], planned["added"]) == ("new", ["lesson-1", "pause", "lesson-2"])
    assert stage.commands("journeys", "apply", path, "--draft")["journeys"] == []
    (first,) = stage.commands("journeys", "apply", path)["journeys"]
    (again,) = stage.commands("journeys", "publish", path)["journeys"]
    assert (first["version"], first["changed"]) == (1, True)
    assert (again["version"], again["changed"]) == (1, False)
    exported = stage.box.command("journeys", "export", "folder").stdout
    (tmp_path / "journey.yaml").write_text(exported)
    (same,) = stage.commands("journeys", "apply", path)["journeys"]
    assert (same["version"], same["changed"]) == (1, False)


def test_a_pause_holds_everybody_and_what_is_too_late_afterwards_is_not_sent(stage: Stage) -> None:
    stage.publish(course("paused"))
    ann = enrolls(stage, "ann", "paused")
    stage.advance("P1DT12H")
    bob = enrolls(stage, "bob", "paused")
    stage.advance("P5D")
    assert stage.commands("journeys", "pause", "paused")["status"] == "paused"
    stage.advance("P2DT2H")
    cat = enrolls(stage, "cat", "paused")
    held = [*BEGUN, "wait_over pause: time", "held lesson-2: paused"]
    assert stage.story(ann, "paused") == held
    assert stage.story(bob, "paused") == held
    assert stage.story(cat, "paused") == ["not_entered: paused"]
    assert stage.commands("journeys", "resume", "paused")["status"] == "published"
    stage.advance("P1D")
    late = ["resumed lesson-2", "skipped lesson-2: too_late", "finished: finished"]
    assert stage.story(ann, "paused") == [*held, *late]  # By more than a day.
    assert stage.story(bob, "paused") == [*held, "resumed lesson-2", *ENDED]


def test_people_stay_on_their_version_until_they_are_moved(stage: Stage, tmp_path: Path) -> None:
    stage.commands("journeys", "apply", written(stage, tmp_path, course("edited")))
    eva, uwe = enrolls(stage, "eva", "edited"), enrolls(stage, "uwe", "edited")
    stage.advance("P1D")
    better = written(stage, tmp_path, course("edited", "3d", "better-2"))
    stage.commands("journeys", "apply", better)
    shown = stage.commands("journeys", "upgrade", "edited", "--preview")
    (effect,) = shown["effects"]
    assert (shown["people"], shown["to"], shown["move"]) == (2, 2, None)
    assert (effect["step"], effect["effect"], effect["by_s"]) == (
        "pause",
        "waits_shorter",
        -345_600,
    )
    newer, older = stage.commands("journeys", "versions", "edited")["items"]
    assert (newer["inside"], older["inside"]) == (0, 2)
    stage.done("POST", f"/api/v1/enrollments/{stage.enrollments(uwe, 'edited')[0]['id']}/exit",
               {"contact": uwe, "reason": "asked"})  # fmt: skip
    move = stage.commands("journeys", "upgrade", "edited", "--yes")["move"]["id"]
    stage.advance("P3D")
    moved = stage.commands("journeys", "move", "edited", move)
    assert (moved["asked"], moved["left"]) == (1, 0)
    assert stage.story(eva, "edited") == [
        *BEGUN,
        "upgraded pause",
        "wait_changed pause",
        "wait_over pause: time",
        "asked better-2",
        "finished: finished",
        "handed_over better-2",
    ]
    assert stage.story(uwe, "edited") == [*BEGUN, "exited pause: asked"]


def test_an_archived_journey_takes_nobody_in_and_lets_people_walk_on_or_leave(
    stage: Stage,
) -> None:
    stage.publish(course("walked"), course("left"))
    ian, jan = enrolls(stage, "ian", "walked"), enrolls(stage, "jan", "left")
    stage.rests()
    assert stage.commands("journeys", "archive", "walked")["status"] == "archived"
    assert stage.commands("journeys", "archive", "left", "--exit")["status"] == "archived"
    joe = enrolls(stage, "joe", "walked")
    stage.advance("P8D")
    assert stage.story(ian, "walked") == [*BEGUN, "wait_over pause: time", *ENDED]
    assert stage.story(jan, "left") == [*BEGUN, "exited pause: archived"]
    assert stage.story(joe, "walked") == []
    asked = {"contact": joe, "journey": "walked"}
    assert stage.box.api("POST", "/api/v1/enrollments", asked).status_code == 404
