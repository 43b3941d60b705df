# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.snapshots import (
    parse_snapshot,
    revert_is_suspect,
)

INTERNAL = """
<domainsnapshot>
  <name>b</name><description>x &lt; y</description><state>{state}</state><creationTime>7</creationTime>
  <parent><name>a</name></parent><memory snapshot='{memory}'/>
  <disks><disk name='vda' snapshot='{place}'/><disk name='sda' snapshot='no'/></disks>
  <domain><name>live</name><devices>
    <disk type='file' device='disk'><source file='/a.qcow2'/><target dev='vda'/></disk>
    <disk type='file' device='cdrom'><source file='/seed.iso'/><target dev='sda'/></disk>
  </devices></domain>
  {inactive}
</domainsnapshot>
"""


def text(state: str = "running", memory: str = "internal", place: str = "internal", inactive: str = "") -> str:
    return INTERNAL.format(state=state, memory=memory, place=place, inactive=inactive)


def test_everything_that_is_told() -> None:
    found = parse_snapshot(text(), current="b")
    assert found.as_dict() == {
        "name": "b", "kind": "internal", "memory": True, "state": "running", "parent": "a", "created": 7,
        "description": "x < y", "current": True,
    }  # fmt: skip
    assert found.disks == ("/a.qcow2",)


@pytest.mark.parametrize(
    ("state", "memory", "place", "kind", "ours"),
    [
        ("shutoff", "no", "internal", "internal", "stopped"),
        ("paused", "internal", "internal", "internal", "paused"),
        ("disk-snapshot", "no", "external", "external", "stopped"),
        ("running", "external", "external", "external", "running"),
        ("shutoff", "no", "external", "external", "stopped"),
    ],
)
def test_kinds_and_states(state: str, memory: str, place: str, kind: str, ours: str) -> None:
    found = parse_snapshot(text(state, memory, place), current="other")
    assert (found.kind, found.state, found.memory, found.current) == (kind, ours, memory != "no", False)


def test_the_definition_is_that_of_the_next_start() -> None:
    found = parse_snapshot(text(inactive="<inactiveDomain><name>defined</name></inactiveDomain>"), current="")
    assert found.definition is not None and found.definition.findtext("name") == "defined"
    assert parse_snapshot(text(), current="").definition.findtext("name") == "live"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("version", "suspect"),
    [((9, 0, 0), False), ((11, 1, 9), False), ((11, 2, 0), True), ((11, 3, 0), True), ((11, 4, 0), False)],
)
def test_versions_that_may_not_revert(version: tuple[int, int, int], suspect: bool) -> None:
    assert revert_is_suspect(version) is suspect
