import datetime as dt
import stat
from pathlib import Path
from typing import NamedTuple

import pytest

from chappe_onebox.box import directory as module
from chappe_onebox.box.directory import open_directory
from chappe_onebox.box.failures import CannotStart


def test_a_new_directory_is_private_and_knows_its_version(tmp_path: Path) -> None:
    with open_directory(tmp_path / "deep" / "data") as data:
        assert stat.S_IMODE(data.path.stat().st_mode) == 0o700
        assert (data.path / "VERSION").read_text() == "1\n"


def test_one_owner_at_a_time(tmp_path: Path) -> None:
    with (
        open_directory(tmp_path / "data"),
        pytest.raises(CannotStart, match=r"in use by another `chappe up` \(process \d+\)"),
        open_directory(tmp_path / "data"),
    ):
        pass
    with open_directory(tmp_path / "data"):
        pass  # and it is free again


def test_a_directory_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "VERSION").write_text("2\n")
    with pytest.raises(CannotStart, match="written by a newer Chappe"), open_directory(tmp_path):
        pass


def test_somebody_elses_directory_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("…")
    tmp_path.chmod(0o755)
    with pytest.raises(CannotStart, match="no data directory of ours"), open_directory(tmp_path):
        pass
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_file_in_its_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with (
        pytest.raises(CannotStart, match="is not a directory: choose another with --data"),
        open_directory(tmp_path / "data"),
    ):
        pass


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def _full(_: Path) -> Usage:
    return Usage(2**30, 2**30, 2**20)


def test_a_full_disk_is_said_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.shutil, "disk_usage", _full)
    with (
        pytest.raises(
            CannotStart, match=r"is full .* free some space or choose another with --data"
        ),
        open_directory(tmp_path / "data"),
    ):
        pass


def test_secrets_are_made_once_and_kept_to_ourselves(tmp_path: Path) -> None:
    with open_directory(tmp_path / "data") as data:
        made = data.secret("admin-token", None)
        assert len(made) >= 32
        assert data.secret("admin-token", None) == made
        assert data.secret("admin-token", "given") == "given"
        assert stat.S_IMODE((data.path / "admin-token").stat().st_mode) == 0o600


def test_a_moved_clock_opens_only_where_it_may_be_moved(tmp_path: Path) -> None:
    with open_directory(tmp_path / "data") as data:
        assert data.offset(movable=False) == dt.timedelta()
        data.keep_offset(dt.timedelta(days=2))
        assert data.offset(movable=True) == dt.timedelta(days=2)
        with pytest.raises(CannotStart, match=r"moved forward by 2 days.* open it with --demo"):
            data.offset(movable=False)
