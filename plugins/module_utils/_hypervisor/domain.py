# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A libvirt domain: its state, its XML, and what can be done with it."""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from typing import Any

from .._errors import EngineError
from .library import calling, library
from .sources import Disk, disks_of
from .xml import IMAGEOPS, Element, clone, drop, get, parse, serialise

# virDomainState of libvirt/libvirt-domain.h; "blocked" is a running VM that waits for something.
_STATES = {1: "running", 2: "running", 3: "paused", 4: "stopping", 5: "stopped", 6: "crashed", 7: "suspended"}
# What undefining takes along, and how much of it drivers and daemons know that have no firmware and no TPM.
_UNDEFINE = ("MANAGED_SAVE", "SNAPSHOTS_METADATA", "NVRAM", "CHECKPOINTS_METADATA", "TPM")
_UNDEFINE_BASIC = _UNDEFINE[:2]
_INVALID_ARGUMENT = 8  # VIR_ERR_INVALID_ARG


class Domain:
    """One domain; `raw` is libvirt's own object, for what isn't here (call it inside `calling`)."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self.name: str = raw.name()
        self.uuid: str = raw.UUIDString()

    def _calling(self, doing: str) -> Any:
        return calling(f"{doing} the domain {self.name}")

    @property
    def uri(self) -> str:
        """Its hypervisor's URI, by which another process finds it."""
        with self._calling("looking at"):
            return str(self.raw.connect().getURI())

    @property
    def active(self) -> bool:
        """Whether it has a QEMU process (running or paused)."""
        with self._calling("looking at"):
            return bool(self.raw.isActive())

    @property
    def persistent(self) -> bool:
        """Whether it is defined, and so stays when it stops."""
        with self._calling("looking at"):
            return bool(self.raw.isPersistent())

    @property
    def id(self) -> int:
        """The number of the running domain, -1 while stopped; each start gives another one."""
        return int(self.raw.ID())

    @property
    def state(self) -> str:
        """running, paused, stopped, stopping, crashed or suspended."""
        with self._calling("looking at"):
            return _STATES.get(self.raw.state()[0], "unknown")

    @property
    def autostart(self) -> bool:
        """Whether it starts with the host."""
        with self._calling("looking at"):
            return bool(self.raw.autostart())

    def set_autostart(self, value: bool) -> None:
        """Start it with the host, or not."""
        with self._calling("setting autostart of"):
            self.raw.setAutostart(1 if value else 0)

    def xml(self, *, inactive: bool = True, secure: bool = False) -> Element:
        """Its description: `inactive` the one of the next start, else what runs now; `secure` with passwords."""
        return parse(self._description(inactive=inactive, secure=secure))

    def _description(self, *, inactive: bool, secure: bool) -> str:
        found = library()
        flags = (found.VIR_DOMAIN_XML_INACTIVE if inactive else 0) | (found.VIR_DOMAIN_XML_SECURE if secure else 0)
        with self._calling("describing"):
            return str(self.raw.XMLDesc(flags))

    def disks(self, *, inactive: bool = False) -> list[Disk]:
        """Its disks, active layer first in each chain; only a running domain's chains are known to libvirt."""
        return disks_of(self.xml(inactive=inactive))

    def start(self, *, paused: bool = False) -> None:
        """Start it."""
        with self._calling("starting"):
            self.raw.createWithFlags(library().VIR_DOMAIN_START_PAUSED if paused else 0)

    def shutdown(self) -> None:
        """Ask the guest to shut down (ACPI or agent); returns at once."""
        with self._calling("shutting down"):
            self.raw.shutdown()

    def destroy(self) -> None:
        """Stop it now, as if the power went; QEMU is asked to end by itself first."""
        with self._calling("stopping"):
            self.raw.destroyFlags(0)

    def suspend(self) -> None:
        """Pause its CPUs."""
        with self._calling("pausing"):
            self.raw.suspend()

    def resume(self) -> None:
        """Let its CPUs run on."""
        with self._calling("resuming"):
            self.raw.resume()

    def reboot(self) -> None:
        """Ask the guest to reboot; returns at once."""
        with self._calling("rebooting"):
            self.raw.reboot(0)

    def capacity(self, target: str) -> int:
        """Size in bytes that the guest sees of the disk `target`."""
        with self._calling(f"measuring the disk {target} of"):
            return int(self.raw.blockInfo(target)[0])

    def resize(self, target: str, size: int) -> None:
        """Let the disk `target` of the running domain have `size` bytes; the guest is told."""
        with self._calling(f"growing the disk {target} of"):
            self.raw.blockResize(target, size, library().VIR_DOMAIN_BLOCK_RESIZE_BYTES)

    def eject(self, target: str) -> None:
        """Take the medium out of the drive `target` of the running domain, also when the guest has locked it."""
        found = library()
        for disk in clone(self.xml(inactive=False)).findall("devices/disk"):
            if get(disk, "target/@dev") == target:
                for name in ("source", "backingStore"):
                    drop(disk, name)
                flags = found.VIR_DOMAIN_DEVICE_MODIFY_LIVE | found.VIR_DOMAIN_DEVICE_MODIFY_FORCE
                with self._calling(f"ejecting the medium of {target} of"):
                    self.raw.updateDeviceFlags(serialise(disk), flags)

    def undefine(self) -> None:
        """Forget it, with managed save, NVRAM, TPM state and the metadata of snapshots and checkpoints."""
        try:
            self._undefine(_UNDEFINE)
        except EngineError as error:
            if error.details.get("libvirt_code") != _INVALID_ARGUMENT:
                raise
            self._undefine(_UNDEFINE_BASIC)

    def _undefine(self, names: Sequence[str]) -> None:
        # A library older than 8.9 has no TPM flag (and its daemon removes the TPM's state by itself).
        flags = sum(getattr(library(), f"VIR_DOMAIN_UNDEFINE_{name}", 0) for name in names)
        with self._calling("removing"):
            self.raw.undefineFlags(flags)

    def metadata(self) -> Element | None:
        """Our element in its <metadata>, None when there is none."""
        return self.xml().find(f"metadata/{{{IMAGEOPS}}}vm")

    def set_metadata(self, element: Element, *, live: bool = False) -> None:
        """Replace our element in the <metadata> of its next start's description, and in that of now when `live`."""
        found = library()
        plain = copy.deepcopy(element)
        for part in plain.iter():
            # libvirt itself puts key and URI as namespace on elements that have none.
            part.tag = part.tag.rpartition("}")[2]
        flags = found.VIR_DOMAIN_AFFECT_CONFIG | (found.VIR_DOMAIN_AFFECT_LIVE if live else 0)
        with self._calling("setting metadata of"):
            self.raw.setMetadata(found.VIR_DOMAIN_METADATA_ELEMENT, serialise(plain), "imageops", IMAGEOPS, flags)


class Seen(Domain):
    """A domain as it was when each thing was first asked: what plans, looks at one moment, and asks libvirt once."""

    def __init__(self, domain: Domain, *, state: int | None = None, autostart: bool = False) -> None:
        """`state` (libvirt's number) and `autostart` are told when a look at all domains has found them."""
        super().__init__(domain.raw)
        self.now = domain
        self._texts: dict[bool, str] = {}
        self._descriptions: dict[bool, Element] = {}
        self._disks: dict[bool, list[Disk]] = {}
        if state is not None:
            self.state = _STATES.get(state, "unknown")
            self.active = self.id >= 0
            self.autostart = autostart

    @functools.cached_property
    def active(self) -> bool:
        return super().active

    @functools.cached_property
    def state(self) -> str:
        return super().state

    @functools.cached_property
    def autostart(self) -> bool:
        return super().autostart

    def xml(self, *, inactive: bool = True, secure: bool = False) -> Element:
        """As the domain's own, not to be changed; that of the next start always with passwords, which a change must keep."""
        if inactive not in self._descriptions:
            text = self._texts.pop(inactive, "") or self._description(inactive=inactive, secure=secure or inactive)
            self._descriptions[inactive] = parse(text)
        return self._descriptions[inactive]

    def ask(self) -> None:
        """Ask for its descriptions now; any thread may do that for many, which takes a fraction of asking one by one."""
        for inactive in (True, False) if self.active else (True,):
            self._texts[inactive] = self._description(inactive=inactive, secure=inactive)

    def disks(self, *, inactive: bool = False) -> list[Disk]:
        """As the domain's own, not to be changed."""
        if inactive not in self._disks:
            self._disks[inactive] = super().disks(inactive=inactive)
        return self._disks[inactive]
