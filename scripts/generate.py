"""Rewrite the generated files; with ``--check``, fail when one of them was not current."""

import hashlib
import importlib.util
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GENERATOR = "chappe_cli.generate"
NOT_OURS = frozenset({".git", ".venv", "build", "node_modules", "__pycache__"})


def main() -> int:
    """Generate; 1 when a check found something stale."""
    if importlib.util.find_spec(GENERATOR) is None:
        print("Nothing to generate yet.")
        return 0
    before = snapshot()
    subprocess.run([sys.executable, "-m", GENERATOR], check=True, cwd=ROOT)
    after = snapshot()
    stale = sorted(path for path in before | after if before.get(path) != after.get(path))
    if "--check" in sys.argv[1:] and stale:
        print(f"Stale: {', '.join(stale)}. They are rewritten now; commit them.", file=sys.stderr)
        return 1
    return 0


def snapshot() -> dict[str, str]:
    """Hash every file that could be a generated one."""
    return {
        str(path.relative_to(ROOT)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in ROOT.rglob("*")
        if path.is_file() and not is_aside(path.relative_to(ROOT))
    }


def is_aside(path: Path) -> bool:
    """Tell whether ``path`` is the environment's, the build's or a tool's cache."""
    return any(part in NOT_OURS or part.endswith("_cache") for part in path.parts)


if __name__ == "__main__":
    sys.exit(main())
