"""Sign a request as AWS wants it (Signature Version 4), for the one call that we make."""

import datetime as dt
import hashlib
import hmac
from urllib.parse import urlsplit

ALGORITHM = "AWS4-HMAC-SHA256"


def signed_headers(
    *,
    url: str,
    body: bytes,
    headers: dict[str, str],
    access_key: str,
    secret_key: str,
    region: str,
    service: str,
    now: dt.datetime,
) -> dict[str, str]:
    """``headers`` with what signs a POST of ``body`` to ``url``, which has no query."""
    parts = urlsplit(url)
    stamp = now.astimezone(dt.UTC).strftime("%Y%m%dT%H%M%SZ")
    day = stamp[:8]
    digest = hashlib.sha256(body).hexdigest()
    sent = headers | {"X-Amz-Date": stamp, "X-Amz-Content-Sha256": digest}
    signing = {name.lower(): value.strip() for name, value in sent.items()} | {"host": parts.netloc}
    names = ";".join(sorted(signing))
    lines = "".join(f"{name}:{signing[name]}\n" for name in sorted(signing))
    canonical = f"POST\n{parts.path or '/'}\n\n{lines}\n{names}\n{digest}"
    scope = f"{day}/{region}/{service}/aws4_request"
    to_sign = f"{ALGORITHM}\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{secret_key}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    return sent | {
        "Authorization": (
            f"{ALGORITHM} Credential={access_key}/{scope}, SignedHeaders={names}, "
            f"Signature={signature}"
        )
    }
