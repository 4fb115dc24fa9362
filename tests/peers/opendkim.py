"""OpenDKIM as the judge of a signed mail, with the keys in a file instead of DNS."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.peers.mails import RECORDS
from tests.peers.programs import PATH, program

SECONDS: Final = 20.0
_RESULT: Final = re.compile(r"dkim=(\w+)[^;]*header\.a=([\w-]+)")


@dataclass(frozen=True, slots=True)
class OpenDkim:
    """``directory`` holds its configuration and what it is shown."""

    directory: Path

    def judge(self, raw: bytes) -> dict[str, str]:
        """Its result for each signature, by algorithm: ``pass`` or ``fail``."""
        keys, configuration = self.directory / "keys", self.directory / "opendkim.conf"
        keys.write_text("".join(f"{name} {record}\n" for name, record in RECORDS.items()))
        configuration.write_text(
            f"Mode v\nSyslog no\nTestPublicKeys {keys}\nAlwaysAddARHeader yes\n"
            "AuthservID peer\nOn-BadSignature accept\n"
        )
        mail = self.directory / "mail.eml"
        mail.write_bytes(raw)
        said = subprocess.run(
            [program("opendkim"), "-x", str(configuration), "-t", str(mail), "-vv"],
            env={"PATH": PATH},
            capture_output=True,
            check=True,
            timeout=SECONDS,
            text=True,
        )
        return {algorithm: result for result, algorithm in _RESULT.findall(said.stdout)}
