# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An image as QEMU opens it: a file and its format, or every node of its graph by name of its driver.

The whole graph is given where a passphrase, a pinned file or a window of a device needs it. Then no name that stands in an
image's header is followed.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from .._errors import InvalidOption
from .._formats.names import qemu_driver
from .option import joined

# Descriptors of this process, and of the engine that inherits them.
_DESCRIPTOR = "/proc/self/fd/{}"


@dataclass(frozen=True)
class Image:
    """A file and its format; the path is absolute, so QEMU takes it for neither an option nor a protocol.

    `descriptor` is an open file that is opened again instead of the path; `window` is where in the file the image is (its
    first byte, and how many it has), as in an archive; `length` are the only bytes of a raw image that count; `data_file` and
    `backing` stand for those that the header names.
    """

    path: str
    format: str
    passphrase: str | None = field(default=None, repr=False)
    descriptor: int | None = None
    window: tuple[int, int] | None = None
    length: int | None = None
    data_file: Image | None = None
    backing: Image | None = None

    def __post_init__(self) -> None:
        if not os.path.isabs(self.path):
            raise InvalidOption(f"path: '{self.path}' is not an absolute path.")

    @property
    def driver(self) -> str:
        """QEMU's name of the format."""
        return qemu_driver(self.format)

    @property
    def plain(self) -> bool:
        """Whether path and format say all."""
        special = (self.passphrase, self.descriptor, self.window, self.length, self.data_file, self.backing)
        return all(value is None for value in special)


@dataclass(frozen=True)
class Opening:
    """The parts of a command line that name images, and the descriptors that the command must inherit."""

    objects: tuple[str, ...]
    descriptors: tuple[int, ...]
    secrets: dict[str, str]

    def options(self, image: Image) -> str:
        """The image for --image-opts."""
        return joined(list(self._node(image))) or ""

    def key_options(self, image: Image) -> list[str]:
        """`-o` and its text for a new image that has a passphrase, else nothing."""
        if image.passphrase is None:
            return []
        prefix = "encrypt." if image.driver == "qcow2" else ""
        kind = "encrypt.format=luks," if prefix else ""
        return ["-o", f"{kind}{prefix}key-secret={self.secret(image)}"]

    def secret(self, image: Image) -> str:
        """The id of the object that holds the image's passphrase."""
        return self.secrets[str(image.passphrase)]

    def _node(self, image: Image, prefix: str = "") -> Iterator[tuple[str, str]]:
        yield f"{prefix}driver", image.driver
        if image.passphrase is not None:
            key = "encrypt.key-secret" if image.driver == "qcow2" else "key-secret"
            yield f"{prefix}{key}", self.secret(image)
        if image.length is not None:
            yield f"{prefix}size", str(image.length)
        yield from self._file(image, f"{prefix}file.")
        if image.data_file is not None:
            yield from self._file(image.data_file, f"{prefix}data-file.")
        if image.backing is not None:
            yield from self._node(image.backing, f"{prefix}backing.")

    def _file(self, image: Image, prefix: str) -> Iterator[tuple[str, str]]:
        if image.window is not None:
            yield f"{prefix}driver", "raw"
            yield f"{prefix}offset", str(image.window[0])
            yield f"{prefix}size", str(image.window[1])
            prefix += "file."
        yield f"{prefix}driver", "host_device" if is_block_device(image.path) else "file"
        name = image.path if image.descriptor is None else _DESCRIPTOR.format(image.descriptor)
        yield f"{prefix}filename", name


@contextlib.contextmanager
def opening(*images: Image) -> Iterator[Opening]:
    """Passphrases of `images` in files that only memory holds, for as long as a command needs them."""
    layers = [layer for image in images for layer in _layers(image)]
    phrases = dict.fromkeys(str(layer.passphrase) for layer in layers if layer.passphrase is not None)
    pinned = [layer.descriptor for layer in layers if layer.descriptor is not None]
    handles: list[int] = []
    try:
        objects, secrets = [], {}
        for number, phrase in enumerate(phrases):
            handles.append(_in_memory(phrase))
            secrets[phrase] = f"secret{number}"
            objects += ["--object", f"secret,id=secret{number},file={_DESCRIPTOR.format(handles[-1])}"]
        yield Opening(tuple(objects), (*handles, *pinned), secrets)
    finally:
        for handle in handles:
            os.close(handle)


def image_arguments(images: Sequence[Image], opened: Opening, *, flags: Sequence[str]) -> tuple[list[str], list[str]]:
    """Options and operands of a command that reads `images`; `flags` are those that name each one's format."""
    if all(image.plain for image in images):
        named = [word for flag, image in zip(flags, images) for word in (flag, image.driver)]
        return named, [image.path for image in images]
    return [*opened.objects, "--image-opts"], [opened.options(image) for image in images]


def is_block_device(path: str) -> bool:
    """Whether a block device is at `path`."""
    try:
        return stat.S_ISBLK(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _layers(image: Image) -> Iterator[Image]:
    yield image
    for below in (image.data_file, image.backing):
        if below is not None:
            yield from _layers(below)


def _in_memory(text: str) -> int:
    """A descriptor of a file that has no name and never touches a disk."""
    handle = os.memfd_create("secret", os.MFD_CLOEXEC)
    os.write(handle, text.encode())
    return handle
