# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

"""OVF packages and boxes, sound and hostile, made with the standard library."""

import gzip
import hashlib
import io
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.imageops.fleet.plugins.module_utils._ansible.image_import_spec import IMAGE_IMPORT
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.specs import JOB_TASK_OPTIONS
from ansible_collections.imageops.fleet.plugins.module_utils._formats.deflate import vmdk_encoder
from ansible_collections.imageops.fleet.plugins.module_utils._formats.stream_vmdk_writer import append_stream_vmdk
from ansible_collections.imageops.fleet.plugins.module_utils._portable.machine import Drive, Machine, Nic
from ansible_collections.imageops.fleet.plugins.module_utils._portable.ovf_writer import DiskFile, Flavour, descriptor

SIZE = 3 << 20
Change = Callable[[tarfile.TarInfo], None]


def params_of(src: Path | str, dest: Path | str, **given: Any) -> dict[str, Any]:
    """The options of one item of image_import."""
    common = {name: option.get("default") for name, option in JOB_TASK_OPTIONS.items()}
    options = IMAGE_IMPORT.argument_spec
    found = {name: option.get("default") for name, option in options.items() if name != "imports"}
    return {**common, **found, "src": str(src), "dest": str(dest), **given}


class _Memory:
    size = SIZE

    def extents(self) -> list[tuple[int, int]]:
        return [(0, 65536), (2 << 20, (2 << 20) + 65536)]

    def read(self, offset: int, length: int) -> bytes:
        return DISK[offset : offset + length].ljust(length, b"\0")


DISK = b"begin".ljust(2 << 20, b"\0") + b"end of it".ljust(SIZE - (2 << 20), b"\0")


def vmdk() -> bytes:
    """A streamOptimized VMDK with DISK in it."""
    found = io.BytesIO()
    append_stream_vmdk(
        _Memory(), found.write, identity=bytes(32), adapter_type="lsilogic", hardware_version=13,
        encoder=vmdk_encoder(), report=lambda _end, _read: None,
    )  # type: ignore[arg-type] # fmt: skip
    return found.getvalue()


VMDK = vmdk()
MACHINE = Machine("web", vcpus=2, memory=2 << 30, drives=(Drive("vda"),), nics=(Nic("virtio", "", "lan"),))


def ovf(**changed: Any) -> bytes:
    """A descriptor of one disk; what is `changed` of it lies."""
    told = {"name": "web-disk1.vmdk", "size": len(VMDK), "capacity": SIZE, "populated": 0, **changed}
    return descriptor(MACHINE, [DiskFile(**told)], Flavour())


def manifest(files: Sequence[tuple[str, bytes]], algorithm: str = "sha256") -> bytes:
    return "".join(
        f"{algorithm.upper()}({name})= {hashlib.new(algorithm, data).hexdigest()}\n" for name, data in files
    ).encode()


def package(text: bytes | None = None) -> list[tuple[str, bytes]]:
    """The files of a sound package."""
    files = [("web.ovf", ovf() if text is None else text), ("web-disk1.vmdk", VMDK)]
    return [*files, ("web.mf", manifest(files))]


def tar(path: Path, files: Sequence[tuple[str, bytes]], *, change: Change | None = None, packed: bool = False) -> Path:
    """An archive of plain files, of which the last one is changed."""
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for number, (name, data) in enumerate(files):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            if change and number == len(files) - 1:
                change(member)
            archive.addfile(member, io.BytesIO(data) if member.isreg() else None)
    path.write_bytes(gzip.compress(memory.getvalue(), 1) if packed else memory.getvalue())
    return path
