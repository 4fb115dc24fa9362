"""What publishing a template does, and every reason why it refuses."""

import re

import pytest

from chappe_sender.adapters.compiler import examine, publish
from chappe_sender.domain.markup import LINK_END, LINK_START, LINK_TARGET
from chappe_sender.domain.template import MessageClass, Problem, TemplateError

HEAD = """---
subject: "{{ contact.first_name | default: 'Hello' }}, your cart"
preheader: "Free delivery & more"
class: marketing
topic: offers
---
"""
LEAVE = '<a href="{{ unsubscribe_url }}">Leave</a> {{ brand.address }}'


def mjml(body: str, head: str = HEAD) -> str:
    return f"""{head}<mjml><mj-body><mj-section><mj-column>
<mj-text>{body} {LEAVE}</mj-text>
</mj-column></mj-section></mj-body></mjml>"""


def problems(files: dict[str, str], name: str = "cart") -> list[Problem]:
    with pytest.raises(TemplateError) as caught:
        publish(name, files)
    return caught.value.problems


def whats(files: dict[str, str]) -> str:
    return " | ".join(f"{problem.where}: {problem.what}" for problem in problems(files))


def test_the_same_files_give_the_same_version_and_any_change_another() -> None:
    first = publish("cart", {"cart.mjml": mjml("a")})
    assert re.fullmatch(r"cart@[0-9a-f]{12}", first.id)
    assert publish("cart", {"cart.mjml": mjml("a")}).id == first.id
    assert publish("cart", {"cart.mjml": mjml("b")}).id != first.id
    french = publish("cart", {"cart.mjml": mjml("a"), "cart.fr.mjml": mjml("à")})
    assert french.id != first.id
    assert set(french.variants) == {"", "fr"}


def test_class_and_topic_stand_on_the_version() -> None:
    version = publish("cart", {"cart.mjml": mjml("a")})
    assert (version.message_class, version.topic) == (MessageClass.MARKETING, "offers")
    receipt = publish("receipt", {"receipt.html": "---\nsubject: x\nclass: transactional\n---\nhi"})
    assert (receipt.message_class, receipt.topic) == (MessageClass.TRANSACTIONAL, None)


def test_the_closest_language_is_chosen() -> None:
    files = {"cart.mjml": mjml("a"), "cart.fr.mjml": mjml("b"), "cart.fr-CA.mjml": mjml("c")}
    version = publish("cart", files)
    chosen = [version.variant(each)[0] for each in ("fr-CA", "fr-FR", "fr", "de", None)]
    assert chosen == ["fr-CA", "fr", "fr", "", ""]


def test_liquid_between_components_and_table_rows_stays_where_it_was() -> None:
    body = (
        "{% if event.items.size < 20 %}small{% endif %}</mj-text><mj-table>"
        "{% for item in event.items %}<tr><td>{{ item.title }}</td></tr>{% endfor %}"
        "</mj-table><mj-text>"
    )
    page = publish("cart", {"cart.mjml": mjml(body)}).variants[""].html
    loop = page[page.index("{% for") : page.index("{% endfor %}")]
    assert "{{ item.title }}" in loop
    assert "{% if event.items.size < 20 %}small{% endif %}" in page


def test_links_are_numbered_and_ours_are_left_alone() -> None:
    body = (
        '<a href="https://shop.example/?a=1&amp;b=2">s</a> <a href="{{ event.checkout_url }}">c</a>'
        '<a href="mailto:a@b.example">m</a> <a href="tel:+33">t</a> <a href="http://localhost/">o</a>'
        '<a href="{{ preferences_url }}">p</a>'
    )
    variant = publish("cart", {"cart.mjml": mjml(body)}).variants[""]
    local = "http://localhost/"
    assert variant.links == ("https://shop.example/?a=1&b=2", "{{ event.checkout_url }}", local)
    marked = re.findall(f"{LINK_START}(\\d+){LINK_TARGET}(.*?){LINK_END}", variant.html)
    assert marked == [
        ("0", "https://shop.example/?a=1&amp;b=2"),
        ("1", "{{ event.checkout_url }}"),
        ("2", local),
    ]
    assert 'href="{{ preferences_url }}"' in variant.html


def test_a_text_is_derived_with_the_same_links_and_without_what_is_hidden() -> None:
    body = 'Caf&eacute;<br/><a href="https://shop.example/">Shop</a><b style="display:none">no</b>'
    text = publish("cart", {"cart.mjml": mjml(body)}).variants[""].text
    assert f"Shop: {LINK_START}0{LINK_TARGET}https://shop.example/{LINK_END}" in text
    assert "Café\n" in text
    assert "Leave: {{ unsubscribe_url }}" in text
    assert "Free delivery" not in text
    assert "no" not in text.split()


def test_links_beside_each_other_stand_on_lines_of_their_own_in_the_text() -> None:
    page = '<p><a href="https://a.example/">A</a> | <a href="https://b.example/">B</a> | end</p>'
    text = publish("cart", {"cart.html": HEAD + page + LEAVE}).variants[""].text
    said = re.sub(f"{LINK_START}[0-9]+{LINK_TARGET}|{LINK_END}", "", text)
    assert said.startswith("A: https://a.example/\nB: https://b.example/ | end\n")


def test_a_written_text_is_taken_as_it_is() -> None:
    files = {
        "cart.mjml": mjml("a"),
        "cart.txt": "Hi\n{{ unsubscribe_url }} {{ brand.address }}",
    }
    assert publish("cart", files).variants[""].text == files["cart.txt"]


def test_styles_are_inlined_and_the_preheader_is_hidden_in_the_page() -> None:
    page = '<style>.x{color:#123456}</style><p class="x">hi</p>' + LEAVE
    html = publish("cart", {"cart.html": HEAD + page}).variants[""].html
    assert re.search(r'<p class="x" style="color: ?#123456', html)
    assert re.search(r"<body><div style=\"display:none[^>]*>Free delivery &amp; more\s&#847;", html)


def test_the_title_of_a_page_is_its_subject_unless_it_has_one() -> None:
    html = publish("cart", {"cart.mjml": mjml("hi")}).variants[""].html
    assert "<title>{{ contact.first_name | default: 'Hello' }}, your cart</title>" in html
    page = "<html><head><title>Mine</title></head><body>x</body></html>"
    html = publish("cart", {"cart.html": HEAD + page.replace("x", LEAVE)}).variants[""].html
    assert "<title>Mine</title>" in html


def test_lines_are_broken_where_it_does_not_matter() -> None:
    page = "<p>" + '<b class="one two three">é</b>' * 300 + "word " * 500 + "</p>" + LEAVE
    html = publish("cart", {"cart.html": HEAD + page}).variants[""].html
    longest = max(len(line.encode("ascii", "xmlcharrefreplace")) for line in html.split("\n"))
    assert longest <= 998


def test_no_third_party_font_is_fetched_unless_the_template_asks() -> None:
    html = publish("cart", {"cart.mjml": mjml("a")}).variants[""].html
    assert "googleapis" not in html


def test_every_problem_is_listed_at_once_with_file_and_line() -> None:
    found = whats(
        {
            "cart.mjml": HEAD + "<mjml><mj-body>\n<mj-sektion></mj-sektion>\n"
            "{{ contact.name | shout }} {{ customer.name }}\n</mj-body></mjml>",
            "cart.fr.html": "<p>{% if %}</p>",
            "other.mjml": "",
            "cart.de.txt": "hallo",
        }
    )
    assert "cart.mjml:8: unknown element <mj-sektion>" in found
    assert "cart.mjml:9: unknown filter 'shout'" in found
    assert "cart.mjml:9: unknown variable 'customer'" in found
    assert "cart.fr.html:1: no subject" in found
    assert "cart.fr.html:1: missing expression" in found
    assert "other.mjml: not cart.mjml" in found
    assert "cart.de.txt: a text needs" in found


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cart.fr.mjml": mjml("a")}, "no cart.mjml or cart.html"),
        ({"cart.mjml": mjml("a"), "cart.html": mjml("a")}, "is there for this language already"),
        ({"cart.html": "---\nsubject: x\ntopic: t\n---\n<p>no link</p>"}, "a link to unsubscribe"),
        (
            {"cart.html": f'---\nsubject: x\ntopic: t\n---\n<a style="display:none"{LEAVE[2:]}'},
            "a link to unsubscribe that people can see",
        ),
        ({"cart.html": f"---\nsubject: x\n---\n{LEAVE}"}, "needs a topic"),
        (
            {"cart.html": f"---\nsubject: x\nclass: spam\n---\n{LEAVE}"},
            "marketing or transactional",
        ),
        ({"cart.html": f"---\nsubject: x\ntopic: A B\n---\n{LEAVE}"}, "lower-case letters"),
        ({"cart.html": f"---\nsubject: {{{{ x }}}}\ntopic: t\n---\n{LEAVE}"}, "cart.html:2"),
        ({"cart.html": "---\nsubject: x\n<p>"}, "never closed"),
        ({"cart.html": f"---\nsubject: [1]\ntopic: t\n---\n{LEAVE}"}, "subject must be text"),
        ({"cart.html": HEAD + f'<a href="/cart">x</a>{LEAVE}'}, "cart.html:7: link '/cart'"),
        ({"cart.mjml": HEAD + "<mjml><mj-body><mj-section></mj-body></mjml>"}, "still open"),
        ({"cart.mjml": HEAD + "hello"}, "not MJML"),
        ({"cart.mjml": mjml("a"), "cart.txt": "no way out"}, "in the text too"),
        ({"cart.html": HEAD + "{% include 'x' %}" + LEAVE}, "unexpected tag 'include'"),
        ({"cart.html": HEAD + "{{ contact.name | safe }}" + LEAVE}, "unknown filter 'safe'"),
    ],
)
def test_the_gate_refuses(files: dict[str, str], expected: str) -> None:
    assert expected in whats(files)


def test_a_language_may_not_change_the_class() -> None:
    french = mjml("a").replace("class: marketing", "class: transactional")
    assert "cart.fr.mjml:4: class differs" in whats(
        {"cart.mjml": mjml("a"), "cart.fr.mjml": french}
    )


def test_hostile_files_are_refused_in_bounded_time() -> None:
    for body in ('<"' * 60_000, "<mj-x " * 20_000, "{{" * 50_000, "<!--" * 50_000, "[" * 100_000):
        whats({"cart.mjml": f"---\nsubject: x\ntopic: t\nclass: marketing\n---\n{body}"})
    whats({"cart.html": "---\nsubject: " + "[" * 5_000 + "\n---\n"})


GATE = [
    ("<img src='https://shop.example/a.png'>", "cart.html:7: <img> has no alt"),
    ("<img alt='' src='http://shop.example/a.png'>", "must begin with https://"),
    ("<a href='http://shop.example/'>x</a>", "cart.html:7: href 'http://shop.example/' must begin"),
    ("<a href='javascript:x()'>x</a>", "of a kind that mails may not hold"),
    ("<a href='https://{{ event.host }}/'>x</a>", "write the host out"),
    ("{{ brand.adress }}", "cart.html:7: there is no brand.adress"),
    (
        "{% for n in (1..100) %}" + "eleven words " * 100 + "{% endfor %}",
        "Gmail cuts mails off at 102 kB",
    ),
    ("{{ event.number | money }}", "cart.html: cannot be filled in"),
    ("{{ coupon }}", "{{ coupon }} needs a pool"),
]


@pytest.mark.parametrize(("body", "expected"), GATE)
def test_what_would_embarrass_the_shop_cannot_be_published(body: str, expected: str) -> None:
    found = whats({"cart.html": HEAD + body + LEAVE})
    assert expected.replace("cart.html: cannot", "cannot") in found


def test_a_subject_with_a_hole_is_refused() -> None:
    head = HEAD.replace(" | default: 'Hello'", "")
    assert "subject: contact.first_name may be missing" in whats({"cart.html": head + LEAVE})


def test_marketing_shows_a_postal_address_in_page_and_text() -> None:
    bare = LEAVE.replace("{{ brand.address }}", "<!-- {{ brand.address }} -->")
    assert "shows the postal address" in whats({"cart.html": HEAD + bare})
    files = {"cart.html": HEAD + LEAVE, "cart.txt": "{{ unsubscribe_url }}"}
    assert "cart.txt: marketing needs {{ brand.address }}" in whats(files)


def test_a_transactional_mail_sells_nothing() -> None:
    head = "---\nsubject: Receipt\nclass: transactional\n---\n"
    found = whats({"cart.html": head + "{{ coupon.code }}{{ contact.recommended }}"})
    assert "cart.html:5: a transactional mail holds no coupon" in found
    assert "holds no recommended" in found


def test_links_stay_among_the_hosts_of_the_brand_kit() -> None:
    files = {"cart.html": HEAD + "<a href='https://www.shop.example/a'>a</a>" + LEAVE}
    assert publish("cart", files, ["shop.example"])
    with pytest.raises(TemplateError, match="not among the brand kit's hosts"):
        publish("cart", files, ["other.example"])


def test_what_may_be_missing_is_a_warning_and_a_default_or_a_condition_answers_it() -> None:
    body = (
        "{{ contact.nickname }}\n{{ contact.pet | default: 'cat' }}"
        "{% if contact.hat %}{{ contact.hat }}{% endif %}"
    )
    warned = examine("cart", {"cart.html": HEAD + body + LEAVE}).warnings
    assert [(w.where, w.what.split()[0]) for w in warned] == [("cart.html:7", "contact.nickname")]
