# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The snapshot table of qcow2."""

from __future__ import annotations

import struct

from .facts import Draft, Snapshot
from .qcow2_region import SNAPSHOT as KIND
from .qcow2_region import Region
from .reader import Malformed, Reader, text

# l1 offset, l1 entries, id length, name length, date s, date ns, vm clock, vm state size, extra data length
SNAPSHOT = ">QIHHIIQII"
SNAPSHOT_SIZE = 40
MAX_SNAPSHOTS = 1024
MAX_EXTRA = 1024
# QEMU makes names of 255 bytes at most; of what is longer, a thousand would fill a hundred MiB.
MAX_NAME = 1023
NO_ICOUNT = (1 << 64) - 1
MAX_L1_BYTES = 32 << 20


def read_snapshots(image: Reader, draft: Draft, *, offset: int, count: int, cluster_size: int) -> list[Region]:
    """List the snapshots and return the regions that they claim."""
    if count > MAX_SNAPSHOTS:
        raise Malformed(
            "too-many-snapshots", f"The image claims {count} internal snapshots, the limit is {MAX_SNAPSHOTS}."
        )
    if offset % cluster_size:
        raise Malformed("table-bounds", f"The snapshot table lies at {offset}, which is no cluster of its own.")
    regions, position, end = [], offset, offset
    for _turn in range(count):
        snapshot, l1_table, length = _snapshot(image, draft, position)
        draft.snapshots.append(snapshot)
        regions += [l1_table.checked(image, cluster_size)] if l1_table.length else []
        end = position + length
        # Entries begin at multiples of 8; QEMU does not write the padding behind the last one, and a file may end there.
        position = -(-end // 8) * 8
    if count:
        regions.append(Region("snapshot table", offset, end - offset).checked(image, cluster_size))
    return regions


def _snapshot(image: Reader, draft: Draft, offset: int) -> tuple[Snapshot, Region, int]:
    l1_offset, l1_entries, id_length, name_length, date, _ns, clock, state, extra = image.unpack(
        SNAPSHOT, offset, what="snapshot table"
    )
    if extra > MAX_EXTRA or l1_entries * 8 > MAX_L1_BYTES:
        raise Malformed("absurd-size", f"A snapshot claims {extra} bytes of extra data and {l1_entries} L1 entries.")
    if max(id_length, name_length) > MAX_NAME:
        raise Malformed("absurd-size", f"A snapshot claims a name of {max(id_length, name_length)} bytes.")
    length = SNAPSHOT_SIZE + extra + id_length + name_length
    data = image.exact(offset, length, what="snapshot table")[SNAPSHOT_SIZE:]
    disk_size = draft.virtual_size
    if extra >= 8:
        state = struct.unpack_from(">Q", data)[0]
    if extra >= 16:
        disk_size = struct.unpack_from(">Q", data, 8)[0]
    icount = struct.unpack_from(">Q", data, 16)[0] if extra >= 24 else NO_ICOUNT
    snapshot = Snapshot(
        id=text(data[extra : extra + id_length]),
        name=text(data[extra + id_length :]),
        vm_state_size=state,
        disk_size=disk_size,
        date=date,
        vm_clock_ns=clock,
        icount=None if icount == NO_ICOUNT else icount,
    )
    return snapshot, _l1_table(snapshot, l1_offset, l1_entries), length


def _l1_table(snapshot: Snapshot, offset: int, entries: int) -> Region:
    return Region(f"L1 table of snapshot '{snapshot.name}'", offset, entries * 8, KIND, snapshot.disk_size)
