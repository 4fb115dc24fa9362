"""The embedded Postgres's own programs, and what stands in their way."""

from pathlib import Path

from chappe_onebox.box.postgres import MAY_NOT_RUN, EmbeddedPostgres


def test_a_program_that_may_not_be_run_is_a_failure_like_any_other(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "data")
    server._binaries = tmp_path
    (tmp_path / "postgres").write_text("not for everybody", "utf-8")
    code, output = server._call("postgres", "--version")
    assert code == MAY_NOT_RUN
    assert "Permission denied" in output
