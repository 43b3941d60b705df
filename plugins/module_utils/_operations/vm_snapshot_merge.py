# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Layers that are there in vain go: removed, or merged into the one below, live or not, at no moment changing what is read.

A commit writes only to a layer that nothing but the committed one reads. So it can be begun again after any interruption,
until the first that rests on the committed one rests on the lower one; from then on it only has to be finished.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._errors import Conflict, InUse
from .._faults import fault_point
from .._files import fingerprint, real_path, remove
from .._hypervisor.block_jobs import COMMITS, block_job, finish_commit, start_commit
from .._hypervisor.connection import Connection
from .._hypervisor.domain import Domain
from .._hypervisor.snapshots import snapshots
from .._hypervisor.snapshots_external import describe_anew, described, rename_layers
from .._hypervisor.xml import serialise
from .._qemu.image import Image
from .._qemu.image_locks import holders, kept_from_engines
from .._qemu.rebase import commit_arguments, header_arguments
from .image_layers import Layers
from .operation import Tools
from .vm_snapshot_changeover import has_left, note_leaving, require_listed, require_told
from .vm_snapshot_journal import Journal, read_journal
from .vm_snapshot_layers import Merge
from .vm_snapshot_tree import formats_of, tree_of


def tidy_layers(domain: Domain, connection: Connection, tools: Tools, *, timeout: float) -> None:
    """Finish a merge that was interrupted, then do what the tree asks for, then remove what belonged to gone snapshots."""
    journal = read_journal(domain)
    if journal.merging:
        _Merging(domain, connection, tools, timeout).go_on(journal)
    while True:
        journal = read_journal(domain)
        found = snapshots(domain)
        act = tree_of(domain, journal, found, tools).next()
        if act is None:
            break
        if isinstance(act, Merge):
            _Merging(domain, connection, tools, timeout).begin(journal, act)
        else:
            fault_point("vm_snapshot:before-remove")
            _remove(act.path)
            journal.note(own=journal.own - {act.path}, managed=journal.managed - {act.path})
    _tidy_beside(journal, {snapshot.name for snapshot in found})


def _remove(path: str) -> None:
    with kept_from_engines(path):
        remove(path)


def _tidy_beside(journal: Journal, names: set[str]) -> None:
    """Memory and NVRAM of snapshots that are gone; and the journal of a VM that has no layers left."""
    taking = (journal.taking or {}).get("name")
    for name in [name for name in journal.beside if name not in names and name != taking]:
        for path in journal.beside[name].values():
            fault_point("vm_snapshot:before-remove-beside")
            remove(path)
        del journal.beside[name]
    journal.own = {path for path in journal.own if fingerprint(path)}
    if not journal.own and not journal.open:
        journal.managed, journal.formats = set(), {}
    journal.save()


class _Merging:
    """One merge."""

    def __init__(self, domain: Domain, connection: Connection, tools: Tools, timeout: float) -> None:
        self._domain, self._connection, self._tools, self._timeout = domain, connection, tools, timeout

    def begin(self, journal: Journal, act: Merge) -> None:
        """Note what will be done, and do it."""
        found = snapshots(self._domain)
        formats = formats_of(self._domain, journal, found)
        tops = tree_of(self._domain, journal, found, self._tools).overlays(act.top)
        mark = {
            "top": act.top,
            "base": act.base,
            "overlays": tops,
            "formats": {p: formats[p] for p in (act.top, act.base)},
        }
        journal.note(merging=mark)
        self._do(journal, mark)

    def go_on(self, journal: Journal) -> None:
        """Do what is left of a merge that was interrupted."""
        mark = journal.merging or {}
        if not fingerprint(mark["top"]):
            self._rename(journal, mark)
            journal.note(merging=None, own=journal.own - {mark["top"]}, managed=self._managed(journal, mark))
            return
        self._do(journal, mark)

    def _do(self, journal: Journal, mark: Mapping[str, Any]) -> None:
        fault_point("vm_snapshot:before-merge")
        target = self._live_target(mark["top"])
        job = block_job(self._domain, target) if target else None
        if job:
            _require_commit(self._domain, job)
            self._commit_live(target, mark)
        # A libvirtd that was killed at the end of a commit may list the layer although QEMU has let go of it.
        elif not (self._is_merged(mark) or has_left(self._domain, target, mark)):
            if target:
                self._commit_live(target, mark)
            else:
                require_told(self._domain, mark)
                self._commit(mark)
        fault_point("vm_snapshot:merged")
        self._rename(journal, mark)
        fault_point("vm_snapshot:before-remove-merged")
        gone = set() if holders(mark["top"]) else {mark["top"]}
        for path in gone:
            _remove(path)
        # What QEMU still has open goes with a later run, when the VM was stopped.
        journal.note(merging=None, own=journal.own - gone, managed=self._managed(journal, mark))

    def _live_target(self, top: str) -> str:
        """The disk of the running VM that has the layer in its chain."""
        if not self._domain.active:
            return ""
        disks = self._domain.disks()
        return next((disk.target for disk in disks for layer in disk.chain if _is(layer.path, top)), "")

    def _commit_live(self, target: str, mark: Mapping[str, Any]) -> None:
        layers = [layer.path for disk in self._domain.disks() if disk.target == target for layer in disk.chain]
        # By the names that libvirt knows them by.
        top, base = (next((name for name in layers if _is(name, mark[key])), mark[key]) for key in ("top", "base"))
        wait = self._tools.clock.wait_until
        if block_job(self._domain, target) is None:
            require_listed(self._domain, read_journal(self._domain), target=target)
            start_commit(self._domain, target, top=top, base=base, wait=wait)
            fault_point("vm_snapshot:merge-begun")

        def leaving() -> None:
            note_leaving(self._domain, read_journal(self._domain))
            fault_point("vm_snapshot:before-change-over")

        finish_commit(self._domain, target, top=top, timeout=self._timeout, wait=wait, leaving=leaving)

    def _commit(self, mark: Mapping[str, Any]) -> None:
        top, base = mark["top"], mark["base"]
        if Layers().below(top) != base:
            raise Conflict(
                f"{top} does not rest on {base} any more; somebody else changed its chain, so it was left as it is."
            )
        for path in (top, base):
            with kept_from_engines(path):
                pass
        self._tools.commands.output(commit_arguments(Image(top, "qcow2")), timeout=self._timeout or None)

    def _is_merged(self, mark: Mapping[str, Any]) -> bool:
        """Whether something rests on, or writes to, the lower layer that was above or at the upper one."""
        layers = Layers()
        moved = [path for path in mark["overlays"] if fingerprint(path) and layers.below(path) == mark["base"]]
        named = [disk.path for inactive in (True, False) for disk in self._domain.disks(inactive=inactive)]
        return bool(moved) or any(_is(path, mark["base"]) for path in named if path)

    def _rename(self, journal: Journal, mark: Mapping[str, Any]) -> None:
        """What named the upper layer names the lower one, which now reads the same."""
        top, base = mark["top"], mark["base"]
        layers, below = Layers(), Image(base, mark["formats"][base])
        for path in mark["overlays"]:
            if fingerprint(path) and layers.below(path) == top:
                with kept_from_engines(path):
                    pass
                fault_point("vm_snapshot:before-rebase")
                self._tools.commands.output(header_arguments(Image(path, "qcow2"), backing=below))
        names, formats = {top: base}, mark["formats"]
        for snapshot in snapshots(self._domain):
            if any(_is(path, top) for path in snapshot.layers.values()):
                root = described(self._domain, snapshot.name)
                for definition in (root.find("domain"), root.find("inactiveDomain")):
                    if definition is not None:
                        rename_layers(definition, names, formats)
                fault_point("vm_snapshot:before-rename")
                describe_anew(self._domain, root, current=snapshot.current)
        self._redefine(names, formats)

    def _redefine(self, names: Mapping[str, str], formats: Mapping[str, str]) -> None:
        """The next start finds the layers in the files; what the description says of those below could be outdated."""
        root = self._domain.xml(secure=True)
        told = [source.get("file", "") for source in root.findall(".//backingStore/source")]
        if any(name in told for name in names):
            here = {disk.path: disk.path for disk in self._domain.disks(inactive=True) if disk.path}
            kinds = {disk.path: disk.format for disk in self._domain.disks(inactive=True)}
            rename_layers(root, here, kinds)
            self._connection.define(serialise(root))
        if rename_layers(root, names, formats):
            self._connection.define(serialise(root))

    def _managed(self, journal: Journal, mark: Mapping[str, Any]) -> set[str]:
        return (journal.managed - {mark["top"]}) | {mark["base"]}


def _is(name: str, path: str) -> bool:
    return bool(name) and real_path(name) == path


def require_no_job(domain: Domain, journal: Journal) -> None:
    """Raise InUse when somebody else's block job runs on the VM."""
    from .._hypervisor.block_jobs import block_jobs

    if journal.merging:
        return
    jobs = block_jobs(domain)
    if jobs:
        raise _busy(domain, jobs[0])


def _require_commit(domain: Domain, job: Mapping[str, Any]) -> None:
    """Raise InUse for a job that can't be a merge of ours: nobody else's copy may be changed over to."""
    if job["type"] not in COMMITS:
        raise _busy(domain, job)


def _busy(domain: Domain, job: Mapping[str, Any]) -> InUse:
    return InUse(
        f"vm: a {job['type']} runs on the disk {job['target']} of {domain.name}, and snapshots can't be changed meanwhile; wait for "
        f"its end, or end it (virsh blockjob --abort)."
    )


def require_layers(paths: Mapping[str, str], *, snapshot: str) -> None:
    """Raise Conflict when a file of a snapshot is not there."""
    gone = [path for path in paths.values() if not fingerprint(path)]
    if gone:
        raise Conflict(
            f"name: {gone[0]}, which holds the snapshot '{snapshot}', is not there any more; put it back, or delete the "
            f"snapshot (state: absent)."
        )
