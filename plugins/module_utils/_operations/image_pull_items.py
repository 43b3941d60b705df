# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The items of a pull: which image a reference names now, and which file gets which of its disks."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import Any

from .._catalog.reference import DEFAULT_TAG, Reference, parse_reference
from .._errors import InvalidOption
from .._registry.interface import Store
from .catalog_access import access_of
from .operation import Tools

# Of a digest in a file's name.
_SHORT = 16


def expand(params: dict[str, Any], tools: Tools) -> Iterable[dict[str, Any]]:
    """One item per file: each with the image's `digest`, the name of the `disk`, and `dest` without placeholders."""
    if (params["dest"] is None) == (params["disks"] is None):
        raise InvalidOption("dest: give either 'dest', for one file or a folder, or 'disks', for a file per disk.")
    reference = parse_reference(params["image"], option="image")
    with opened(params, reference) as store:
        digest = reference.digest or store.resolve(reference.version).digest
        items = list(_items({**params, "digest": digest}, store))
    return [{**item, "dest": _filled(item["dest"], reference, digest, item["disk"] or "")} for item in items]


@contextlib.contextmanager
def opened(params: dict[str, Any], reference: Reference) -> Iterator[Store]:
    """The repository of the item's image, for the time of the block."""
    from .._registry.open import open_store

    with contextlib.closing(open_store(reference, access_of(params))) as store:
        yield store


def _items(params: dict[str, Any], store: Store) -> Iterator[dict[str, Any]]:
    if params["disks"] is not None:
        if params["disk"]:
            raise InvalidOption("disk: it names the disk for 'dest'; in 'disks' each entry has a 'name'.")
        for one in params["disks"]:
            yield {**params, "disk": one["name"], "dest": one["dest"], "format": one["format"] or params["format"]}
    elif params["dest"].endswith("/") or os.path.isdir(params["dest"]):
        yield from _in_folder(params, store)
    else:
        yield params


def _in_folder(params: dict[str, Any], store: Store) -> Iterator[dict[str, Any]]:
    """Every disk of the image, or the one that is named, under its own name."""
    from .._registry.images import load_image
    from .image_pull_disk import chosen_disk

    config = load_image(store, params["digest"]).config
    disks = [chosen_disk(config, params["disk"], shown=params["image"])] if params["disk"] else config.disks
    for disk in disks:
        name = f"{disk.name}.{params['format']}"
        if name.startswith("."):
            raise InvalidOption(
                f"dest: the disk '{disk.name}' of {params['image']} gives no name of a file; use 'disks'."
            )
        yield {**params, "disk": disk.name, "dest": os.path.join(params["dest"], name)}


def _filled(dest: str, reference: Reference, digest: str, disk: str) -> str:
    if not os.path.isabs(dest):
        raise InvalidOption(f"dest: '{dest}' is not an absolute path; give one that starts with a slash.")
    words = {
        "{digest}": digest.partition(":")[2][:_SHORT],
        "{tag}": reference.tag or DEFAULT_TAG,
        "{disk}": disk,
    }
    for word, text in words.items():
        dest = dest.replace(word, text)
    return dest
