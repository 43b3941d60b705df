# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an image is built from: of each kind what the recipe says of it, and what a job needs to find it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from .._errors import InvalidOption, NotFound
from .._files import real_path
from .._formats.names import canonical_format
from .._transfer.checksum import parse_checksum
from .._transfer.url import HTTP, parse_url
from .build_kinds import (
    DIRECTORY,
    IMAGE,
    KINDS,
    MMDEBSTRAP,
    PATH,
    TARBALL,
    TREES,
    URL,
    BuildBase,
    file_mark,
    require_plain,
    tree_mark,
)  # fmt: skip
from .inspection import Inspected, inspect_named
from .operation import Tools

_SUITE = re.compile(r"[a-z][a-z0-9.-]*")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9+.-]*")
# What belongs to which kind; others would say nothing.
_OPTIONS = {
    PATH: ("format", "backing"),
    IMAGE: ("disk",),
    URL: ("format", "checksum", "signature", "keyring"),
    DIRECTORY: (),
    TARBALL: (),
    MMDEBSTRAP: (),
}


def kind_of(given: Mapping[str, Any]) -> str:
    """The kind of the base; raises InvalidOption unless it is just one, with options of its own."""
    kinds = [kind for kind in KINDS if given[kind] is not None]
    if len(kinds) != 1:
        raise InvalidOption(f"base: say what the image is built from by just one of {', '.join(KINDS)}.")
    known = {option for options in _OPTIONS.values() for option in options}
    wrong = [name for name in sorted(known - set(_OPTIONS[kinds[0]])) if given[name] is not None]
    if wrong:
        raise InvalidOption(f"base: {wrong[0]} says nothing of a base by {kinds[0]}; leave it out.")
    return kinds[0]


def read_base(params: Mapping[str, Any], tools: Tools) -> BuildBase:
    """The base of one item; raises what speaks against it."""
    given = params["base"]
    kind = kind_of(given)
    if kind == URL:
        return _by_url(given)
    if kind == IMAGE:
        return _by_image(params, tools)
    if kind in TREES:
        return _by_tree(kind, given[kind])
    if not os.path.isabs(given["path"]):
        raise InvalidOption(f"base: '{given['path']}' is not an absolute path; give one that starts with a slash.")
    image = inspect_named(
        given["path"], declared=given["format"], backing=given["backing"] or (), option="base", named_by="base.format"
    )
    return _of_image(PATH, image, {"path": image.path, "files": image.identity()}, {})


def _source(kind: str, image: Inspected, origin: Mapping[str, Any]) -> dict[str, Any]:
    return {"kind": kind, "path": image.path, **{name: text for name, text in origin.items() if text}}


def _of_image(kind: str, image: Inspected, declared: dict[str, Any], origin: Mapping[str, Any]) -> BuildBase:
    require_plain(image)
    return BuildBase(
        kind,
        {"kind": kind, **declared},
        {
            "kind": kind,
            "path": image.path,
            "format": image.format,
            "files": image.identity(),
            "allowed": sorted(image.files[1:]),
        },
        _source(kind, image, origin),
        image.virtual_size,
        files=list(image.files),
    )


def _by_image(params: Mapping[str, Any], tools: Tools) -> BuildBase:
    """An image of a catalog: the file that this host holds of it, else one that is pulled first."""
    from .catalog_base import base_of
    from .catalog_wanted import read_wanted

    given = params["base"]
    folder = os.path.dirname(params["path"])
    wanted = read_wanted(
        given["image"], disk=given["disk"], format=None, folder=folder, access=params, option="base.image"
    )
    found = base_of(wanted, tools, option="base")
    declared = {"kind": IMAGE, "image": str(wanted.reference), "disk": given["disk"] or ""}
    if found.steps:
        source = _source(IMAGE, found.image, found.origin)
        return BuildBase(
            IMAGE, declared, {"kind": IMAGE}, source, found.image.virtual_size, steps=found.steps, key=wanted.key
        )
    return _of_image(IMAGE, found.image, declared, found.origin)


def _by_tree(kind: str, given: Any) -> BuildBase:
    if kind == MMDEBSTRAP:
        told = _mmdebstrap(given)
        return BuildBase(
            kind, {"kind": kind, **told}, {"kind": kind, "mmdebstrap": told}, {"kind": kind, "suite": told["suite"]}
        )
    if not os.path.isabs(given):
        raise InvalidOption(f"base: '{given}' is not an absolute path; give one that starts with a slash.")
    path = real_path(given)
    if kind == DIRECTORY and not os.path.isdir(os.path.join(path, "etc")):
        raise NotFound(
            f"base: {path} is no folder with a root file system, since it has no folder etc; give the path of one."
        )
    if kind == TARBALL and not os.path.isfile(path):
        raise NotFound(f"base: there is no archive {path} on the host; give the path of one.")
    mark = tree_mark(path) if kind == DIRECTORY else file_mark(path)
    declared = {"kind": kind, "path": path, "mark": mark}
    return BuildBase(kind, declared, declared, {"kind": kind, "path": path}, files=[path] if kind == TARBALL else [])


def _mmdebstrap(given: Mapping[str, Any]) -> dict[str, Any]:
    """What mmdebstrap is told; raises InvalidOption for words that it could take for something else."""
    if not _SUITE.fullmatch(given["suite"]):
        raise InvalidOption(f"base: '{given['suite'][:80]}' can't be a suite; give a name such as bookworm.")
    for option in ("include", "components"):
        for word in given[option] or ():
            if not _WORD.fullmatch(word):
                raise InvalidOption(f"base: '{word[:80]}' in {option} can't be such a name; give a plain one.")
    for mirror in given["mirrors"] or ():
        if not mirror.startswith(("deb ", "http://", "https://", "file:///", "/")) or not mirror.isprintable():
            raise InvalidOption(f"base: '{mirror[:80]}' in mirrors is neither an address nor a line of sources.list.")
    return {
        "suite": given["suite"],
        "variant": given["variant"],
        **{name: list(given[name] or ()) for name in ("include", "components", "mirrors")},
    }


def _by_url(given: Mapping[str, Any]) -> BuildBase:
    url = parse_url(given["url"], option="base.url", schemes=HTTP)
    if not given["checksum"]:
        raise InvalidOption(
            f"base: nothing proves that what comes from {url.shown} is what was published; give its checksum, or the list that holds it."
        )
    asked = parse_checksum(given["checksum"], option="base.checksum")
    if bool(given["signature"]) != bool(given["keyring"]):
        raise InvalidOption("base: a signature is proven by a keyring; give both signature and keyring, or neither.")
    if given["signature"] and asked.known:
        raise InvalidOption(
            "base: a signature is of a list of checksums; let checksum name the list, such as sha256:https://…/SHA256SUMS."
        )
    if given["keyring"] and not os.path.isfile(given["keyring"]):
        raise InvalidOption(f"base: there is no keyring {given['keyring']} on the host; give the path of one.")
    signature = (
        parse_url(given["signature"], option="base.signature", schemes=HTTP).identity if given["signature"] else None
    )
    told = {
        "kind": URL,
        "url": url.text,
        "checksum": given["checksum"],
        "signature": given["signature"],
        "keyring": given["keyring"],
        "format": canonical_format(given["format"], option="base.format") if given["format"] else None,
    }
    checksum = f"{asked.algorithm}:{asked.url.shown}" if asked.url else given["checksum"]
    source = {"kind": URL, **url.identity, "checksum": checksum}
    # The list's own query tells no two contents apart, and may be a signature that opens the door.
    return BuildBase(URL, {**source, "signature": signature}, told, source)
