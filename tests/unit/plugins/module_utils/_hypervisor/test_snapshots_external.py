# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Callable

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import EngineError
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.snapshots_external import external_call

TAKEN = "libvirt refused: unable to execute QEMU command 'blockdev-add': Duplicate nodes with node-name='libvirt-7-storage'."


class Vm:
    """A running domain without disks, whose libvirt refuses with these words, one by one."""

    name, active, state = "web", True, "running"

    def __init__(self, *refusals: str) -> None:
        self.refusals, self.asked = list(refusals), 0
        self.raw = SimpleNamespace(snapshotCreateXML=self.create)

    def create(self, text: str, flags: int) -> None:
        self.asked += 1
        if self.refusals:
            raise EngineError(self.refusals.pop(0))

    def disks(self, *, inactive: bool = False) -> list[Any]:
        return []


def call(vm: Any) -> Callable[[], None]:
    return external_call(vm, "s1", description="", overlays={}, memory="")


def test_numbers_of_nodes_that_are_taken_are_passed_over() -> None:
    vm = Vm(TAKEN, TAKEN)
    call(vm)()
    assert vm.asked == 3


@pytest.mark.parametrize(("refusals", "asked"), [([TAKEN] * 9, 4), ([TAKEN, "libvirt refused: no."], 2)])
def test_other_refusals_and_endless_ones_are_told(refusals: list[str], asked: int) -> None:
    vm = Vm(*refusals)
    with pytest.raises(EngineError):
        call(vm)()
    assert vm.asked == asked
