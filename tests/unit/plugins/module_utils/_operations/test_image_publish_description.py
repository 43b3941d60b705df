# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.xml import parse
from ansible_collections.imageops.fleet.plugins.module_utils._operations.image_publish_description import (
    description_of,
)

XML = """
<domain type='kvm' id='7'>
  <name>web1</name>
  <uuid>5f0c7a0e-3a5b-4c55-9d3c-111111111111</uuid>
  <metadata>
    <imageops:vm xmlns:imageops="https://imageops.fleet/domain/1">
      <imageops:label name="tier" value="test"/><imageops:seed path="/srv/web1-seed.iso"/>
    </imageops:vm>
  </metadata>
  <memory unit='MiB'>192</memory>
  <os><type machine='q35'>hvm</type><loader type='pflash'>/usr/share/OVMF.fd</loader><nvram>/var/lib/web1.fd</nvram></os>
  <devices>
    <emulator>/usr/bin/qemu</emulator>
    <disk type='file' device='disk'><driver type='qcow2'/><source file='/srv/web1.qcow2'/><target dev='vda' bus='virtio'/></disk>
    <disk type='file' device='cdrom'><source file='/srv/web1-seed.iso'/><target dev='sda' bus='sata'/></disk>
    <interface type='network'><mac address='52:54:00:00:00:01'/><source network='default'/><target dev='vnet0'/></interface>
    <serial type='pty'><source path='/dev/pts/1'/><log file='/var/log/web1.log'/><target port='0'/></serial>
    <hostdev mode='subsystem' type='pci'/>
    <tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>
  </devices>
</domain>
"""


def test_what_belongs_to_the_host_is_not_told() -> None:
    told = description_of(parse(XML), ["vda"])
    text = told["xml"]
    for gone in ("uuid", "/srv", "/var", "/usr", "/dev/pts", "vnet0", "hostdev", "id="):
        assert gone not in text
    for kept in ("<name>web1</name>", "52:54:00:00:00:01", "default", "q35", 'dev="vda"', 'name="tier"', "sata"):
        assert kept in text
    del told["xml"]
    assert told == {"name": "web1", "disks": ["vda"], "macs": ["52:54:00:00:00:01"], "firmware": "efi", "tpm": True}
