"""Files as people in a hurry write them, and as people with bad intentions do: each mistake is said
in words, with its place, and nothing costs more than it should.
"""

from pathlib import Path

import pytest

from chappe.journey import JourneyInvalidError, read_journey
from chappe.journey.reading import PROBLEMS_MAX, read_segment, yaml_of
from chappe_onebox.client import FileError, read_folders

HEAD = "schema: 1\njourney: j\ntrigger: {event: order.placed}\n"
STEPS = "send, wait, branch, split, update, webhook, notify, goal, start_journey, exit, goto"

CLUMSY: dict[str, tuple[str, list[str]]] = {
    "a tab": (
        "schema: 1\ntrigger:\n\tevent: order.placed\n",
        ["3:1: a tab stands here: YAML is indented with spaces"],
    ),
    "an alias": (
        "a: &a [x, x]\nb: &b [*a, *a]\nsteps: *b\n",
        ["1:4: anchors and aliases are not supported"],
    ),
    "an alias of nothing": ("steps: *b\n", ["1:8: anchors and aliases are not supported"]),
    "a second document": (
        HEAD + "steps: [{wait: 1d}]\n---\nschema: 1\n",
        ["5:1: a second document begins: a file holds one"],
    ),
    "a colon in a title": (
        "schema: 1\ntitle: Cart: the end\n",
        ["2:12: a text with a colon in it stands in quotes"],
    ),
    "a bracket too few": (
        HEAD + "steps: [{send: {template: a}\n",
        ["5:1: expected ',' or '}', but got the end of the file"],
    ),
    "a character of no text": (
        "schema: 1\njourney: j\x00\n",
        ["2:11: holds a character that YAML does not take: U+0000"],
    ),
    "a list": ("- a\n- b\n", ["1:1: should be a mapping"]),
    "nothing": ("", ["1:1: is empty"]),
    "duplicates and more": (
        HEAD + "journey: k\nsteps: [{sned: {template: b}}]\n",
        [
            "4:1: 'journey' is given twice",
            "5:9: steps[0]: 'sned' is no step, did you mean 'send'?",
        ],
    ),
    "liquid without quotes": (
        HEAD + "steps: [{notify: {email: a@b.c, text: {{ contact.name }} }}]\n",
        [
            "4:33: steps[0].notify.text: should be a text",
            '4:40: a key must be a text; Liquid stands in quotes: "{{ … }}"',
        ],
    ),
    "steps of other tools": (
        HEAD + "steps:\n  - email: {template: a}\n  - delay: 1d\n  - {}\n",
        [
            "5:5: steps[0]: 'email' is no step, did you mean 'send'?",
            "6:5: steps[1]: 'delay' is no step, did you mean 'wait'?",
            f"7:5: steps[2]: should be a step: one of {STEPS}",
        ],
    ),
    "two steps in one": (
        HEAD + "steps:\n  - send: {template: a}\n    wait: 1d\n",
        [
            (
                "6:5: steps[0].wait: a step does one thing and this one is a send: "
                "write wait as a step of its own"
            )
        ],
    ),
    "words of other languages": (
        HEAD + "steps:\n  - branch:\n      - if: {tag: x}\n        then: []\n"
        "      - when: {contact.city: {equals: Lyon}}\n        then: []\n",
        [
            "6:9: steps[0].branch[0].when: is required",
            "6:9: steps[0].branch[0].if: unknown key, did you mean 'when'?",
            "8:31: steps[0].branch[1].when.contact.city.equals: unknown key, did you mean 'is'?",
        ],
    ),
    "the short form that is none": (
        (
            "schema: 1\njourney: j\ntrigger: order.placed\nsteps:\n"
            "  - wait: {for: {when: {did: order.placed, times: 3}}, at_most: 1d}\n"
        ),
        [
            "3:1: trigger: should be a mapping such as {event: order.placed}",
            "5:44: steps[0].wait.for.when.times: should be a mapping such as {at_least: 3}",
        ],
    ),
    "a path without its root": (
        "schema: 1\njourney: j\ntrigger: {date: birthday, every: year}\nsteps: [{wait: 1d}]\n",
        [
            (
                "3:11: trigger.date: 'birthday' is not a path; it begins with event., contact. or "
                "entry., did you mean 'contact.birthday'?"
            )
        ],
    ),
    "hours of the day": (
        HEAD + "cadence: {quiet_hours: {from: '22', to: '8'}}\nsteps: [{wait: 1d}]\n",
        [
            "4:25: cadence.quiet_hours.from: '22' is not a time of day; write 09:00",
            "4:37: cadence.quiet_hours.to: '8' is not a time of day; write 09:00",
        ],
    ),
    "addresses": (
        HEAD + "steps:\n  - webhook: {url: ftp://x}\n  - notify: {email: nobody, text: ''}\n",
        [
            (
                "5:15: steps[0].webhook.url: 'ftp://x' should be an address that begins with "
                "https:// or http://"
            ),
            "6:14: steps[1].notify.email: 'nobody' should be an e-mail address",
            "6:29: steps[1].notify.text: should not be empty",
        ],
    ),
    "a step nobody comes to": (
        HEAD + "steps:\n  - exit: done\n  - send: {template: a}\n  - goto: a\n",
        ["6:5: steps[1]: step 'a' can never be reached"],
    ),
    "windows": (
        (HEAD + "steps:\n  - wait: 1x\n").replace("\n", "\r\n"),
        [
            "5:5: steps[0].wait: '1x' is not a duration; write 20m, 1h, 2d, 1h30m or PT4H",
        ],
    ),
    "a python object": (
        HEAD + "steps: !!python/object/apply:os.system ['id']\n",
        [f"4:41: steps[0]: should be a step: one of {STEPS}"],
    ),
}


@pytest.mark.parametrize(("text", "said"), CLUMSY.values(), ids=CLUMSY)
def test_a_mistake_is_said_with_its_place_and_what_to_do(text: str, said: list[str]) -> None:
    with pytest.raises(JourneyInvalidError) as refused:
        read_journey(text, file="j")
    assert [one.sentence.removeprefix("j:") for one in refused.value.complaints] == said


@pytest.mark.parametrize(
    "steps",
    [
        "steps: " + "[" * 3_000 + "]" * 3_000,
        "steps: " + "{a: " * 3_000 + "}" * 3_000,
        "steps:\n" + "  - 5\n" * 5_000,
        "steps:\n" + "  - {send: {template: a}}\n" * 600,
        "steps: [" + "{branch: [{when: {not: " * 60 + "{tag: a}" + "}, then: []}]}" * 60 + "]",
        "steps:\n  - wait: 1d\n" + "\n".join(f"k{n}: {n}" for n in range(5_000)),
        "title: {" + ", ".join(f"k{n}: &a{n} x" for n in range(5_000)) + "}",
        f"steps: [{{wait: {'9' * 100_000}}}]",
        f"steps: [{{wait: {'1d' * 50_000}}}]",
    ],
    ids=range(9),
)
def test_a_hostile_file_is_refused_within_bounds(steps: str) -> None:
    with pytest.raises(JourneyInvalidError) as refused:
        read_journey(HEAD + steps)
    assert len(refused.value.complaints) <= PROBLEMS_MAX
    assert all(len(one.sentence) < 1_000 for one in refused.value.complaints)


def test_a_byte_order_mark_is_no_mistake() -> None:
    assert read_journey("\ufeff" + HEAD + "steps: [{wait: 1d}]\n").journey == "j"


@pytest.mark.parametrize(("coding", "place"), [("latin-1", "4:23"), ("utf-16", "1:1")])
def test_a_file_in_another_coding_names_the_place(tmp_path: Path, coding: str, place: str) -> None:
    file = tmp_path / "journey.yaml"
    file.write_bytes((HEAD + "title: Panier abandonné\n").encode(coding))
    with pytest.raises(FileError) as refused:
        read_folders(tmp_path)
    assert refused.value.where == f"{file}:{place}"
    assert "is not UTF-8 text" in refused.value.what


def test_a_segment_is_read_by_the_same_rules() -> None:
    text = "schema: 1\nsegment: Loyal\nrule: {contct.city: Lyon}\nname: x\n"
    with pytest.raises(JourneyInvalidError) as refused:
        read_segment(text, file="s")
    assert [one.sentence for one in refused.value.complaints] == [
        "s:2:1: segment: 'Loyal' should be lower-case letters, digits, - and _",
        (
            "s:3:8: rule.contct.city: 'contct.city' is not a path; it begins with event., contact. "
            "or entry., did you mean 'contact.'?"
        ),
        "s:4:1: name: unknown key",
    ]


@pytest.mark.parametrize(
    "text", ["08000", "1e5", "12:30", "no", "~", "", "a: b", "{{ x }}", "é\n", "  x", "0x1f", "<<"]
)
def test_what_is_written_out_reads_back_as_the_same_text(text: str) -> None:
    definition = {"schema": 1, "segment": "s", "rule": {"contact.zip": {"is": text}}}
    segment = read_segment(yaml_of(definition))
    assert segment.model_dump(mode="json", by_alias=True, exclude_unset=True) == definition
