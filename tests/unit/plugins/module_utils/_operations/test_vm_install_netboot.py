# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_install_netboot import (
    SCRIPT,
    give,
    write_script,
)


def test_the_script_starts_what_lies_beside_it(tmp_path: Path) -> None:
    write_script(str(tmp_path), "quiet a=b", initrd=True)
    told = (tmp_path / SCRIPT).read_text()
    assert told == "#!ipxe\nkernel linux initrd=initrd quiet a=b\ninitrd initrd\nboot\n"


def test_a_kernel_alone(tmp_path: Path) -> None:
    write_script(str(tmp_path), "", initrd=False)
    assert (tmp_path / SCRIPT).read_text() == "#!ipxe\nkernel linux\nboot\n"


def test_the_server_alone_reads_it(tmp_path: Path) -> None:
    write_script(str(tmp_path), "", initrd=False)
    give(str(tmp_path), (os.geteuid(), os.getegid()))
    assert (tmp_path / SCRIPT).stat().st_mode & 0o777 == 0o400


def test_where_the_server_is_not_known(tmp_path: Path) -> None:
    write_script(str(tmp_path), "", initrd=False)
    give(str(tmp_path), None)
    assert (tmp_path / SCRIPT).stat().st_mode & 0o777 == 0o644
