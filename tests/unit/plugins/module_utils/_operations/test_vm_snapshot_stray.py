# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.snapshots import Snapshot
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.sources import disks_of
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.xml import Element, parse
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_snapshot_stray import layers_of, strays_of

VM = """
<domain>
  <metadata><o:vm xmlns:o='https://imageops.fleet/domain/1'><o:disk target='vda' path='{declared}'/></o:vm></metadata>
  <devices><disk type='file'><driver type='qcow2'/><source file='{active}'/><target dev='vda'/></disk></devices>
</domain>
"""


class Domain:
    def __init__(self, **paths: Path) -> None:
        self._root = parse(VM.format(**paths))

    def xml(self) -> Element:
        return self._root

    def disks(self, *, inactive: bool) -> Any:
        return disks_of(self._root)


@pytest.fixture
def chain(tmp_path: Path) -> list[Path]:
    """raw below two overlays, the active one first."""
    base, middle, top = (tmp_path / name for name in ("base.raw", "middle", "top"))
    subprocess.run(["qemu-img", "create", "-q", "-f", "raw", base, "1M"], check=True)
    for path, below, format in ((middle, base, "raw"), (top, middle, "qcow2")):
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", below, "-F", format, path], check=True)
    return [top, middle, base]


def snapshot(**paths: Path) -> Snapshot:
    layers = {"vda": str(paths["layer"])} if "layer" in paths else {}
    overlays = {"vda": str(paths["overlay"])} if "overlay" in paths else {}
    return Snapshot("s", "external", False, "stopped", "", 0, "", True, None, (), layers, overlays)


def test_layers_with_formats(chain: list[Path]) -> None:
    assert layers_of(str(chain[0]), "qcow2") == [
        (str(chain[0]), "qcow2"),
        (str(chain[1]), "qcow2"),
        (str(chain[2]), "raw"),
    ]
    assert layers_of(str(chain[2]), "raw") == [(str(chain[2]), "raw")]
    assert layers_of("/nothing/there", "qcow2") == [] and layers_of("", "") == []


def test_what_nobody_names_is_stray(chain: list[Path]) -> None:
    top, middle, base = chain
    found = strays_of(Domain(active=top, declared=base), [], [])  # type: ignore[arg-type]
    assert [(one.target, one.overlays, one.base, one.base_format) for one in found] == [
        ("vda", (str(top), str(middle)), str(base), "raw")
    ]


@pytest.mark.parametrize("how", ["declared", "journal", "snapshot", "elsewhere"])
def test_what_is_known_is_not(chain: list[Path], how: str) -> None:
    top, middle, base = chain
    declared = {"declared": top, "elsewhere": Path("/another/disk")}.get(how, base)
    known = [str(top), str(middle)] if how == "journal" else []
    named = [snapshot(layer=middle, overlay=top)] if how == "snapshot" else []
    assert strays_of(Domain(active=top, declared=declared), named, known) == []  # type: ignore[arg-type]


def test_only_what_lies_above_a_known_layer(chain: list[Path]) -> None:
    top, middle, base = chain
    found = strays_of(Domain(active=top, declared=base), [snapshot(overlay=middle)], [])  # type: ignore[arg-type]
    assert [(one.overlays, one.base) for one in found] == [((str(top),), str(middle))]
