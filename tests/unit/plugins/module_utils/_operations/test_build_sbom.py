# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

from ansible_collections.imageops.fleet.plugins.module_utils._operations.build_sbom import read_inventory, spdx

TOLD = 'os\tID=debian\nos\tVERSION_ID="12"\ndeb\tzlib1g\t1:1.2\tamd64\tinstalled\ndeb\tadduser\t3.1\tall\tinstalled\n'


def test_packages_stand_in_one_order() -> None:
    found = read_inventory(TOLD + "deb\tgone\t1\tall\tconfig-files\nnonsense\n")
    assert [one.name for one in found.packages] == ["adduser", "zlib1g"]
    assert found.system == {"ID": "debian", "VERSION_ID": "12"}


def test_the_document_names_packages_by_purl() -> None:
    document = json.loads(spdx(read_inventory(TOLD), name="a.qcow2", created="2026-01-01T00:00:00Z", tool="x"))
    assert document["spdxVersion"] == "SPDX-2.3"
    image, first, second = document["packages"]
    assert image["versionInfo"] == "12"
    assert first["externalRefs"][0]["referenceLocator"] == "pkg:deb/debian/adduser@3.1?arch=all"
    assert second["externalRefs"][0]["referenceLocator"] == "pkg:deb/debian/zlib1g@1%3A1.2?arch=amd64"
    assert len(document["relationships"]) == 3


def test_a_guest_can_put_nothing_into_the_document_but_texts() -> None:
    hostile = 'deb\t"}],"x":[{\t1\tall\tinstalled\ndeb\t' + "y" * 9999 + "\t1\tall\tinstalled\n"
    document = json.loads(spdx(read_inventory(hostile), name="a", created="", tool="x"))
    assert [len(one["name"]) for one in document["packages"]] == [1, 10, 512]


def test_the_same_packages_give_the_same_document() -> None:
    one, other = (spdx(read_inventory(text), name="a", created="t", tool="x") for text in (TOLD, TOLD + "z\n"))
    assert one == other
