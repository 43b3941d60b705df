# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one planner of what kind a snapshot is: internal or external, with memory or without, and why.

Pure: facts in, a choice or a refusal out. What speaks against a kind stands in one table per kind.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Callable

from .._errors import InvalidOption, Unsupported

INTERNAL, EXTERNAL, AUTO = "internal", "external", "auto"
# libvirt's NEWS of 12.0.0: until then a VM whose chains are deeper than about 25 layers could not be started again.
_DEEP, _DEEP_FIXED = 24, (12, 0, 0)
_OVERLAID = ("qcow2", "raw")


@dataclass(frozen=True)
class DiskFacts:
    """A disk that the guest may write: its active file (empty for what is none), its format, layers in its chain."""

    target: str
    path: str
    format: str
    depth: int = 1


@dataclass(frozen=True)
class VmFacts:
    """What the choice rests on; `kinds` are those of the snapshots that are there, `nvram` the file of UEFI variables."""

    vm: str
    state: str
    disks: tuple[DiskFacts, ...]
    persistent: bool = True
    uefi: bool = False
    nvram: str = ""
    tpm: bool = False
    kinds: frozenset[str] = frozenset()
    checkpoints: bool = False
    version: tuple[int, int, int] = (9, 0, 0)

    @property
    def runs(self) -> bool:
        """Whether there is memory."""
        return self.state not in ("stopped", "crashed")


@dataclass(frozen=True)
class Wish:
    """What the task asks for; `memory` None leaves it to the VM's state."""

    kind: str = AUTO
    memory: bool | None = None
    quiesce: bool = False


@dataclass(frozen=True)
class Choice:
    """What the snapshot will be, and why."""

    kind: str
    memory: bool
    reason: str
    quiesce: bool = field(default=False)


_Against = Callable[[VmFacts, bool, bool], str]


def choose(facts: VmFacts, wish: Wish) -> Choice:
    """The kind; raises Unsupported with what speaks against it, InvalidOption for wishes that contradict the VM's state."""
    _require_whole(facts)
    memory = _memory(facts, wish)
    quiesce = wish.quiesce and facts.runs
    against = {kind: _objections(kind, facts, memory, quiesce) for kind in (INTERNAL, EXTERNAL)}
    if wish.kind != AUTO:
        if against[wish.kind]:
            raise Unsupported(f"vm: {facts.vm} can't have an {wish.kind} snapshot: {_joined(against[wish.kind])}.")
        return Choice(wish.kind, memory, "asked for", quiesce)
    if not against[INTERNAL]:
        return Choice(INTERNAL, memory, _plain(facts), quiesce)
    if not against[EXTERNAL]:
        why = (
            "its other snapshots are"
            if EXTERNAL in facts.kinds
            else f"no internal one, since {_joined(against[INTERNAL])}"
        )
        return Choice(EXTERNAL, memory, why, quiesce)
    raise Unsupported(
        f"vm: {facts.vm} can't have a snapshot. Not an internal one, since {_joined(against[INTERNAL])}. Not an external one, "
        f"since {_joined(against[EXTERNAL])}."
    )


def _require_whole(facts: VmFacts) -> None:
    if not facts.persistent:
        raise Unsupported(
            f"vm: {facts.vm} is transient, and its snapshots would vanish when it stops; define it first."
        )
    if not facts.disks:
        raise Unsupported(f"vm: {facts.vm} has no disk that it may write, so there is nothing to take a snapshot of.")


def _memory(facts: VmFacts, wish: Wish) -> bool:
    if wish.memory and not facts.runs:
        raise InvalidOption(
            f"memory: the VM {facts.vm} is stopped, so there is no memory to keep; start it first, or leave the option out."
        )
    if wish.memory and wish.quiesce:
        raise InvalidOption(
            "quiesce: a snapshot with memory holds what the guest's caches hold, so nothing is to be frozen; give one of "
            "memory and quiesce."
        )
    return facts.runs and not wish.quiesce if wish.memory is None else wish.memory


def _plain(facts: VmFacts) -> str:
    others = ", as the VM's other snapshots are" if INTERNAL in facts.kinds else ""
    return f"all disks are qcow2 and nothing lies outside of them{others}"


def _objections(kind: str, facts: VmFacts, memory: bool, quiesce: bool) -> list[str]:
    return [text for text in (look(facts, memory, quiesce) for look in _AGAINST[kind]) if text]


def _joined(sentences: Iterable[str]) -> str:
    return "; ".join(sentences)


def _mixed_internal(facts: VmFacts, memory: bool, quiesce: bool) -> str:
    return _mixed(facts, EXTERNAL)


def _mixed_external(facts: VmFacts, memory: bool, quiesce: bool) -> str:
    return _mixed(facts, INTERNAL)


def _mixed(facts: VmFacts, other: str) -> str:
    if other not in facts.kinds:
        return ""
    return (
        f"it has {other} snapshots, and mixing the kinds loses data (libvirt before 11.0 deletes the image that holds an "
        f"internal snapshot together with an external one, see its NEWS); delete those first"
    )


def _torn(facts: VmFacts, memory: bool, quiesce: bool) -> str:
    if not facts.runs or memory:
        return ""
    return "it runs, and an internal snapshot of its disks alone would be torn"


def _uefi_inside(facts: VmFacts, memory: bool, quiesce: bool) -> str:
    if not facts.uefi:
        return ""
    return f"it boots with UEFI, and an internal snapshot would leave out its NVRAM ({facts.nvram or 'pflash'})"


def _tpm_inside(facts: VmFacts, memory: bool, quiesce: bool) -> str:
    return "it has a TPM, and an internal snapshot would leave out its state" if facts.tpm else ""


def _not_qcow2(facts: VmFacts, memory: bool, quiesce: bool) -> str:
    for disk in facts.disks:
        if not disk.path:
            return f"the disk {disk.target} of {facts.vm} is not a local file, and only qcow2 files hold internal snapshots"
        if disk.format != "qcow2":
            format = disk.format or "of no stated format"
            return f"the disk {disk.target} of {facts.vm} ({disk.path}) is {format}, and only qcow2 holds internal snapshots"
    return ""


def _no_overlay(facts: VmFacts, memory: bool, quiesce: bool) -> str:
    for disk in facts.disks:
        if not disk.path or disk.path.startswith("/dev/"):
            return f"the disk {disk.target} of {facts.vm} is not a file, so there is no folder for its overlay"
        if disk.format not in _OVERLAID:
            format = disk.format or "of no stated format"
            return f"the disk {disk.target} of {facts.vm} ({disk.path}) is {format}, and what is merged goes into qcow2 or raw"
    return ""


def _tpm_outside(facts: VmFacts, memory: bool, quiesce: bool) -> str:
    if not facts.tpm or memory:
        return ""
    return "it has a TPM, whose state only goes along with the memory of a running VM"


def _checkpoints(facts: VmFacts, memory: bool, quiesce: bool) -> str:
    if not facts.checkpoints:
        return ""
    return "it has checkpoints of backups, which libvirt's documentation forbids with external snapshots; delete those first"


def _too_deep(facts: VmFacts, memory: bool, quiesce: bool) -> str:
    deep = [disk for disk in facts.disks if disk.depth >= _DEEP]
    if not deep or facts.version >= _DEEP_FIXED:
        return ""
    return (
        f"the chain of its disk {deep[0].target} has {deep[0].depth} layers, and libvirt before 12.0 can't start VMs with "
        f"deeper ones than about 25 (its NEWS); delete old snapshots first"
    )


_AGAINST: dict[str, tuple[_Against, ...]] = {
    INTERNAL: (_mixed_internal, _not_qcow2, _uefi_inside, _tpm_inside, _torn),
    EXTERNAL: (_mixed_external, _no_overlay, _tpm_outside, _checkpoints, _too_deep),
}
