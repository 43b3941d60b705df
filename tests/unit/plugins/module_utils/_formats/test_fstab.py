# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.imageops.fleet.plugins.module_utils._formats.fstab import Entry, needed_entries

TEXT = """
# UUID=x /usr ext4 defaults 0 2
UUID=r  /  ext4  defaults  0 1
UUID=b\t/boot ext4 ro,nofail
PARTUUID=p /boot/efi vfat
LABEL=d /data xfs
LABEL=h /home xfs x-nofail,noauto 0 0
/boot
"""


def test_what_a_build_needs() -> None:
    assert needed_entries(TEXT) == [
        Entry("UUID=b", "/boot", True),
        Entry("PARTUUID=p", "/boot/efi", False),
        Entry("LABEL=h", "/home", True),
    ]
