from chappe_ingest.domain.masking import masked


def test_structure_stays_readable_and_no_word_of_a_person_does() -> None:
    body = (
        b'{"id": 7, "created_at": "2026-11-22T09:00:00Z", "status": "paid", "email": "z@x.example",'
        b' "customer": {"first_name": "Zoe", "id": 9, "user_id": "zoe"}, "test": false,'
        b' "lines": [{"sku": "A-1", "url": "https://shop.example/secret", "note": ""}]}'
    )
    assert masked(body) == {
        "id": "7",
        "created_at": "2026-11-22T09:00:00Z",
        "status": "paid",
        "email": "(address, 11 characters)",
        "customer": {
            "first_name": "(text, 3 characters)",
            "id": "9",
            "user_id": "(text, 3 characters)",
        },
        "test": False,
        "lines": [{"sku": "A-1", "url": "(link, 27 characters)", "note": ""}],
    }


def test_a_free_text_under_a_plain_name_is_hidden() -> None:
    assert masked(b'{"status": "paid by zoe@x.example"}') == {"status": "(address, 21 characters)"}


def test_what_is_no_document_shows_nothing() -> None:
    assert masked(b"{") is None
    assert masked(b"\xff") is None
