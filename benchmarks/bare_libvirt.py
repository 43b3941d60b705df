# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The least that deploying VMs can cost: overlays, definitions and starts by libvirt's library, and no question asked."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import libvirt

_DOMAIN = """<domain type="qemu"><name>{name}</name><memory unit="MiB">32</memory><vcpu>1</vcpu>
<os><type arch="x86_64" machine="q35">hvm</type></os><features><acpi/><apic/></features><devices>
<disk type="file" device="disk"><driver name="qemu" type="qcow2"/><source file="{disk}"/><target dev="vda" bus="virtio"/></disk>
<rng model="virtio"><backend model="random">/dev/urandom</backend></rng></devices></domain>"""


def overlay(folder: str) -> bytes:
    """All overlays on one image are the same, so qemu-img makes one."""
    path = os.path.join(folder, "bare-template.qcow2")
    base = os.path.join(folder, "base.qcow2")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", base, path], check=True)
    with open(path, "rb") as stream:
        return stream.read()


def main() -> int:
    act, folder, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    connection = libvirt.open("qemu:///system")
    known = {domain.name(): domain for domain in connection.listAllDomains()}
    names = [f"bench-{number}" for number in range(1, count + 1)]
    disks = {name: os.path.join(folder, f"{name}.qcow2") for name in names}

    def deploy(name: str) -> None:
        if name not in known:
            with open(disks[name], "wb") as stream:
                stream.write(template)
            known[name] = connection.defineXML(_DOMAIN.format(name=name, disk=disks[name]))
        if act == "deploy" and not known[name].isActive():
            known[name].create()

    def destroy(name: str) -> None:
        if known[name].isActive():
            known[name].destroy()
        known[name].undefine()
        os.unlink(disks[name])

    template = overlay(folder) if act != "destroy" and not known.keys() >= set(names) else b""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(destroy if act == "destroy" else deploy, names))
    connection.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
