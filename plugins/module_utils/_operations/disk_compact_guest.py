# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of a compaction that need to know file systems: discarding their free space, growing their partitions."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field

from .._commands import Commands
from .._errors import EngineError, ImageOpsError, InvalidOption, TimedOut, Unsupported
from .._faults import fault_point
from .._files import remove
from .._hypervisor.acceleration import kvm_obstacle
from .._jobs.progress import Progress
from .._qemu.guestfs import PHYSICAL_VOLUME, Guestfs, Partition, missing_programs
from .._qemu.image import QemuImg
from .._qemu.node import Image
from .._qemu.options import engine_arguments
from .disk_compact_request import ALWAYS, LAST, NEVER, CompactRequest
from .whole_copy import copy_beside

# An emulated machine on a slow host starts in a minute; the first start builds its image besides.
_LAUNCH_SECONDS = 180
_AT_BOOT = "the partition and its file system grow at the guest's next start where cloud-init (growpart) is installed"

_IN_GUEST = "grow in the guest"
_FILE_SYSTEM = "in place"


@dataclass
class GuestPart:
    """The file systems' part of one compaction: whether it can be done here, and what was done, for the result."""

    request: CompactRequest
    progress: Progress
    lock: int
    told: dict[str, str] = field(default_factory=dict)
    obstacle: str = ""
    _guestfs: Guestfs | None = None

    @property
    def wanted(self) -> bool:
        """Whether anything is asked for that needs it."""
        return self.request.discard != NEVER or self._grows_partition

    @property
    def _grows_partition(self) -> bool:
        return self.request.grows and self.request.grow_partition is not None

    def probe(self) -> None:
        """Look early whether libguestfs works here; raises Unsupported when the task can't do without."""
        if self.wanted:
            self.obstacle = missing_programs() or self._launched()
        if self.obstacle and self.request.discard == ALWAYS:
            raise Unsupported(f"discard: libguestfs can't be used on this host: {self.obstacle}.")
        if self.request.discard == NEVER:
            self.told["discard"] = "not asked for"
        elif self.obstacle:
            self.told["discard"] = f"not done: {self.obstacle}"
        if self.request.grows:
            self.told["growth"] = "the disk only" if self.obstacle or not self._grows_partition else ""
        if self.obstacle and self._grows_partition:
            self.told["growth"] = f"the disk only, {_AT_BOOT}: {self.obstacle}"

    def _launched(self) -> str:
        self.progress.phase("start libguestfs")
        emulated = bool(kvm_obstacle(arch=platform.machine()))
        self._guestfs = Guestfs(emulated, self.request.guest_timeout, (self.lock,))
        try:
            self._guestfs.launch(seconds=min(_LAUNCH_SECONDS, self.request.guest_timeout))
        except ImageOpsError as error:
            return str(error).rstrip(".")
        return ""

    def prepare(self, work: str, grown: str) -> Image:
        """The image whose content the new one gets: the original, or a copy in one of the files `work` and `grown`."""
        request = self.request
        image = Image(request.path, request.format)
        if not self.wanted or self.obstacle or self._guestfs is None:
            return image
        if request.discard != NEVER:
            image = self._discarded(image, work, self._guestfs)
        if self._grows_partition:
            image = self._grown(image, grown, self._guestfs)
            remove(work)
        return image

    def _discarded(self, image: Image, work: str, guestfs: Guestfs) -> Image:
        self.progress.phase("copy", total=self.request.old_size)
        copy_beside(image.path, work, self.progress, bandwidth=self.request.bandwidth)
        fault_point("compact:copied")
        self.progress.phase("discard")
        copied = Image(work, image.format)
        try:
            guestfs.discard_free_space(copied)
        except (EngineError, TimedOut) as error:
            if self.request.discard == ALWAYS:
                raise
            remove(work)
            self.told["discard"] = f"not done: {str(error).rstrip('.')}"
            return image
        if QemuImg(Commands()).check(copied).corrupt:
            raise EngineError(f"The copy of {image.path} is corrupt after the discard, and was thrown away.")
        self.told["discard"] = "done"
        fault_point("compact:discarded")
        return copied

    def _grown(self, image: Image, grown: str, guestfs: Guestfs) -> Image:
        self.progress.phase("look at partitions")
        found = guestfs.partitions(image)
        chosen, target = self._partition(found), Image(grown, image.format)
        if chosen is found[-1] and chosen.can_grow_in_place:
            self._grow_last(image, target, chosen, guestfs)
            self.told["growth"] = _what_grew(chosen, _FILE_SYSTEM if chosen.growing else "")
        else:
            self._require_order(found)
            self.told["growth"] = _what_grew(chosen, self._expand(image, target, chosen, guestfs))
        fault_point("compact:grown")
        return target

    def _grow_last(self, image: Image, target: Image, partition: Partition, guestfs: Guestfs) -> None:
        if image.path == self.request.path:
            self.progress.phase("copy", total=self.request.old_size)
            copy_beside(image.path, target.path, self.progress, bandwidth=self.request.bandwidth)
        else:
            os.rename(image.path, target.path)
        self.progress.phase("grow")
        QemuImg(Commands()).resize(target, size=self.request.size, pass_fds=(self.lock,))
        guestfs.grow_last(target, partition, size=self.request.size)

    def _require_order(self, found: list[Partition]) -> None:
        """Raise Unsupported where virt-resize, which numbers partitions anew, would give them other numbers."""
        numbers = [partition.number for partition in found]
        if numbers != sorted(numbers):
            raise Unsupported(
                f"grow_partition: {self.request.path} has partitions that aren't numbered in their order on the disk, and of these only the "
                f"last one grows, with ext2, ext3, ext4, btrfs or XFS; leave it out, and grow it in the guest."
            )

    def _expand(self, image: Image, target: Image, partition: Partition, guestfs: Guestfs) -> str:
        self.progress.phase("grow")
        options = engine_arguments(self.request.format, self.request.options)
        QemuImg(Commands()).create(target, size=self.request.size, options=options, pass_fds=(self.lock,))
        return guestfs.expand(image, target, partition.name)

    def _partition(self, found: list[Partition]) -> Partition:
        wanted = self.request.grow_partition or LAST
        if wanted == LAST and found:
            return found[-1]
        for partition in found:
            if str(partition.number) == wanted:
                return partition
        known = ", ".join(_short(partition) for partition in found) or "none"
        raise InvalidOption(f"grow_partition: {self.request.path} has no partition {wanted}; it has: {known}.")


def _what_grew(partition: Partition, method: str) -> str:
    """What grew, for the result; `method` says how that in the partition did, empty when it did not."""
    name = _short(partition)
    if method == PHYSICAL_VOLUME:
        return f"the disk, the partition {name} and its LVM physical volume; {_IN_GUEST} the logical volumes (lvextend --resizefs)"
    if method:
        return f"the disk, the partition {name} and its file system"
    what = (
        f"its file system ({partition.file_system})"
        if partition.file_system not in ("", "unknown")
        else "what is in it"
    )
    return f"the disk and the partition {name}, not {what}, which libguestfs can't grow on this host; {_IN_GUEST} that"


def _short(partition: Partition) -> str:
    return partition.name.rpartition("/")[2]
