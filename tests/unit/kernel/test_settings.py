"""A mistake in a setting is a sentence, never a default."""

from pathlib import Path

import pytest

from chappe.settings import SettingsError, load_settings


def test_a_misspelt_name_is_refused_with_the_right_one() -> None:
    with pytest.raises(SettingsError, match="did you mean CHAPPE_KAFKA_BOOTSTRAP"):
        load_settings({"CHAPPE_KAFKA_BOTSTRAP": "kafka:9092"})


def test_what_kubernetes_adds_for_a_service_named_chappe_is_ignored() -> None:
    load_settings({"CHAPPE_INGEST_SERVICE_HOST": "10.0.0.1", "CHAPPE_INGEST_PORT_80_TCP": "x"})


def test_other_programs_variables_are_not_ours() -> None:
    load_settings({"HOME": "/root", "CHAPPEL": "x"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CHAPPE_KAFKA_BOOTSTRAP", "kafka"),
        ("CHAPPE_SHARDS", "many"),
        ("CHAPPE_DELIVERY", "maybe"),
        ("CHAPPE_PUBLIC_URL", "shop.example"),
        ("CHAPPE_LOG_LEVEL", "loud"),
    ],
)
def test_a_bad_value_names_its_variable(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load_settings({name: value})


def test_an_empty_value_is_as_good_as_none() -> None:
    assert load_settings({"CHAPPE_KAFKA_BOOTSTRAP": ""}).kafka_bootstrap is None


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("from the file\n", "utf-8")
    settings = load_settings({"CHAPPE_ADMIN_TOKEN_FILE": str(secret)})
    assert settings.admin_token is not None
    assert settings.admin_token.get_secret_value() == "from the file"


def test_a_value_and_a_file_for_it_is_a_contradiction(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="keep one"):
        load_settings({"CHAPPE_ADMIN_TOKEN": "a", "CHAPPE_ADMIN_TOKEN_FILE": str(tmp_path)})


def test_a_missing_file_is_named() -> None:
    with pytest.raises(SettingsError, match="CHAPPE_SECRET_KEY_FILE: cannot read"):
        load_settings({"CHAPPE_SECRET_KEY_FILE": "/does/not/exist"})


def test_secrets_do_not_show_in_what_is_printed() -> None:
    settings = load_settings({"CHAPPE_ADMIN_TOKEN": "hush", "CHAPPE_SMTP_URL": "smtp://u:hush@h"})
    assert "hush" not in repr(settings)
