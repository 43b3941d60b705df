# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import NotFound
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor import backup
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.xml import Element, get, parse


class Raw:
    def __init__(self, text: str = "") -> None:
        self.text = text
        self.asked: list[Any] = []

    def backupBegin(self, *words: Any) -> None:
        self.asked.append(words)

    def backupGetXMLDesc(self, flags: int) -> str:
        if not self.text:
            raise NotFound("none")
        return self.text


class Domain:
    name = "web"

    def __init__(self, raw: Raw, described: str = "<domain/>") -> None:
        self.raw = raw
        self.described = described

    def xml(self, *, inactive: bool = True) -> Element:
        return parse(self.described)


def test_a_backup_shows_the_wanted_disks_at_once() -> None:
    raw = Raw()
    backup.begin_pull(Domain(raw), socket="/run/s", scratch={"vda": "/run/a", "sda": "/run/b"})  # type: ignore[arg-type]
    root = parse(raw.asked[0][0])
    assert root.get("mode") == "pull" and get(root, "server/@socket") == "/run/s" and raw.asked[0][1] is None
    assert [(get(disk, "scratch/@file"), disk.get("exportname")) for disk in root.iter("disk")] == [
        ("/run/a", "vda"),
        ("/run/b", "sda"),
    ]


def test_the_backup_that_is_under_way() -> None:
    told = "<domainbackup mode='pull'><server transport='unix' socket='/run/s'/></domainbackup>"
    assert backup.backup_socket(Domain(Raw(told))) == "/run/s"  # type: ignore[arg-type]
    assert backup.backup_socket(Domain(Raw("<domainbackup mode='push'/>"))) == ""  # type: ignore[arg-type]
    assert backup.backup_socket(Domain(Raw())) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("label", "owner"),
    [
        ("<imagelabel>+64055:+108</imagelabel>", (64055, 108)),
        ("<label>root:root</label>", (0, 0)),
        ("<label>nobody-is-called-so:root</label>", (os.geteuid(), os.getegid())),
        ("", (os.geteuid(), os.getegid())),
    ],
)
def test_whose_process_it_is(label: str, owner: tuple[int, int]) -> None:
    described = f"<domain><seclabel model='dac'>{label}</seclabel></domain>"
    assert backup.process_owner(Domain(Raw(), described)) == owner  # type: ignore[arg-type]
