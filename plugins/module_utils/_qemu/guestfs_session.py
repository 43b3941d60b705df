# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest's disk with its file systems mounted in libguestfs' small machine, in which scripts run one after the other.

guestfish is told one command after the other. Files go in and out through descriptors that it inherits, so they have no name on the host.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Callable

from .._errors import EngineError, Unsupported
from .._formats.fstab import is_needed, needed_entries
from .guestfs import LOOK_AT_PARTITIONS, Guestfs, growing_commands, read_partitions
from .node import Image
from .talk import Talk

# An emulated machine on a busy host starts in minutes.
_LAUNCH_SECONDS = 600.0
_QUICK_SECONDS = 600.0
_MARK = "imageops-answered"
_NO = "imageops-failed"
_MOUNT = re.compile(r"^(/.*): (\S+)$")
# The first error of a command, as guestfish words it.
_ERROR = re.compile(r"libguestfs: error: (.*)", re.DOTALL)
_MOST_WORDS = 4000


class GuestfsSession:
    """The disk `image`, changed in place; `network` lets scripts that ask for it reach others.

    `carried` are the descriptors of all files that will be put or gotten. Raises EngineError or TimedOut when the machine doesn't
    start, and Unsupported for a disk without an operating system.
    """

    def __init__(
        self,
        guestfs: Guestfs,
        image: Image,
        *,
        network: bool,
        carried: Collection[int],
        watch: Callable[[], None],
    ) -> None:
        self._guestfs = guestfs
        self._image = image
        self._network = network
        self._talk = Talk(guestfs.words(["guestfish"]), pass_fds=(*guestfs.pass_fds, *sorted(carried)), watch=watch)

    def start(self) -> None:
        """Start the small machine."""
        drive = f"add-drive {_quoted(self._image.path)} format:{self._image.driver} discard:enable cachemode:unsafe"
        network = ["set-network true"] if self._network else []
        self._ask([*network, drive, "run"], seconds=_LAUNCH_SECONDS)

    def grow_last(self, *, size: int) -> str:
        """Let the last partition, and its file system, take the room behind it on the disk of `size` bytes; before `mount`.

        What grew, as a sentence. Raises Unsupported for what doesn't grow where it is.
        """
        found = read_partitions(self._ask(LOOK_AT_PARTITIONS))
        if not found or not found[-1].can_grow_in_place:
            raise Unsupported(
                "steps: the last partition on the disk has no ext2, ext3, ext4, btrfs or XFS file system, and others don't grow here."
            )
        commands = growing_commands(found[-1], size=size)
        # Several commands stand in one where they belong together.
        self._ask([one.strip() for command in commands for one in command.split(" : ")])
        name = found[-1].name.rpartition("/")[2]
        return f"the partition {name}{' and its file system' if found[-1].growing else ''}"

    def mount(self) -> None:
        """Find the guest's operating system and mount its file systems, and one in memory for its /run.

        Raises Unsupported without just one, EngineError for a file system that is needed and can't be mounted.
        """
        roots = self._ask(["inspect-os"]).split()
        if len(roots) != 1:
            what = "no operating system that libguestfs knows" if not roots else f"{len(roots)} operating systems"
            raise Unsupported(f"base: there is {what} on the disk, so nothing can be done in it.")
        found = [_MOUNT.match(line) for line in self._ask([f"inspect-get-mountpoints {roots[0]}"]).splitlines()]
        mounts = sorted((each.groups() for each in found if each), key=lambda each: len(each[0]))
        may_lack: set[str] = set()
        for point, device in mounts:
            self._mount(device, point, may_fail=point != "/" and (not is_needed(point) or point in may_lack))
            if point == "/":
                # Lines that can't be taken for an answer's end.
                said = self._ask(['-grep "[[:space:]]/" /etc/fstab'])
                may_lack = {entry.point for entry in needed_entries(said) if entry.may_lack}
        self._ask(['sh "mkdir -p /run && mount -t tmpfs -o mode=0755 imageops /run && mkdir -m 0700 /run/imageops"'])

    def _mount(self, device: str, point: str, *, may_fail: bool) -> None:
        try:
            self._ask([f"{'-' if may_fail else ''}mount {device} {_quoted(point)}"])
        except EngineError as error:
            raise EngineError(
                f"base: the guest mounts {device} at {point}, which libguestfs can't do ({error}); mend that file system, or let its line in the "
                f"guest's /etc/fstab say nofail.",
                **error.details,
            ) from error

    def put(self, handle: int, path: str) -> None:
        """Write what `handle` holds to the guest's file `path`."""
        self._ask([f"upload {_descriptor(handle)} {_quoted(path)}"])

    def get(self, path: str, handle: int) -> None:
        """Write the guest's file `path` to `handle`."""
        self._ask([f"download {_quoted(path)} {_descriptor(handle)}"])

    def command(self, command: str) -> None:
        """Run `command` by the guest's shell; raises EngineError with the last words on its standard error."""
        self._ask([f"sh {_quoted(command)}"], seconds=float(self._guestfs.seconds))

    def finish(self) -> None:
        """Discard what the file systems don't use, unmount them, end the machine."""
        self._ask(['sh "umount /run"'])
        for point in self._ask(["mountpoints"]).splitlines():
            device, _colon, where = point.partition(": ")
            if device and where:
                # Of file systems that can't, nothing is given back.
                self._ask([f"-fstrim {_quoted(where)}"])
        self._ask(["umount-all", "shutdown"])
        self._talk.end(seconds=_QUICK_SECONDS)

    def close(self) -> None:
        """End the machine, whatever it does."""
        self._talk.close()

    def _ask(self, commands: Sequence[str], *, seconds: float = _QUICK_SECONDS) -> str:
        """What the commands say."""
        # It may have gone before it was told all.
        try:
            for command in commands:
                self._talk.tell(f"{command}\n")
            self._talk.tell(f"echo {_MARK}\n")
            return self._talk.answer(_MARK, seconds=seconds).strip()
        except EngineError as error:
            raise _clear(error) from error


def _clear(error: EngineError) -> EngineError:
    """The error in the words of what failed in the guest."""
    said = str(error.details.get("stderr", ""))
    found = _ERROR.search(said)
    if found is None:
        return error
    return EngineError(found.group(1).strip()[-_MOST_WORDS:], stderr=said[-_MOST_WORDS:])


def _descriptor(handle: int) -> str:
    return f"/dev/fd/{handle}"


def _quoted(text: str) -> str:
    """A word for guestfish."""
    plain = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{plain}"'
