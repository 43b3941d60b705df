# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The UEFI variables of a VM that is published, and what of the VM's firmware can't be."""

from __future__ import annotations

import os
from collections.abc import Iterator

from .._catalog.digest import digest_of
from .._catalog.variables import MOST_VARIABLES, Variables
from .._errors import Conflict, Unsupported
from .._files import fingerprint, write_bytes
from .._hypervisor.firmware import secure_boot
from .._hypervisor.xml import Element, get
from .._qemu.image import Image, convert_arguments
from .._transfer.zstd import FrameCompressor
from .image_publish_request import SourceVariables
from .inspection import inspect
from .operation import Tools
from .vm_clone_facts import nvram_of
from .vm_variables import settled

_QCOW2 = "qcow2"
# One for all, so that equal variables are one blob.
_LEVEL = 3


def source_variables(root: Element, uri: str, *, running: bool) -> SourceVariables | None:
    """The variables of the VM that `root` describes; None for one that has none, or not yet, or not in a file."""
    path = nvram_of(root, uri)
    found = fingerprint(path) if path and not _is_elsewhere(root) else None
    if found is None:
        return None
    _require_sensible(path, found.size)
    return SourceVariables(
        path, get(root, "os/nvram/@format", "raw"), secure_boot(root), {} if running else found.as_dict()
    )


def _require_sensible(path: str, size: int) -> None:
    """Raise Unsupported for what a pull of the image would refuse."""
    if not 0 < size <= MOST_VARIABLES:
        raise Unsupported(
            f"vm: {path}, the VM's UEFI variables, has {size} bytes, and from 1 to {MOST_VARIABLES} are published; publish the VM's disks by disks."
        )


def _is_elsewhere(root: Element) -> bool:
    return get(root, "os/nvram/@type", "file") != "file"


def left_out(root: Element) -> Iterator[str]:
    """What isn't published of the VM that `root` describes, and what that means."""
    name = get(root, "name")
    if root.find("devices/tpm") is not None:
        yield (
            f"vm: {name} has a TPM, and its state is not in the image, since it is that VM's identity and may hold secrets. VMs made of the "
            f"image get a fresh TPM, so what the guest sealed in this one (keys of encrypted disks, for instance) stays sealed there."
        )
    if _is_elsewhere(root):
        yield f"vm: the UEFI variables of {name} are in no file of this host, so they are not in the image."


def content_of(source: SourceVariables, *, folder: str, tools: Tools) -> bytes:
    """The variables as the firmware sees them; raises Conflict when the file isn't what the task looked at, Unsupported for none or too many.

    Of a running VM they are as after a power cut, as its disks are. Files are written to `folder` when need be.
    """
    if source.made and source.made != _fingerprint(source.path):
        raise Conflict(
            f"vm: {source.path}, the VM's UEFI variables, was written to since the task looked at it; run the task again."
        )
    data = settled(source.path, changing=not source.made, clock=tools.clock)
    content = _unwrapped(source, data, folder, tools) if source.format == _QCOW2 else data
    _require_sensible(source.path, len(content))
    return content


def _fingerprint(path: str) -> dict[str, object]:
    found = fingerprint(path)
    return found.as_dict() if found else {}


def _unwrapped(source: SourceVariables, data: bytes, folder: str, tools: Tools) -> bytes:
    """What is in the qcow2 image `data`, without its snapshots."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    image, plain = os.path.join(folder, "variables.qcow2"), os.path.join(folder, "variables.raw")
    write_bytes(image, data, durable=False)
    _require_sensible(source.path, inspect(image, declared=_QCOW2, option="vm").virtual_size)
    tools.commands.output(convert_arguments(Image(image, _QCOW2), Image(plain, "raw")))
    with open(plain, "rb") as stream:
        return stream.read()


def told_of(source: SourceVariables, content: bytes) -> Variables:
    """What the image's description says of them."""
    return Variables(digest_of(content), len(content), source.format, source.secure_boot)


def frame_of(content: bytes) -> bytes:
    """The blob that the image holds; equal variables give equal ones."""
    return FrameCompressor(_LEVEL).compress(content)
