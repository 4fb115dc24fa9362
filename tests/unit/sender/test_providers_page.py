"""``docs/providers.md`` says of each provider what the code says."""

from pathlib import Path

from chappe_sender.domain.providers import CAPABILITIES, FORMS, Kind, Switch

PAGE = Path(__file__).parents[3] / "docs" / "providers.md"
TRACKING = {
    Switch.NONE: "has none",
    Switch.MESSAGE: "in each message",
    Switch.ACCOUNT: "in its settings",
}


def row(kind: Kind) -> str:
    able = CAPABILITIES[kind]
    keys = "none"
    if able.key_ttl is not None:
        minutes = int(able.key_ttl.total_seconds() // 60)
        keys = f"{minutes // 60} h" if minutes % 60 == 0 else f"{minutes} min"
    cells = (
        f"`{kind}`",
        TRACKING[able.tracking],
        "yes" if able.preserves_list_unsubscribe else "no",
        "yes" if able.keeps_message_id else "no",
        f"{able.batch_size} (≤ {able.batch_max})" if able.batch_max > 1 else "1",
        str(able.in_flight),
        keys,
        able.own_id,
    )
    return "| " + " | ".join(cells) + " |"


def test_the_table_of_what_each_can_do_is_current() -> None:
    page = PAGE.read_text("utf-8")
    for kind in Kind:
        assert row(kind) in page


def test_every_secret_and_option_is_named() -> None:
    page = PAGE.read_text("utf-8")
    for kind in Kind:
        form = FORMS[kind]
        for name in (*form.secrets, *form.needed, *form.options):
            assert f"`{name}`" in page, f"{kind}: {name}"
