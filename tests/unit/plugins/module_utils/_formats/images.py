# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real images made by qemu-img, and byte patches that keep checksums right."""

from __future__ import annotations

import json
import random
import struct
import subprocess
from pathlib import Path
from typing import Any

from ansible_collections.imageops.fleet.plugins.module_utils._formats.crc32c import crc32c
from ansible_collections.imageops.fleet.plugins.module_utils._formats.facts import ImageFacts
from ansible_collections.imageops.fleet.plugins.module_utils._formats.names import qemu_driver
from ansible_collections.imageops.fleet.plugins.module_utils._formats.probe import inspect

MIB = 1 << 20


def qemu_img(*arguments: str) -> str:
    """Run qemu-img and return what it printed."""
    return subprocess.run(["qemu-img", *arguments], check=True, capture_output=True, text=True).stdout


def create(path: Path, name: str, size: str, *options: str, backing: str | None = None) -> Path:
    """A new empty image."""
    chosen = [word for option in options for word in ("-o", option)]
    below = ["-b", backing, "-F", "qcow2"] if backing else []
    qemu_img("create", "-q", "-f", qemu_driver(name), *chosen, *below, str(path), *([] if backing else [size]))
    return path


def create_encrypted(path: Path, name: str, size: str, *options: str) -> Path:
    """A new image with a secret; its text lies in a file beside it.

    QEMU times its key derivation first, and gives up when other processes leave it too little of the processor.
    """
    secret = path.with_name(f"{path.name}.secret")
    secret.write_text("geheim")
    chosen = [word for option in options for word in ("-o", option)]
    told = ["--object", f"secret,id=s,file={secret}"]
    for left in reversed(range(40)):
        try:
            qemu_img("create", "-q", *told, "-f", name, *chosen, str(path), size)
            break
        except subprocess.CalledProcessError as error:
            if not left or "Unable to get accurate CPU usage" not in error.stderr:
                raise
    return path


def disk(path: Path, size: int, *, seed: int = 3) -> Path:
    """A raw disk with some data in every MiB, also at its very end."""
    source = random.Random(seed)
    with path.open("wb") as stream:
        stream.truncate(size)
        for start in range(0, size, MIB):
            stream.seek(min(start + source.randrange(0, MIB // 2, 512), size - 512))
            stream.write(source.randbytes(min(70000, size - stream.tell())))
        stream.seek(max(0, size - 3000))
        stream.write(source.randbytes(min(size, 3000)))
    return path


def convert(source: Path, path: Path, name: str, *options: str, compress: bool = False) -> Path:
    """The same disk in another format."""
    chosen = [word for option in options for word in ("-o", option)]
    qemu_img(
        "convert", *(["-c"] if compress else []), "-f", "raw", "-O", qemu_driver(name), *chosen, str(source), str(path)
    )
    return path


def qemu_io(path: Path, *commands: str) -> None:
    """Guest writes on a qcow2 image."""
    words = [word for command in commands for word in ("-c", command)]
    subprocess.run(["qemu-io", "-f", "qcow2", *words, str(path)], check=True, capture_output=True)


def qemu_info(path: Path, name: str) -> dict[str, Any]:
    """What QEMU itself says."""
    return dict(json.loads(qemu_img("info", "--output=json", "-f", qemu_driver(name), str(path))))


def qemu_version() -> tuple[int, ...]:
    """The version of the qemu-img that the tests use."""
    return tuple(int(part) for part in qemu_img("--version").split()[2].split("."))


def look(path: Path, declared: str | None = None) -> ImageFacts:
    """Our facts of a file."""
    with path.open("rb", buffering=0) as stream:
        return inspect(stream, size=path.stat().st_size, declared=declared)  # type: ignore[arg-type]


def rules(facts: ImageFacts, *severities: str) -> set[str]:
    """The rules of the findings, of these severities or of all."""
    return {found.rule for found in facts.findings if not severities or found.severity in severities}


def refused(facts: ImageFacts) -> set[str]:
    """The rules for which an image is not used."""
    return rules(facts, "unsafe", "error")


def patch(path: Path, offset: int, layout: str, *values: Any) -> None:
    """Overwrite fields; a negative offset counts from the end."""
    with path.open("r+b") as stream:
        stream.seek(offset, 0 if offset >= 0 else 2)
        stream.write(struct.pack(layout, *values))


def fetch(path: Path, offset: int, layout: str) -> tuple[Any, ...]:
    """Read fields."""
    with path.open("rb") as stream:
        stream.seek(offset, 0 if offset >= 0 else 2)
        return struct.unpack(layout, stream.read(struct.calcsize(layout)))


def sign_vhd(path: Path) -> None:
    """Give every VHD footer and the dynamic header a right checksum."""
    data = bytearray(path.read_bytes())
    for start, length, at in ((0, 512, 64), (len(data) - 512, 512, 64), (512, 1024, 36)):
        if data[start : start + 8] in (b"conectix", b"cxsparse"):
            data[start + at : start + at + 4] = bytes(4)
            data[start + at : start + at + 4] = (~sum(data[start : start + length]) & 0xFFFFFFFF).to_bytes(4, "big")
    path.write_bytes(data)


def sign_vhdx(path: Path) -> None:
    """Give both headers and both region tables of a VHDX right checksums."""
    with path.open("r+b") as stream:
        for start, length in ((65536, 4096), (131072, 4096), (196608, 65536), (262144, 65536)):
            stream.seek(start)
            data = bytearray(stream.read(length))
            if data[:4] in (b"head", b"regi"):
                data[4:8] = bytes(4)
                stream.seek(start + 4)
                stream.write(crc32c(bytes(data)).to_bytes(4, "little"))
