"""A template: the files a person writes, and the immutable version they become."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import msgspec

FILES_MAX = 64
FILE_BYTES_MAX = 262_144
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
LOCALE = re.compile(r"[a-z]{2,3}(-[A-Z]{2})?")
TOPIC = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_FILE = re.compile(rf"({NAME.pattern})(?:\.({LOCALE.pattern}))?\.(mjml|html|txt)")


class MessageClass(StrEnum):
    """Marketing needs consent and goes out at most once; transactional needs neither, and at least
    once.
    """

    MARKETING = "marketing"
    TRANSACTIONAL = "transactional"


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason why a template cannot be published. ``where`` is ``file:line`` or ``file``."""

    where: str
    what: str


class TemplateError(Exception):
    """The template cannot be published; every problem found is listed."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(f"{p.where}: {p.what}" for p in problems))
        self.problems = problems


class Variant(msgspec.Struct, frozen=True):
    """One language of a template, compiled: what is left to do per message is to fill it in.

    ``subject``, ``html`` and ``text`` are Liquid. Links to follow stand between marks
    (``markup.LINK_START`` …) with their index in ``links``, which keeps each target as written.
    ``plain_style`` says that style blocks are ASCII whatever the values are.
    """

    subject: str
    html: str
    text: str
    links: tuple[str, ...]
    plain_style: bool


class TemplateVersion(msgspec.Struct, frozen=True):
    """A published template. ``id`` is ``name@digest``, a hash of everything it was made from.
    ``coupon`` is the pool that ``{{ coupon }}`` takes its codes from.
    """

    id: str
    name: str
    message_class: MessageClass
    topic: str | None
    variants: dict[str, Variant]
    coupon: str | None = None

    def variant(self, locale: str | None) -> tuple[str, Variant]:
        """The closest language and its text: ``fr-CA``, then ``fr``, then the default (``""``)."""
        for key in (locale or "", (locale or "").partition("-")[0]):
            if key in self.variants:
                return key, self.variants[key]
        return "", self.variants[""]


_pack = msgspec.json.Encoder(order="deterministic").encode
_unpack = msgspec.json.Decoder(TemplateVersion).decode


def encode_version(version: TemplateVersion) -> bytes:
    return _pack(version)


def decode_version(body: bytes) -> TemplateVersion:
    return _unpack(body)


def version_id(name: str, files: Mapping[str, str]) -> str:
    """The content address of a template: the same files always give the same version."""
    digest = hashlib.blake2b(digest_size=6)
    for part in (name, *(text for item in sorted(files.items()) for text in item)):
        raw = part.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(raw))
        digest.update(raw)
    return f"{name}@{digest.hexdigest()}"


@dataclass(frozen=True, slots=True)
class FileName:
    """What a file's name says: which template, which language, which kind."""

    template: str
    locale: str
    kind: str


def parse_file_name(name: str) -> FileName | None:
    """``NAME.mjml``, ``NAME.fr.mjml``, ``NAME.html``, ``NAME.txt``; None for anything else."""
    match = _FILE.fullmatch(name)
    return FileName(match[1], match[2] or "", match[4]) if match else None
