# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the screen of a QEMU process shows."""

from __future__ import annotations

import os
import tempfile

from .._errors import EngineError, UnsafeImage
from .qmp_process import QemuProcess

# A picture of 16 million pixels is written in less.
_TIMEOUT = 60.0
# Since QEMU 7.1; before, and without libpng, there is only PPM.
_AS_PNG = {"format": "png"}


def screenshot(process: QemuProcess, *, most: int) -> bytes:
    """The picture as QEMU gives it (PNG or PPM), at most `most` bytes; it is written to a file without a name, passed by handle."""
    with tempfile.TemporaryFile() as stream:
        writer = os.open(f"/proc/self/fd/{stream.fileno()}", os.O_WRONLY)
        try:
            number = process.execute("add-fd", {"opaque": "imageops"}, fd=writer)["fdset-id"]
        finally:
            os.close(writer)
        try:
            _dump(process, f"/dev/fdset/{number}")
        finally:
            process.execute("remove-fd", {"fdset-id": number})
        stream.seek(0)
        data = stream.read(most + 1)
    if len(data) > most:
        raise UnsafeImage(f"The engine's picture of the screen has more than {most} bytes; nothing was written.")
    return data


def _dump(process: QemuProcess, name: str) -> None:
    try:
        process.execute("screendump", {"filename": name, **_AS_PNG}, timeout=_TIMEOUT)
    except EngineError as error:
        if "format" not in str(error) and "PNG" not in str(error):
            raise
        process.execute("screendump", {"filename": name}, timeout=_TIMEOUT)
