"""The short way through Liquid shows what the library shows."""

from typing import Any

import liquid
import pytest

from chappe_sender.adapters.liquid_engine import RenderFailed, compile_html, compile_text

PLAIN = {
    True: liquid.Environment(autoescape=True),
    False: liquid.Environment(autoescape=False),
}

VALUES: dict[str, Any] = {
    "contact": {"first_name": "Zoé & <Co>", "age": 41, "none": None, "yes": True, "first": "Al"},
    "event": {
        "items": [
            {"title": 'Lamp "oak"', "tags": ["a", "b"], "size": 3},
            {"title": "Shade's", "tags": [], "price": 9.5},
            {"title": "", "tags": ["x"]},
        ],
        "gone": [],
        "text": "abc",
    },
    "item": "outer",
    "key": "first_name",
}

TEMPLATES = [
    "Hello {{ contact.first_name }}, {{ contact.age }}, {{ contact.none }}, {{ contact.yes }}",
    "{{ contact.nobody }}{{ nobody.at.all }}{{ contact.age.deeper }}-",
    "{{ contact[key] }} {{ contact['first_name'] }} {{ event.items[0].title }}",
    "{{ event.items[7].title }}{{ event.items[-1].tags[0] }}",
    "{{ event.items.size }} {{ event.items.first.title }} {{ event.items.last.tags.first }}",
    "{{ contact.first }} {{ event.items[0].size }} {{ event.text.size }} {{ contact.size }}",
    (
        "{% for item in event.items %}{{ forloop.index }}/{{ forloop.length }} {{ item.title }};"
        "{% endfor %}{{ item }}"
    ),
    (
        "{% for item in event.items %}{% if item.title == '' %}{% break %}{% endif %}"
        "{% for tag in item.tags %}{% if tag == 'a' %}{% continue %}{% endif %}"
        "{{ forloop.parentloop.index }}{{ tag }}{% endfor %}{% endfor %}"
    ),
    "{% for item in event.items limit: 2 offset: 1 reversed %}{{ item.title }},{% endfor %}",
    (
        "{% for item in event.items limit: 1 %}{{ item.title }}{% endfor %}"
        "{% for item in event.items offset: continue %}|{{ item.title }}{% endfor %}"
    ),
    "{% for item in event.gone %}never{% else %}nothing{% endfor %}",
    "{% for item in nobody %}never{% endfor %}{% for n in (1..3) %}{{ n }}{% endfor %}",
    "{% for pair in contact %}{{ pair[0] }}={{ pair[1] }} {% endfor %}",
    "{% for item in event.items %} {% assign last = item.title %} {% endfor %}[{{ last }}]",
    "{% assign x = contact.first_name %}{{ x }}{% capture y %}{{ x }}!{% endcapture %}{{ y }}",
    "{% increment n %}{% increment n %}{{ n }}",
    "{{ 'quoted \"text\"' }} {{ contact.first_name | upcase | append: '<' }}",
]


@pytest.mark.parametrize("source", TEMPLATES)
@pytest.mark.parametrize("escaped", [True, False])
def test_a_template_shows_what_the_library_shows(source: str, escaped: bool) -> None:
    ours = (compile_html if escaped else compile_text)(source).render(VALUES)
    assert ours == PLAIN[escaped].from_string(source).render(VALUES)


@pytest.mark.parametrize("letter", ["x", "é"])
def test_what_is_shown_is_measured_in_octets(letter: str) -> None:
    most = 1_000_000 // len(letter.encode())
    fits = compile_text("{{ a }}").render({"a": letter * most})
    assert len(fits) == most
    with pytest.raises(RenderFailed, match="output stream limit"):
        compile_text("{{ a }}.").render({"a": letter * most})
    with pytest.raises(RenderFailed, match="output stream limit"):
        compile_text("{% capture b %}{{ a }}.{% endcapture %}").render({"a": letter * most})
