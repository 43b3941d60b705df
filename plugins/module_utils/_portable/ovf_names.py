# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Namespaces of OVF (DSP0243 1.1, DSP8023), CIM's numbers of hardware (CIM_ResourceAllocationSettingData, ResourceType), VMware's
and VirtualBox's words for it.
"""

from __future__ import annotations

from xml.etree import ElementTree

OVF = "http://schemas.dmtf.org/ovf/envelope/1"
OVF2 = "http://schemas.dmtf.org/ovf/envelope/2"
RASD = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
VSSD = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData"
VMW = "http://www.vmware.com/schema/ovf"
VBOX = "http://www.virtualbox.org/ovf/machine"
STREAM_FORMAT = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"

CPU, MEMORY, IDE, SCSI, NETWORK, CDROM, DISK, SATA = 3, 4, 5, 6, 10, 15, 17, 20
# NVMe has no number of its own; VMware gives it that of other storage, as SATA has.
CONTROLLERS = (IDE, SCSI, SATA)

VMWARE, VIRTUALBOX = "vmware", "virtualbox"
# ResourceType and ResourceSubType by adapter, as VMware and VirtualBox write them; both read each other's.
ADAPTERS = {
    "lsilogic": (SCSI, "lsilogic"),
    "lsilogicsas": (SCSI, "lsilogicsas"),
    "pvscsi": (SCSI, "VirtualSCSI"),
    "sata": (SATA, "vmware.sata.ahci"),
    "ide": (IDE, "PIIX4"),
    "nvme": (SATA, "vmware.nvme.controller"),
}
# How many disks hang on one: SCSI's address 7 is the controller's own.
ROOM = {"lsilogic": 15, "lsilogicsas": 15, "pvscsi": 15, "sata": 30, "ide": 2, "nvme": 15}
NICS = {"vmxnet3": "VmxNet3", "e1000": "E1000", "e1000e": "E1000e"}

# CIM_OperatingSystem.OSType, and VirtualBox's word, by the beginning of libosinfo's short id; 64-bit ones.
SYSTEMS = (
    ("debian", 96, "Debian_64"),
    ("ubuntu", 94, "Ubuntu_64"),
    ("fedora", 101, "Fedora_64"),
    ("centos", 107, "RedHat_64"),
    ("rhel", 80, "RedHat_64"),
    ("rocky", 80, "RedHat_64"),
    ("almalinux", 80, "RedHat_64"),
    ("ol", 109, "Oracle_64"),
    ("opensuse", 101, "OpenSUSE_64"),
    ("sles", 85, "SUSE_LE_64"),
    ("arch", 101, "ArchLinux_64"),
    ("freebsd", 78, "FreeBSD_64"),
    ("win2k12", 113, "Windows2012_64"),
    ("win2k16", 117, "Windows2016_64"),
    ("win2k19", 117, "Windows2019_64"),
    ("win2k22", 117, "Windows2022_64"),
    ("win2k25", 117, "Windows2025_64"),
    ("win10", 115, "Windows10_64"),
    ("win11", 115, "Windows11_64"),
)
LINUX, OTHER = (101, "Linux_64"), (102, "Other_64")

for _prefix, _uri in (("ovf", OVF), ("rasd", RASD), ("vssd", VSSD), ("vmw", VMW), ("vbox", VBOX)):
    ElementTree.register_namespace(_prefix, _uri)
