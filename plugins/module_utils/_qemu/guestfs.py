# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""libguestfs: a small machine that knows file systems, for discarding their free space and growing their partitions.

Its programs run with the backend "direct", as their own QEMU, and every call has an end in time.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

from .._errors import EngineError, TimedOut
from .bounded import run_bounded
from .node import Image

_FISH = "guestfish"
_PROGRAMS = ("virt-sparsify", "virt-resize", _FISH)
# timeout(1) says so by this exit code.
_TIMED_OUT = 124
_KILL_AFTER = 10
_MEBIBYTE = 1 << 20
# The only disk of the small machine; a row of its partition table, as guestfish prints it.
_DISK = "/dev/sda"
_ROW = re.compile(r"part_num: (\d+)\s+part_start: (\d+)\s+part_end: (\d+)")
_NAME = re.compile(rf"({_DISK}\d+)(?:: (\w+))?")
_SECTOR = 512
# What grows a file system into its partition.
_EXT = "e2fsck-f {0} : resize2fs {0}"
_GROWING = {
    "ext2": _EXT,
    "ext3": _EXT,
    "ext4": _EXT,
    "btrfs": "mount {0} / : btrfs-filesystem-resize /",
    "xfs": "mount {0} / : xfs-growfs /",
}
# Of these the small machine may lack the program (Debian: libguestfs-xfs); guestfish says "true" where it has it.
_XFS = "xfs"
_THERE = "true"
# What virt-resize announces of the partition that grows; what it then can't grow is an error.
_METHOD = "on {0} will be expanded using the .(\\w+). method"
PHYSICAL_VOLUME = "pvresize"


@dataclass(frozen=True)
class Partition:
    """A partition by its name in the small machine (/dev/sda1), its first and last byte, and what is on it, if that is known.

    `growing`: whether the small machine has the program that grows that.
    """

    name: str
    start: int = -1
    end: int = -1
    file_system: str = ""
    growing: bool = True

    @property
    def number(self) -> int:
        return int(self.name[len(_DISK) :])

    @property
    def can_grow_in_place(self) -> bool:
        """Whether its file system is of a kind that grows where it is."""
        return self.file_system in _GROWING


# What read_partitions reads; of a disk without a table part-list fails (-), or it tells the file system that fills the disk.
LOOK_AT_PARTITIONS = ("list-partitions", f"-part-list {_DISK}", "-list-filesystems", f"-feature-available {_XFS}")


def read_partitions(said: str) -> list[Partition]:
    """The partitions that guestfish told of, in their order on the disk."""
    lacking = () if _THERE in said.splitlines() else (_XFS,)
    places = {f"{_DISK}{number}": (int(start), int(end)) for number, start, end in _ROW.findall(said)}
    told = [found.groups("") for found in map(_NAME.fullmatch, said.splitlines()) if found]
    kinds = {name: kind for name, kind in told if kind}
    found = [
        Partition(name, *places.get(name, (-1, -1)), kinds.get(name, ""), kinds.get(name) not in lacking)
        for name, kind in told
        if not kind
    ]
    return sorted(found, key=lambda partition: partition.start)


def growing_commands(partition: Partition, *, size: int) -> list[str]:
    """What guestfish does so that the last partition takes all of a disk of `size` bytes; nothing when it has it already."""
    # A GPT has its second half in the last sectors.
    end = size // _MEBIBYTE * _MEBIBYTE - _MEBIBYTE
    if end <= partition.end:
        return []
    # On a disk with another table there is nothing to be moved to the end.
    table = [f"-part-expand-gpt {_DISK}", f"part-resize {_DISK} {partition.number} {end // _SECTOR - 1}"]
    return [*table, *([_GROWING[partition.file_system].format(partition.name)] if partition.growing else [])]


@dataclass(frozen=True)
class Guestfs:
    """The programs of libguestfs; `emulated` where the processor must be emulated, `seconds` is each call's end."""

    emulated: bool
    seconds: int
    pass_fds: tuple[int, ...] = ()

    def launch(self, *, seconds: int) -> None:
        """Start the small machine and end it; raises TimedOut or EngineError when that can't be done here."""
        with tempfile.NamedTemporaryFile() as disk:
            disk.truncate(_MEBIBYTE)
            self.run([_FISH, "--ro", "--format=raw", "-a", disk.name, "run"], seconds=seconds)

    def discard_free_space(self, image: Image) -> None:
        """Let every file system in `image` (which is changed) discard what it doesn't use, and swap what it holds."""
        self.run(["virt-sparsify", "--quiet", "--in-place", "--format", image.driver, image.path])

    def partitions(self, image: Image) -> list[Partition]:
        """The partitions in their order on the disk.

        Their numbers tell nothing of it: sda14 and sda15 of Debian's and Ubuntu's cloud images stand before sda1.
        """
        return read_partitions(self._fish(image, "run", *LOOK_AT_PARTITIONS, mode="--ro"))

    def grow_last(self, image: Image, partition: Partition, *, size: int) -> None:
        """Let the last partition on the disk of `size` bytes, and its file system if it can, take the room behind it; in place.

        Numbers and identities of all partitions stay, which virt-resize makes anew.
        """
        commands = growing_commands(partition, size=size)
        if commands:
            self._fish(image, "run", *commands, mode="--rw")

    def _fish(self, image: Image, *commands: str, mode: str) -> str:
        words = " : ".join(commands).split()
        return self.run([_FISH, mode, f"--format={image.driver}", "-a", image.path, "--", *words])

    def expand(self, source: Image, target: Image, partition: str) -> str:
        """Copy `source` onto the larger `target`, with one partition grown into the new room.

        The method by which what is in it grew too, such as resize2fs or PHYSICAL_VOLUME; empty when it did not.
        """
        formats = ["--format", source.driver, "--output-format", target.driver]
        said = self.run(["virt-resize", *formats, "--expand", partition, source.path, target.path])
        told = re.search(_METHOD.format(partition), " ".join(said.split()))
        return told.group(1) if told else ""

    def words(self, argv: Sequence[str]) -> list[str]:
        """The command that runs one of the programs with the settings that it needs here."""
        settings = ["LIBGUESTFS_BACKEND=direct"]
        if self.emulated:
            settings.append("LIBGUESTFS_BACKEND_SETTINGS=force_tcg")
        return ["env", *settings, *argv]

    def run(self, argv: Sequence[str], *, seconds: int = 0) -> str:
        """What one of the programs prints; raises TimedOut or EngineError."""
        limit = seconds or self.seconds
        words = ["timeout", f"--kill-after={_KILL_AFTER}", str(limit), *self.words(argv)]
        said = run_bounded(words, pass_fds=self.pass_fds)
        if said.rc == _TIMED_OUT:
            raise TimedOut(f"{argv[0]} did not end within {limit} seconds.", cmd=list(argv))
        if said.rc != 0:
            why = _error_of(argv[0], said.stderr) or f"exit code {said.rc}"
            raise EngineError(f"{argv[0]} failed: {why}", cmd=list(argv), rc=said.rc, stderr=said.stderr)
        return said.stdout


def _error_of(program: str, stderr: str) -> str:
    """What went wrong. After an error these programs may say how to report a bug, and before it what they did."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    start = f"{program}: error: "
    errors = [line[len(start) :] for line in lines if line.startswith(start)]
    return (errors or lines or [""])[-1]


def missing_programs() -> str:
    """Which of the programs this host lacks, as a sentence; empty when all are there."""
    return not_installed([name for name in _PROGRAMS if shutil.which(name) is None])


def not_installed(lacking: Sequence[str]) -> str:
    """That programs are not installed, with their packages; nothing for none."""
    if not lacking:
        return ""
    from .._packages import package

    packages = ", ".join(sorted({package(name) for name in lacking}))
    return f"{', '.join(lacking)} is not installed (packages: {packages}, and a kernel such as {package('kernel')})"
