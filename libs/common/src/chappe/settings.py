"""Every ``CHAPPE_*`` name there is, and the settings that the processes share.

The catalogue is checked before any settings class loads: an unknown name is refused with the
nearest known one, so that a misspelling never falls back to a default in silence. Names in
Kubernetes' service-link form are ignored.
"""

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

CATALOGUE: dict[str, str] = {
    "CHAPPE_DATABASE_URL": "Postgres DSN; unset on one box means the embedded Postgres",
    "CHAPPE_KAFKA_BOOTSTRAP": "host:port of Kafka; unset means the embedded log",
    "CHAPPE_KAFKA_PREFIX": "prefix of our Kafka topics (default chappe.)",
    "CHAPPE_KAFKA_SECURITY_PROTOCOL": "PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL",
    "CHAPPE_KAFKA_SASL_MECHANISM": "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512",
    "CHAPPE_KAFKA_USERNAME": "SASL user",
    "CHAPPE_KAFKA_PASSWORD": "SASL password",
    "CHAPPE_KAFKA_CA_FILE": "CA certificates of the brokers",
    "CHAPPE_DATA": "data directory of one box, and the edge's spool",
    "CHAPPE_PUBLIC_URL": "the address in links, as mail readers reach it",
    "CHAPPE_SMTP_URL": "smtp://user:pass@host:port?starttls=require, or smtps://…",
    "CHAPPE_DELIVERY": "live (default), allowlist or capture",
    "CHAPPE_DELIVERY_ALLOW": "with allowlist: the addresses and domains that get mail, by commas",
    "CHAPPE_SHAPING": "rules of our own for mailbox providers, as TOML (docs/providers.md)",
    "CHAPPE_ADMIN_TOKEN": "Bearer token of the API",
    "CHAPPE_SECRET_KEY": "seals links and secrets at rest; keep it with the database",
    "CHAPPE_SHARDS": "shards and partitions, fixed when an installation is created (default 64)",
    "CHAPPE_BOUNCE_DOMAIN": "domain of our return addresses (its MX leads here); unset: none",
    "CHAPPE_BOUNCE_SMTP_HOST": "where returned mail is listened for (default 127.0.0.1)",
    "CHAPPE_BOUNCE_SMTP_PORT": "port on which returned mail is taken by SMTP; unset: not",
    "CHAPPE_BOUNCE_IMAP_URL": "imaps://user:pass@host/INBOX of returned mail; unset: none is read",
    "CHAPPE_OUTBOUND_LOOPBACK": "tests only: shops and providers may be asked on loopback",
    "CHAPPE_LOG_LEVEL": "debug, info (default), warning or error",
    "CHAPPE_URL": "clients, and services that ask one another: where the server is",
    "CHAPPE_TOKEN": "clients: the Bearer token",
}

IGNORED = re.compile(r"^CHAPPE_.*(_SERVICE_HOST|_SERVICE_PORT.*|_PORT(_.*)?)$")
NOT_SETTINGS = {"CHAPPE_TEST_FAULT"}


class SettingsError(Exception):
    """The environment cannot be used; the message names the variable and what to do."""


def check_names(environment: Mapping[str, str]) -> None:
    """Refuse unknown ``CHAPPE_*`` names: a ``SettingsError`` lists each with the nearest."""
    problems: list[str] = []
    for name in sorted(environment):
        base = name.removesuffix("_FILE") if name.removesuffix("_FILE") in CATALOGUE else name
        if not name.startswith("CHAPPE_") or base in CATALOGUE or name in NOT_SETTINGS:
            continue
        if IGNORED.match(name):
            continue
        near = difflib.get_close_matches(name, CATALOGUE, 1, 0.5)
        hint = f"did you mean {near[0]}?" if near else "see the README for the names there are"
        problems.append(f"{name} is not a setting of Chappe: {hint}")
    if problems:
        raise SettingsError("; ".join(problems))


def read_files(environment: Mapping[str, str]) -> dict[str, str]:
    """``NAME_FILE=path`` stands for ``NAME=content``, as secrets are mounted. Both is an error."""
    values: dict[str, str] = {}
    for name in CATALOGUE:
        path = environment.get(f"{name}_FILE")
        if name in environment:
            values[name] = environment[name]
            if path is not None:
                raise SettingsError(f"both {name} and {name}_FILE are set: keep one")
        elif path is not None:
            try:
                values[name] = Path(path).read_text("utf-8").strip()
            except (OSError, UnicodeError) as error:
                raise SettingsError(f"{name}_FILE: cannot read {path}: {error}") from error
    return values


class Settings(BaseModel):
    """What the server processes share. Field names are the catalogue's without the prefix."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    database_url: SecretStr | None = None
    kafka_bootstrap: str | None = Field(None, pattern=r"^[^\s,/]+:\d{1,5}(,[^\s,/]+:\d{1,5})*$")
    kafka_prefix: str = Field("chappe.", pattern=r"^[A-Za-z0-9._-]{1,100}$")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    kafka_username: str | None = None
    kafka_password: SecretStr | None = None
    kafka_ca_file: Path | None = None
    data: Path | None = None
    public_url: str | None = Field(None, pattern=r"^https?://[^\s]+$")
    url: str | None = Field(None, pattern=r"^https?://[^\s]+$")
    smtp_url: SecretStr | None = None
    delivery: Literal["live", "allowlist", "capture"] = "live"
    delivery_allow: str | None = Field(None, max_length=20_000)
    shaping: str | None = Field(None, max_length=200_000)
    admin_token: SecretStr | None = None
    secret_key: SecretStr | None = None
    shards: int = Field(64, ge=1, le=1024)
    bounce_domain: str | None = Field(None, pattern=r"^[A-Za-z0-9.-]{3,190}$")
    bounce_smtp_host: str = Field("127.0.0.1", min_length=1, max_length=255)
    bounce_smtp_port: int | None = Field(None, ge=0, le=65_535)
    bounce_imap_url: SecretStr | None = None
    outbound_loopback: bool = False
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class ClientSettings(BaseModel):
    """What the commands that talk to a server need."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str | None = Field(None, pattern=r"^https?://[^\s]+$")
    token: SecretStr | None = None
    data: Path | None = None


def environment() -> dict[str, str]:
    """The process's environment; the one place that reads it."""
    return dict(os.environ)


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Parse the server's settings. Raises ``SettingsError`` with one sentence per variable."""
    check_names(environ)
    values = read_files(environ)
    return _parse(Settings, values)


def load_client_settings(environ: Mapping[str, str]) -> ClientSettings:
    check_names(environ)
    return _parse(ClientSettings, read_files(environ))


T = TypeVar("T", bound=BaseModel)


def _parse(model: type[T], values: Mapping[str, str]) -> T:
    fields = {
        name: values[f"CHAPPE_{name.upper()}"]
        for name in model.model_fields
        if values.get(f"CHAPPE_{name.upper()}", "") != ""
    }
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        problems: list[str] = []
        for item in error.errors(include_url=False, include_input=False):
            name = f"CHAPPE_{str(item['loc'][0]).upper()}"
            problems.append(f"{name}: {item['msg']} ({CATALOGUE[name]})")
        raise SettingsError("; ".join(problems)) from None
