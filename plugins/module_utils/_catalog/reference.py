# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of images as users know them: host/repository:tag, dir:/path:tag, https://server/path:tag, each with @sha256:... at will."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace

from .._errors import InvalidOption
from .digest import is_digest

REGISTRY, DIRECTORY, WEB = "registry", "dir", "web"
DEFAULT_TAG = "latest"
# Repository names and tags as the OCI distribution specification (1.1, "Pulling manifests") has them.
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_HOST = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9A-Fa-f:]+\])(?::\d{1,5})?"
)
_WAY_OUT = (
    "write HOST[:PORT]/NAME[:TAG], dir:/PATH[:TAG] or https://SERVER/PATH[:TAG], and @sha256:... to name one content"
)
_MOST_LENGTH = 4096


@dataclass(frozen=True)
class Reference:
    """One image, or with an empty tag and digest all images of a repository.

    `home` is one of REGISTRY, DIRECTORY, WEB. `place` is the registry's host and port, the path of an OCI image layout, or the URL
    of one; `repository` is a registry's name for the repository, else empty.
    """

    home: str
    place: str
    repository: str = ""
    tag: str = ""
    digest: str = ""

    @property
    def catalog(self) -> str:
        """The repository without tag and digest, as users write it."""
        if self.home == REGISTRY:
            return f"{self.place}/{self.repository}"
        return f"dir:{self.place}" if self.home == DIRECTORY else self.place

    def __str__(self) -> str:
        text = self.catalog + (f":{self.tag}" if self.tag else "")
        return text + (f"@{self.digest}" if self.digest else "")

    @property
    def version(self) -> str:
        """What names the image in its repository: the digest when it has one, else the tag."""
        return self.digest or self.tag or DEFAULT_TAG

    def at(self, *, tag: str = "", digest: str = "") -> Reference:
        """The same repository's image with this tag or digest."""
        return replace(self, tag=tag, digest=digest)


def parse_reference(text: str, *, option: str) -> Reference:
    """The image that `text` names; raises InvalidOption with the option's name."""
    if not text or len(text) > _MOST_LENGTH or any(ord(sign) <= 32 or ord(sign) == 127 for sign in text):
        raise InvalidOption(
            f"{option}: {text[:80]!r} names no image: it is empty, too long or holds spaces; {_WAY_OUT}."
        )
    name, at, digest = text.partition("@")
    if at and not is_digest(digest):
        raise InvalidOption(
            f"{option}: '{digest[:80]}' in {text[:80]} is no sha256 digest; write sha256: and 64 hexadecimal digits."
        )
    found = replace(_named(name, text, option), digest=digest)
    if found.tag and not _TAG.fullmatch(found.tag):
        raise InvalidOption(
            f"{option}: '{found.tag[:80]}' is no tag: at most 128 letters, digits, '.', '_' and '-', the first no '.' or '-'."
        )
    return found


def parse_repository(text: str, *, option: str) -> Reference:
    """The repository that `text` names; raises InvalidOption when it holds a tag or a digest too."""
    found = parse_reference(text, option=option)
    if found.tag or found.digest:
        raise InvalidOption(f"{option}: {text} names one image; leave out tag and digest to name the repository.")
    return found


def _named(name: str, text: str, option: str) -> Reference:
    if name.startswith(f"{DIRECTORY}:"):
        return _directory(name[len(DIRECTORY) + 1 :], text, option)
    if name.startswith(("https://", "http://")):
        return _web(name, text, option)
    return _registry(name, text, option)


def _split_tag(path: str) -> tuple[str, str]:
    """Path and tag: the tag is behind the last colon of the last part."""
    head, slash, last = path.rpartition("/")
    last, _colon, tag = last.partition(":")
    return f"{head}{slash}{last}", tag


def _directory(path: str, text: str, option: str) -> Reference:
    name, tag = _split_tag(path)
    # POSIX lets two slashes at the beginning mean something else, and so Python keeps them.
    place = "/" + os.path.normpath(name).lstrip("/")
    if not name.startswith("/") or place == "/":
        raise InvalidOption(f"{option}: {text} names no directory by an absolute path; write dir:/PATH[:TAG].")
    return Reference(DIRECTORY, place, tag=tag)


def _web(name: str, text: str, option: str) -> Reference:
    scheme, _slashes, rest = name.partition("://")
    place, tag = _split_tag(rest)
    host, slash, _path = place.partition("/")
    if not slash or not _HOST.fullmatch(host) or "?" in place or "#" in place:
        raise InvalidOption(f"{option}: {text} names no folder of a web server; write https://SERVER/PATH[:TAG].")
    return Reference(WEB, f"{scheme}://{place}".rstrip("/"), tag=tag)


def _registry(name: str, text: str, option: str) -> Reference:
    host, slash, rest = name.partition("/")
    repository, tag = _split_tag(rest)
    if not slash or not _HOST.fullmatch(host) or not ("." in host or ":" in host or host == "localhost"):
        raise InvalidOption(f"{option}: {text} names no registry: a host with a dot or a port comes first; {_WAY_OUT}.")
    if not _REPOSITORY.fullmatch(repository):
        raise InvalidOption(
            f"{option}: '{repository[:80]}' is no name of a repository: lower case letters, digits, and between them '.', '_', '-' and '/'."
        )
    return Reference(REGISTRY, host, repository, tag)
