"""Write the lock files: everything for development, and one per image.

uv resolves, in a throw-away environment of its own. `requirements.lock` holds every member's
dependencies and the tools, for all platforms, with hashes and without the members themselves.
`deploy/requirements/NAME.lock` holds what one image installs: the kernel, the command and one
service (`all.lock`: every service), constrained by the first file. `build.lock` is the build
backend alone.
"""

import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
IMAGES = ROOT / "deploy" / "requirements"
SERVICES = ("analytics", "ingest", "orchestrator", "sender")
BUILD_BACKEND = "uv_build"
OLDEST_PYTHON = "3.11"
UV = "uv>=0.8"


def main() -> None:
    """Resolve once, then narrow down per image."""
    with tempfile.TemporaryDirectory() as folder:
        uv = a_throw_away_uv(Path(folder))
        run(uv, "lock", "--upgrade")
        export = ("--all-packages", "--no-emit-workspace", "--group", "dev")
        bare = ("--no-header", "--no-annotate")
        run(uv, "export", "--quiet", "--frozen", *export, *bare, "-o", str(LOCK))
        IMAGES.mkdir(exist_ok=True)
        wanted = {name: image_requirements(name) for name in SERVICES}
        wanted |= {"all": set().union(*wanted.values()), "build": {BUILD_BACKEND}}
        for name, requirements in wanted.items():
            narrow(uv, requirements, IMAGES / f"{name}.lock", *bare)


def a_throw_away_uv(folder: Path) -> str:
    """Install uv where it disturbs nothing."""
    run(sys.executable, "-m", "venv", str(folder / "uv"))
    run(str(folder / "uv" / "bin" / "python"), "-m", "pip", "install", "--quiet", UV)
    return str(folder / "uv" / "bin" / "uv")


def image_requirements(service: str) -> set[str]:
    """Collect what the three members of one image depend on, less the members themselves."""
    members = (ROOT / "libs" / "common", ROOT / "libs" / "cli", ROOT / "services" / service)
    return {
        requirement
        for member in members
        for requirement in dependencies(member / "pyproject.toml")
        if re.match(r"chappe\b", requirement) is None
    }


def dependencies(pyproject: Path) -> list[str]:
    """Read a member's direct dependencies."""
    return tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]["dependencies"]


def narrow(uv: str, requirements: Iterable[str], out: Path, *options: str) -> None:
    """Resolve ``requirements`` to the versions that the big lock chose."""
    run(
        uv,
        "pip",
        "compile",
        "--quiet",
        "--universal",
        "--generate-hashes",
        "--python-version",
        OLDEST_PYTHON,
        "--constraint",
        str(LOCK),
        *options,
        "-o",
        str(out),
        "-",
        stdin="\n".join(sorted(requirements)),
    )


def run(*command: str, stdin: str | None = None) -> None:
    """Run one step, loudly when it fails."""
    # An index configured on this machine must not be written into a file that others read.
    environment = os.environ | {"UV_NO_PROGRESS": "1"}
    subprocess.run(command, check=True, cwd=ROOT, env=environment, input=stdin, text=True)


if __name__ == "__main__":
    main()
