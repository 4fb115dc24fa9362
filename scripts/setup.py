"""Make `.venv` what `requirements.lock` says, with every member installed in editable form.

Safe to repeat: a stamp in the environment remembers what it was made from, and the second run
does nothing. pip, not uv, so that a company's own index settings work.
"""

import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOCK = ROOT / "requirements.lock"
STAMP = VENV / ".made-from"

# Before this one, pip cannot install into another environment than its own.
PIP_WITH_PYTHON_OPTION = (22, 3)

MEMBERS = (
    "libs/common",
    "libs/onebox",
    "libs/cli",
    "recipes",
    "services/analytics",
    "services/ingest",
    "services/orchestrator",
    "services/sender",
)


def main() -> None:
    """Bring the environment up to date."""
    wanted = fingerprint()
    if PYTHON.exists() and STAMP.exists() and STAMP.read_text(encoding="utf-8") == wanted:
        return
    make_environment()
    install()
    STAMP.write_text(wanted, encoding="utf-8")


def fingerprint() -> str:
    """Hash all that the environment depends on: the place, the Python, the lock, the members."""
    digest = hashlib.sha256(f"{ROOT}\n{sys.base_prefix}\n{sys.version}\n".encode())
    for path in (LOCK, *(ROOT / member / "pyproject.toml" for member in MEMBERS)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def make_environment() -> None:
    """Create `.venv`, afresh where one of another Python or another place stands."""
    STAMP.unlink(missing_ok=True)
    if is_ours():
        return
    print("Making .venv …", flush=True)
    options = ["--clear", *([] if has("ensurepip") else ["--without-pip"])]
    run(sys.executable, "-m", "venv", *options, str(VENV))


def is_ours() -> bool:
    """Tell whether `.venv` runs, on this very Python."""
    question = "import sys; print(sys.base_prefix, sys.version, sep='\\n')"
    try:
        answer = subprocess.run(
            [PYTHON, "-c", question], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return False
    return answer.stdout.strip() == f"{sys.base_prefix}\n{sys.version}"


def install() -> None:
    """Install what the lock names, by hash, then the members without asking for more."""
    pip = pip_command()
    print("Installing what requirements.lock names …", flush=True)
    run(*pip, "install", "--quiet", "--require-hashes", "-r", str(LOCK))
    print("Installing the members …", flush=True)
    editable = [word for member in MEMBERS for word in ("-e", str(ROOT / member))]
    run(*pip, "install", "--quiet", "--no-deps", "--no-build-isolation", *editable)


def pip_command() -> list[str]:
    """Find a pip for the environment: its own, or else this interpreter's."""
    own = [str(PYTHON), "-m", "pip"]
    if subprocess.run([*own, "--version"], capture_output=True, check=False).returncode == 0:
        return own
    if not has("pip"):
        sys.exit("This Python has neither ensurepip nor pip: install python3-venv, then try again.")
    version = subprocess.run(
        [sys.executable, "-c", "import pip; print(pip.__version__)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    if tuple(int(part) for part in version.split(".")[:2]) < PIP_WITH_PYTHON_OPTION:
        sys.exit(f"pip {version.strip()} is too old: install python3-venv, then try again.")
    return [sys.executable, "-m", "pip", "--python", str(PYTHON)]


def has(module: str) -> bool:
    """Tell whether this interpreter has ``module``."""
    return importlib.util.find_spec(module) is not None


def run(*command: str) -> None:
    """Run one step; the build backend is found on the environment's own PATH."""
    path = f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}"
    quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    try:
        subprocess.run(command, check=True, cwd=ROOT, env=os.environ | quiet | {"PATH": path})
    except subprocess.CalledProcessError as failure:
        sys.exit(
            f"Set-up stopped: {' '.join(command[1:5])} … gave {failure.returncode}; see above."
        )


if __name__ == "__main__":
    main()
