# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Source and target of a conversion as an engine opens them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from .._errors import EngineError, InvalidOption
from .._formats.chain import BACKING, IMAGE, Link, backing_path
from .._qemu.encryption import WRONG_PASSPHRASE
from .._qemu.node import Image
from .inspection import Inspected


def source_image(source: Inspected, *, passphrase: str | None) -> Image:
    """The source and all below it, by the files that were inspected where they are held."""
    layers = [link for link in source.chain if link.role in (IMAGE, BACKING)]
    if not source.pinned and not needs_passphrase(source) or _names_are_followed(layers):
        return Image(source.path, source.format)
    image: Image | None = None
    for link in reversed(layers):
        image = Image(
            link.real_path,
            link.facts.format,
            passphrase=passphrase if is_encrypted(link) else None,
            descriptor=source.pinned.get(link.real_path),
            data_file=_data_file(link, source),
            backing=image,
        )
    return image or Image(source.path, source.format)


def needs_passphrase(source: Inspected) -> bool:
    """Whether a layer of the source can't be read without one."""
    return any(is_encrypted(link) for link in source.chain)


def is_encrypted(link: Link) -> bool:
    """Whether a file's guest data are encrypted by its own format."""
    return link.role in (IMAGE, BACKING) and (link.facts.format == "luks" or link.facts.encryption is not None)


def _names_are_followed(layers: list[Link]) -> bool:
    """QEMU's vmdk driver finds extents and parents by names only, relative to the descriptor's own."""
    return any(
        link.facts.format == "vmdk" and (link.facts.references or link.facts.backing is not None) for link in layers
    )


def _data_file(link: Link, source: Inspected) -> Image | None:
    names = [one.name for one in link.facts.references if one.kind == "data-file"]
    if not names:
        return None
    named = backing_path(link.path, names[0])
    held = next((other for other in source.chain if other.path == named), None)
    real = held.real_path if held else named
    return Image(real, "raw", descriptor=source.pinned.get(real))


@contextlib.contextmanager
def told_clearly(source: Image, target: str) -> Iterator[None]:
    """Let an engine's error name files instead of descriptors, and a wrong passphrase be an option's error."""
    try:
        yield
    except EngineError as error:
        text = str(error)
        if WRONG_PASSPHRASE in str(error.details.get("stderr")):
            raise _wrong_passphrase(source, target, text) from error
        for layer in _layers(source):
            text = layer.path.join(re.split(rf"/proc/self/fd/{layer.descriptor}\b", text))
        raise type(error)(text, **error.details) from error


def _wrong_passphrase(source: Image, target: str, text: str) -> InvalidOption:
    if source.passphrase is None or target.replace(",", ",,") in text:
        return InvalidOption(
            f"passphrase: it does not open {target}; give the one that it was made with, or 'force: true' to make it again."
        )
    return InvalidOption(f"src_passphrase: it does not open {source.path}; give the one that it was made with.")


def _layers(image: Image | None) -> Iterator[Image]:
    while image is not None:
        yield image
        if image.data_file is not None:
            yield image.data_file
        image = image.backing
