"""What is wrong with the texts of webhooks and notices is said when a journey is published."""

import pytest

from chappe.journey import JourneyInvalidError, read_journey
from chappe_orchestrator.application.texts import problem_with

HEAD = "schema: 1\njourney: j\ntrigger: {event: custom.a}\nsteps:\n"


@pytest.mark.parametrize(
    "text",
    ["plain", "{ not liquid }", "{{ contact.email | default: 'nobody' | upcase }}", '{"a": "b"}'],
)
def test_a_text_that_can_be_filled_in_is_taken(text: str) -> None:
    assert problem_with(text) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ contact.email | sha1 }}", "there is no filter 'sha1' here"),
        ("{{ contact.email", "expected"),
        ("{% if contact %}x{% endif %}", "tag"),
    ],
)
def test_a_text_that_never_can_is_not(text: str, said: str) -> None:
    assert said in (problem_with(text) or "")


def test_the_complaint_names_the_line_of_the_text() -> None:
    text = HEAD + (
        "  - webhook:\n      url: https://a.example/\n      body:\n        lines:\n"
        '          - fine\n          - "{{ x | nope }}"\n'
        '  - notify: {email: team@shop.example, subject: "{{ y", text: hello}\n'
    )
    with pytest.raises(JourneyInvalidError) as caught:
        read_journey(text, file="j.yaml", problem_with=problem_with)
    body, subject = caught.value.complaints
    assert (body.line, body.path) == (10, "steps[0].webhook.body.lines[1]")
    assert (subject.line, subject.path) == (11, "steps[1].notify.subject")
    assert body.what == "cannot be filled in: there is no filter 'nope' here"
    read_journey(text)
