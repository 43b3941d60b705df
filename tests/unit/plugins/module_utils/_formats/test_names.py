# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import InvalidOption
from ansible_collections.imageops.fleet.plugins.module_utils._formats.names import (
    FORMATS,
    canonical_format,
    qemu_driver,
)


@pytest.mark.parametrize("name", FORMATS)
def test_our_names_are_canonical(name: str) -> None:
    assert canonical_format(name) == name


@pytest.mark.parametrize("name", ["vpc", "vhd", "VPC", "VHD"])
def test_vhd_and_vpc_are_one_format(name: str) -> None:
    assert (canonical_format(name), qemu_driver(name)) == ("vhd", "vpc")


@pytest.mark.parametrize("name", ["", "parallels", "qcow", "nbd", "json:{}", "file"])
def test_an_unknown_name_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(InvalidOption, match=r"^src_format: .*raw, qcow2, vmdk, vhd, vhdx, vdi"):
        canonical_format(name, option="src_format")
