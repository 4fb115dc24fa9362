"""Run a command against a throw-away Postgres of another version: the floor, in CI.

    python scripts/on_postgres.py /usr/lib/postgresql/15/bin python -m pytest tests/integration

The command finds its DSN in ``TEST_DATABASE_URL``.
"""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PORT = "5432"


def main() -> int:
    """Start, run, stop; the command's exit status."""
    binaries, command = Path(sys.argv[1]), sys.argv[2:]
    if not (binaries / "initdb").exists():
        print(f"No Postgres in {binaries}: install it, or name another folder.", file=sys.stderr)
        return 2
    directory = Path(tempfile.mkdtemp(prefix="chappe-floor-"))
    user = "postgres" if os.geteuid() == 0 else None
    if user is not None:
        entry = pwd.getpwnam(user)
        os.chown(directory, entry.pw_uid, entry.pw_gid)
    data = directory / "data"

    def run(program: str, *arguments: str) -> None:
        words = [str(binaries / program), *arguments]
        subprocess.run(words, check=True, user=user, cwd="/", stdout=subprocess.DEVNULL)

    run("initdb", "--pgdata", str(data), "--username=postgres", "--auth=trust", "--encoding=UTF8")
    options = f"-h '' -k {directory} -c fsync=off -c max_connections=200"
    log = str(directory / "log")
    run("pg_ctl", "-w", "-D", str(data), "-o", options, "-l", log, "start")
    try:
        url = f"postgresql://postgres@/postgres?host={directory}&port={PORT}"
        return subprocess.run(
            command, env={**os.environ, "TEST_DATABASE_URL": url}, check=False
        ).returncode
    finally:
        run("pg_ctl", "-w", "-D", str(data), "-m", "immediate", "stop")
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
