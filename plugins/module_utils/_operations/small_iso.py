# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ISO 9660 images by pycdlib: small ones that guests read settings from are written, those of others are read."""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from .._errors import UnsafeImage
from .._libraries import missing_library, use_own_libraries


def require_builder(option: str) -> Any:
    """The module `pycdlib`, loaded when an image is first needed; raises MissingLibrary in the name of `option`."""
    use_own_libraries()
    try:
        import pycdlib
    except ImportError:
        ways = "or run the role imageops.fleet.hypervisor, or install pycdlib from PyPI"
        raise missing_library("pycdlib", ways, option=option) from None
    return pycdlib


def build(files: Mapping[str, str], *, label: str, short: Mapping[str, str], option: str) -> bytes:
    """The bytes of an image with `files`, whose long names guests read by Rock Ridge or Joliet; `short` are those of ISO 9660."""
    image = require_builder(option).PyCdlib()
    image.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=label)
    for name, text in sorted(files.items()):
        data = text.encode()
        image.add_fp(io.BytesIO(data), len(data), iso_path=short[name], rr_name=name, joliet_path=f"/{name}")
    stream = io.BytesIO()
    image.write_fp(stream)
    image.close()
    return stream.getvalue()


# What pycdlib raises for damage beside its own errors.
_DAMAGE = (AttributeError, LookupError, TypeError, ValueError, struct.error)


class _Bounded(io.BufferedReader):
    """An image of which so many bytes are read as folders, and after that any number as files."""

    def __init__(self, path: str, most: int, what: str) -> None:
        super().__init__(io.FileIO(path))
        self._most, self._left, self._what, self.opening = most, most, what, True

    def read(self, size: int | None = -1, /) -> bytes:
        if self.opening:
            if size is None or not 0 <= size <= self._left:
                raise UnsafeImage(
                    f"{self._what} has, or claims, more than {self._most >> 20} MiB of folders, so it is not read; get it again."
                )
            self._left -= size
        return super().read(size)


@contextlib.contextmanager
def opened(path: str, *, folders: int, what: str, option: str) -> Iterator[Any]:
    """The image as pycdlib has it, which holds all `folders`, so many bytes at most, in memory.

    Raises UnsafeImage, in which the image is called `what`, for one that can't be read.
    """
    builder = require_builder(option)
    image = builder.PyCdlib()
    with _Bounded(path, folders, what) as stream:
        try:
            image.open_fp(stream)
            stream.opening = False
            yield image
        except (builder.pycdlibexception.PyCdlibException, *_DAMAGE) as error:
            raise UnsafeImage(f"{what} can't be read: {error or type(error).__name__}.") from None
