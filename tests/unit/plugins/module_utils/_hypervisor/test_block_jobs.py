# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Callable

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import Conflict, EngineError, TimedOut, Unsupported
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor import block_jobs as jobs
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.sources import Disk, Layer


class Vm:
    """A domain with one disk; `told` are the answers about its job, one by one, the last again and again."""

    name = "web"

    def __init__(self, *told: dict[str, int], chain: tuple[str, ...] = ("/top", "/base")) -> None:
        self.told, self.active, self.chain = list(told), True, chain
        self.pivots: list[str] = []
        self.mirror = "<mirror/>"
        self.refused = 0
        self.raw = SimpleNamespace(blockJobInfo=self.info, blockJobAbort=self.abort)

    def info(self, target: str, flags: int) -> dict[str, int]:
        found = self.told[0]
        if len(self.told) > 1:
            self.told.pop(0)
        if not found:
            self.chain = self.chain[1:] or self.chain
        return found

    def abort(self, target: str, flags: int) -> None:
        assert flags == 3
        if self.refused:
            self.refused -= 1
            raise EngineError("libvirt refused changing over: block job 'commit-vda' not ready for pivot yet.")
        self.pivots.append(target)

    def disks(self, *, inactive: bool = False) -> list[Disk]:
        layers = tuple(Layer(path, "qcow2") for path in self.chain)
        return [Disk("vda", "disk", "virtio", self.chain[0], "qcow2", False, layers)]

    def xml(self, *, inactive: bool) -> Any:
        from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.xml import parse

        return parse(f"<domain><devices><disk><target dev='vda'/>{self.mirror}</disk></devices></domain>")


def wait(look: Callable[[], bool], timeout: float, *, interval: float) -> bool:
    return any(look() for _turn in range(5))


RUNS = {"type": 4, "cur": 1 << 20, "end": 4 << 20}
COPIED = {"type": 4, "cur": 4 << 20, "end": 4 << 20}


def finish(vm: Any, *, timeout: float = 0) -> list[int]:
    """What finishing told before each change-over."""
    told: list[int] = []
    jobs.finish_commit(vm, "vda", top="/top", timeout=timeout, wait=wait, leaving=lambda: told.append(len(vm.pivots)))
    return told


def test_a_job_is_told_in_words() -> None:
    vm: Any = Vm(RUNS)
    assert jobs.block_jobs(vm) == [{"target": "vda", "type": "active-commit", "done": 1 << 20, "total": 4 << 20}]
    vm.active = False
    assert jobs.block_jobs(vm) == []


def test_a_merge_ends_when_the_layer_has_left() -> None:
    vm: Any = Vm(RUNS, RUNS, {})
    assert finish(vm) == []
    assert vm.chain == ("/base",) and vm.pivots == []


def test_the_active_layer_is_left_when_it_is_ready() -> None:
    vm: Any = Vm(RUNS, {})
    vm.mirror = "<mirror ready='yes'/>"
    assert finish(vm) == [0]
    assert vm.pivots == ["vda"]


def test_a_job_of_which_libvirt_forgot_the_mirror_is_ended_when_all_is_copied() -> None:
    vm: Any = Vm(RUNS, COPIED, {})
    vm.mirror = ""
    assert finish(vm) == [0]
    assert vm.pivots == ["vda"]


def test_a_job_that_is_not_ready_a_moment_longer() -> None:
    vm: Any = Vm(RUNS, COPIED, COPIED, {})
    vm.mirror, vm.refused = "<mirror ready='yes'/>", 2
    finish(vm)
    assert vm.pivots == ["vda"]


def test_what_libvirt_never_lets_end_is_told() -> None:
    vm: Any = Vm(COPIED)
    vm.mirror, vm.refused = "", 1000
    with pytest.raises(EngineError, match=r"go on below it \(.*not ready for pivot yet\); start libvirtd again"):
        finish(vm)


@pytest.mark.parametrize(
    ("mirror", "told", "forgotten"),
    [("<mirror ready='pivot'/>", {}, True), ("<mirror ready='yes'/>", RUNS, False), ("", {}, False)],
)
def test_an_end_of_a_commit_that_libvirt_forgot(mirror: str, told: dict[str, int], forgotten: bool) -> None:
    vm: Any = Vm(told)
    vm.mirror = mirror
    assert jobs.forgotten_end(vm, "vda") is forgotten


def test_what_takes_too_long_tells_how_far_it_is() -> None:
    vm: Any = Vm(RUNS)
    with pytest.raises(TimedOut, match=r"within 3 seconds \(1 MiB of 4 MiB are done\); libvirt goes on"):
        finish(vm, timeout=3)


def test_a_job_that_vanished_is_told() -> None:
    vm: Any = Vm({}, chain=("/top",))
    with pytest.raises(EngineError, match="ended without having done it"):
        finish(vm, timeout=3)
    vm.active = False
    with pytest.raises(Conflict, match="stopped while /top was being merged"):
        finish(vm, timeout=3)


def test_a_disk_that_is_busy_a_moment_longer() -> None:
    vm: Any = Vm({})
    asked: list[int] = []

    def commit(target: str, base: str, top: str, bandwidth: int, flags: int) -> None:
        asked.append(flags)
        if len(asked) < 3:
            raise Unsupported("libvirt refused: disk 'vda' already in active block job.")

    vm.raw.blockCommit = commit
    jobs.start_commit(vm, "vda", top="/top", base="/base", wait=wait)
    assert len(asked) == 3 and asked[0] != 0

    def refuse(*words: Any) -> None:
        raise Unsupported("libvirt refused: no.")

    vm.raw.blockCommit = refuse
    with pytest.raises(Unsupported, match="no"):
        jobs.start_commit(vm, "vda", top="/top", base="/base", wait=wait)


def test_the_job_of_somebody_else_is_not_given_up() -> None:
    vm: Any = Vm(RUNS)

    def commit(*words: Any) -> None:
        raise Unsupported("libvirt refused: disk 'vda' already in active block job.")

    vm.raw.blockCommit = commit
    with pytest.raises(Unsupported, match="already in active block job"):
        jobs.start_commit(vm, "vda", top="/top", base="/base", wait=wait)
    assert vm.pivots == []


def test_what_left_the_chain_meanwhile_is_not_begun_again() -> None:
    vm: Any = Vm({}, chain=("/base",))
    jobs.start_commit(vm, "vda", top="/top", base="/base", wait=wait)
