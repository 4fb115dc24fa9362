"""The data directory: one owner at a time, and what must outlive a restart.

::

    lock             held by whoever runs on it
    VERSION          the layout's number; a newer one is refused
    secret-key       seals links and secrets      (0600, unless CHAPPE_SECRET_KEY is set)
    admin-token      the API's Bearer token       (0600, unless CHAPPE_ADMIN_TOKEN is set)
    clock.json       how far the demo has moved the business clock
    endpoints.json   where everything listens, while it runs (0600)
    postgres/ inbox/ spool/
"""

import datetime as dt
import fcntl
import os
import secrets
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from chappe_onebox.box.failures import CannotStart, because

VERSION = 1
FREE_BYTES_MIN = 128 * 1024 * 1024
"""Less than this at start counts as full: Postgres alone needs some 50 MB for an empty database."""

LOCK = "lock"


class DataDirectory:
    """A locked data directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def secret(self, name: str, given: str | None) -> str:
        """The given secret, or the one kept here, made at first use."""
        if given is not None:
            return given
        file = self.path / name
        if not file.exists():
            write(file, secrets.token_urlsafe(32).encode())
        return file.read_text("ascii").strip()

    def read(self, name: str) -> dict[str, Any]:
        """A small document of ours; empty when it is not there."""
        try:
            return msgspec.json.decode((self.path / name).read_bytes(), type=dict[str, Any])
        except FileNotFoundError:
            return {}
        except msgspec.MsgspecError as error:
            raise CannotStart(f"{self.path / name} is damaged ({error}): restore it") from error

    def write(self, name: str, document: dict[str, Any]) -> None:
        """Durable on return, and never half there."""
        write(self.path / name, msgspec.json.encode(document) + b"\n")

    def remove(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)

    def offset(self, *, movable: bool) -> dt.timedelta:
        """How far the business clock is ahead. Refused when it was moved and may not be."""
        offset = dt.timedelta(seconds=float(self.read("clock.json").get("offset_seconds", 0)))
        if offset and not movable:
            raise CannotStart(
                f"the clock of {self.path} was moved forward by {offset} in a demo: open it "
                "with --demo, or choose another directory with --data DIR"
            )
        return offset

    def keep_offset(self, offset: dt.timedelta) -> None:
        self.write("clock.json", {"offset_seconds": offset.total_seconds()})


@contextmanager
def open_directory(path: Path) -> Generator[DataDirectory]:
    """Lock ``path``, made if need be. Raises ``CannotStart``; the lock ends with the process."""
    try:
        descriptor = _lock(path)
    except OSError as error:
        raise because(error, path) from error
    try:
        try:
            _check_version(path)
            _check_room(path)
            path.chmod(0o700)
        except OSError as error:
            raise because(error, path) from error
        yield DataDirectory(path)
    finally:
        os.close(descriptor)


def write(file: Path, content: bytes) -> None:
    """Replace a file whole, readable by its owner alone."""
    new = file.with_name(f"{file.name}.new")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        new.replace(file)
        _sync(file.parent)
    except OSError as error:
        raise because(error, file) from error


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(path: Path) -> int:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    strangers = [entry.name for entry in path.iterdir() if entry.name != LOCK]
    if strangers and not (path / "VERSION").exists() and strangers != ["endpoints.json"]:
        raise CannotStart(
            f"{path} holds other things ({strangers[0]} …) and is no data directory of ours: "
            "choose an empty or a new one with --data DIR"
        )
    descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise CannotStart(
            f"{path} is in use by another `chappe up` (process {holder}): stop that one, "
            "or choose another directory with --data DIR"
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor


def _check_version(path: Path) -> None:
    file = path / "VERSION"
    if not file.exists():
        write(file, f"{VERSION}\n".encode())
        return
    text = file.read_text("utf-8").strip()
    if not text.isdigit():
        raise CannotStart(f"{file} does not hold a number: restore the directory from a backup")
    if int(text) > VERSION:
        raise CannotStart(
            f"{path} was written by a newer Chappe (layout {text}, this one knows {VERSION}): "
            "run that version or newer, or choose another directory with --data DIR"
        )


def _check_room(path: Path) -> None:
    free = shutil.disk_usage(path).free
    if free < FREE_BYTES_MIN:
        raise CannotStart(
            f"the disk of {path} is full ({free // 2**20} MB left, {FREE_BYTES_MIN // 2**20} MB "
            "needed to start): free some space or choose another with --data DIR"
        )
