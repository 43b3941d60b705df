# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import Unsupported
from ansible_collections.imageops.fleet.plugins.module_utils._operations.build_partitions import (
    FileSystem,
    mountable,
    mounts_of,
)

BOOT = FileSystem(1, 10, "ext4", {"UUID": "AAAA", "LABEL": "boot"})
ESP = FileSystem(11, 5, "vfat", {"UUID": "12AB-34CD", "PARTUUID": "p1"})
OTHER = FileSystem(16, 50, "btrfs", {"UUID": "b"})


def test_what_the_fstab_mounts_is_found_by_its_names() -> None:
    text = "# UUID=x /usr ext4\nUUID=aaaa /boot ext4 defaults 0 2\nPARTUUID=p1 /boot/efi vfat\nUUID=b /data btrfs\ntmpfs /tmp tmpfs\n"
    assert mounts_of(text, [ESP, BOOT, OTHER]) == {"/boot": BOOT, "/boot/efi": ESP}


@pytest.mark.parametrize("what", ["/dev/mapper/vg-var", "UUID=unknown", "LABEL="])
def test_what_is_needed_and_not_there_is_refused(what: str) -> None:
    with pytest.raises(Unsupported, match="build it on a host with libguestfs"):
        mounts_of(f"{what} /var ext4 defaults 0 2\n", [BOOT])
    for options in ("nofail", "defaults,nofail", "noauto,ro"):
        assert mounts_of(f"{what} /var ext4 {options} 0 2\n", [BOOT]) == {}


def test_a_mount_point_that_climbs_is_none_of_ours() -> None:
    assert mounts_of("UUID=aaaa /boot/../../etc ext4\nUUID=aaaa /etc ext4\n", [BOOT]) == {}


def test_the_largest_file_system_is_looked_at_first() -> None:
    assert mountable([ESP, BOOT, OTHER]) == [BOOT, ESP]
