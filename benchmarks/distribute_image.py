# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The image that is distributed: a Debian with compilers and a database on bare ext4, and a second version with 5% of its bytes changed."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import tempfile
from pathlib import Path

PACKAGES = "systemd-sysv,linux-image-amd64,build-essential,gfortran,git,openssh-server,perl,postgresql,python3"
SIZE = "2G"
CHANGED = 0.05
PIECE = 1 << 16
# Other bytes that compress as the old ones do.
OTHER = bytes((value + 101) % 256 for value in range(256))


def make(folder: Path, source: Path | None) -> None:
    """v1.raw and v2.raw with their qcow2 forms in `folder`, made once; from the disk image `source` where one is given."""
    stamp = folder / "made-from"
    made_from = f"{source} {source.stat().st_mtime_ns}" if source else f"{PACKAGES} {SIZE}"
    if stamp.exists() and stamp.read_text() == made_from:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    first, second = folder / "v1.raw", folder / "v2.raw"
    if source:
        subprocess.run(["cp", "--sparse=always", source, first], check=True)
    else:
        _debian(first)
    subprocess.run(["cp", "--sparse=always", first, second], check=True)
    (_change_pieces if source else _change_files)(second)
    # rsync takes files of one size and one second for the same.
    os.utime(second, (second.stat().st_atime, first.stat().st_mtime + 60))
    for raw in (first, second):
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, raw.with_suffix(".qcow2")], check=True)
    stamp.write_text(made_from)


def _debian(target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        tree = Path(scratch) / "tree"
        subprocess.run(["mmdebstrap", "--quiet", f"--include={PACKAGES}", "bookworm", tree], check=True)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", tree, target, SIZE], check=True)
        shutil.rmtree(tree)


def _change_files(image: Path) -> None:
    """As an update of packages does: files are written anew beside the old ones and take their names."""
    with tempfile.TemporaryDirectory() as place:
        subprocess.run(["mount", "-o", "loop", image, place], check=True)
        try:
            files = sorted(path for path in Path(place).rglob("*") if path.is_file() and not path.is_symlink())
            random.Random(5).shuffle(files)
            left = int(sum(path.stat().st_size for path in files) * CHANGED)
            for path in files:
                size = path.stat().st_size
                if 0 < size <= left:
                    beside = path.with_name(f".{path.name}.new")
                    beside.write_bytes(path.read_bytes().translate(OTHER))
                    beside.rename(path)
                    left -= size
        finally:
            subprocess.run(["umount", place], check=True)


def _change_pieces(image: Path) -> None:
    """Pieces of a disk of any kind, where it isn't zero."""
    with image.open("r+b") as stream:
        size = os.fstat(stream.fileno()).st_size
        pieces = [at for at in range(0, size, PIECE) if any(_at(stream.fileno(), at))]
        for at in random.Random(5).sample(pieces, max(1, int(len(pieces) * CHANGED))):
            os.pwrite(stream.fileno(), _at(stream.fileno(), at).translate(OTHER), at)


def _at(handle: int, offset: int) -> bytes:
    return os.pread(handle, PIECE, offset)
