"""``chappe providers``: help with an example, and secrets that are not repeated."""

from pathlib import Path

import pytest

from chappe_cli.main import run


@pytest.mark.parametrize(
    "word", ["add", "list", "show", "test", "pause", "resume", "set-secrets", "remove", "try"]
)
def test_every_command_has_help_with_an_example(
    word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["providers", word, "--help"]) == 0
    assert "Example:" in capsys.readouterr().out


def test_what_may_be_a_secret_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["providers", "add", "resend", "--name", "x", "--secret", "=re_123456"]
    assert run(words) == 2
    assert "re_123456" not in "".join(capsys.readouterr())


def test_a_secret_s_file_that_is_not_there_is_bad_input(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    secret = f"api_key=@{tmp_path / 'none.txt'}"
    assert run(["providers", "add", "resend", "--name", "x", "--secret", secret]) == 2
    assert "cannot read" in capsys.readouterr().err
