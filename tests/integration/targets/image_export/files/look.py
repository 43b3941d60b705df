# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at exports with tools that others wrote: tar, qemu-img, sha256sum, xmllint, openssl. The argument is the folder with all of them."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

WORK = Path(sys.argv[1])
SOURCE = WORK / "disk.qcow2"
SIZE = 41000448
MIB, GIB = 1 << 20, 1 << 30


def say(*argv: object, cwd: Path | None = None) -> str:
    done = subprocess.run([str(word) for word in argv], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, argv))}: {done.stdout}{done.stderr}")
    return done.stdout


def require(found: object, wanted: object, what: str) -> None:
    if found != wanted:
        sys.exit(f"{what}: {found!r} instead of {wanted!r}")


def unpacked(name: str, *, members: list[str], options: str = "") -> Path:
    """The archive, unpacked by GNU tar."""
    folder = WORK / f"{name}.unpacked"
    folder.mkdir()
    require(say("tar", "-t", "-f", WORK / name).split(), members, f"{name} holds")
    say("tar", "-x", "-f", WORK / name, "-C", folder)
    return folder


def disk(path: Path, format: str, size: int) -> dict[str, Any]:
    """An image that qemu-img calls sound, and that holds what the source holds."""
    info = json.loads(say("qemu-img", "info", "--output=json", "-f", format, path))
    require(info["virtual-size"], size, f"{path}'s size")
    if format not in ("raw", "vpc"):
        say("qemu-img", "check", "-q", "-f", format, path)
    say("qemu-img", "compare", "-q", "-f", "qcow2", "-F", format, SOURCE, path)
    return dict(info)


def ovf(folder: Path) -> None:
    """A descriptor, disks and a manifest that agree."""
    text = folder / "tested.ovf"
    say("xmllint", "--noout", text)

    def xpath(query: str) -> str:
        return say("xmllint", "--xpath", f"string({query})", text).strip()

    file = xpath("//*[local-name()='File']/@*[local-name()='href']")
    require(int(xpath("//*[local-name()='File']/@*[local-name()='size']")), os.stat(folder / file).st_size, "ovf:size")
    require(int(xpath("//*[local-name()='Disk']/@*[local-name()='capacity']")), SIZE, "ovf:capacity")
    require(
        xpath("//*[local-name()='Item'][*[local-name()='ResourceType']='3']/*[local-name()='VirtualQuantity']"),
        "2",
        "CPUs",
    )
    require(
        xpath("//*[local-name()='Item'][*[local-name()='ResourceType']='10']/*[local-name()='Connection']"),
        "lan",
        "network",
    )
    parent = xpath("//*[local-name()='Item'][*[local-name()='ResourceType']='17']/*[local-name()='Parent']")
    kind = xpath(f"//*[local-name()='Item'][*[local-name()='InstanceID']='{parent}']/*[local-name()='ResourceType']")
    require(kind in ("6", "20"), True, "the disk's controller")
    lines = (folder / "tested.mf").read_text().splitlines()
    for name, digest in (re.fullmatch(r"SHA256\((.+)\)= ([0-9a-f]{64})", line).groups() for line in lines):  # type: ignore[union-attr]
        require(say("sha256sum", folder / name).split()[0], digest, f"digest of {name}")
    require(len(lines), 2, "lines of the manifest")
    require(disk(folder / file, "vmdk", SIZE)["format-specific"]["data"]["create-type"], "streamOptimized", "VMDK")


def signature(folder: Path) -> None:
    text = (folder / "tested.cert").read_text()
    (folder / "signature").write_bytes(bytes.fromhex(text.splitlines()[0].partition("= ")[2]))
    (folder / "key").write_text(say("openssl", "x509", "-in", folder / "tested.cert", "-noout", "-pubkey"))
    verify = ("openssl", "dgst", "-sha256", "-verify", folder / "key", "-signature", folder / "signature")
    require(say(*verify, folder / "tested.mf").strip(), "Verified OK", "signature")


def main() -> None:
    members = ["tested.ovf", "tested-disk1.vmdk", "tested.mf"]
    ovf(unpacked("ova.ova", members=members))
    ovf(unpacked("virtualbox.ova", members=members))
    signed = unpacked("signed.ova", members=[*members, "tested.cert"])
    ovf(signed)
    signature(signed)
    ovf(WORK / "vmware")
    require(sorted(os.listdir(WORK / "vmware")), ["tested-disk1.vmdk", "tested.mf", "tested.ovf"], "the folder")
    disk(WORK / "hyperv.vhdx", "vhdx", SIZE)
    disk(WORK / "hyperv.vhd", "vpc", SIZE)
    rounded = -(-SIZE // MIB) * MIB
    disk(WORK / "azure.vhd", "vpc", rounded)
    require(os.stat(WORK / "azure.vhd").st_size, rounded + 512, "azure.vhd")
    with open(WORK / "azure.vhd", "rb") as stream:
        stream.seek(-512, 2)
        footer = stream.read()
    require(struct.unpack(">8x8x8x8x8xQ12xI", footer[:64]), (rounded, 2), "azure.vhd's footer")
    disk(WORK / "aws.vmdk", "vmdk", SIZE)
    disk(WORK / "aws.raw", "raw", SIZE)
    gcp = unpacked("gcp.tar.gz", members=["disk.raw"])
    disk(gcp / "disk.raw", "raw", GIB)
    require(os.stat(gcp / "disk.raw").st_blocks * 512 < 16 * MIB, True, "disk.raw is sparse")
    disk(WORK / "openstack/tested-disk1.qcow2", "qcow2", SIZE)
    properties = json.loads((WORK / "openstack/tested.json").read_text())
    require((properties["disk_format"], properties["min_ram"]), ("qcow2", 1024), "tested.json")
    disk(WORK / "opennebula/tested-disk1.raw", "raw", SIZE)
    require('NETWORK = "lan"' in (WORK / "opennebula/tested.vm").read_text(), True, "tested.vm")
    disk(WORK / "proxmox/tested-disk1.qcow2", "qcow2", SIZE)
    require("virtio0: STORAGE:0,import-from=" in (WORK / "proxmox/tested.conf").read_text(), True, "tested.conf")
    box = unpacked("vagrant.box", members=["metadata.json", "Vagrantfile", "box.img"])
    disk(box / "box.img", "qcow2", SIZE)
    require(json.loads((box / "metadata.json").read_text())["virtual_size"], 1, "metadata.json")
    incus = unpacked("incus.tar.gz", members=["metadata.yaml", "rootfs.img"])
    disk(incus / "rootfs.img", "qcow2", SIZE)
    container()
    print("all as it should be")


def container() -> None:
    folder = WORK / "kubevirt.unpacked"
    folder.mkdir()
    say("tar", "-x", "-f", WORK / "kubevirt.tar", "-C", folder)
    blobs = folder / "blobs/sha256"
    for name in os.listdir(blobs):
        require(say("sha256sum", blobs / name).split()[0], name, "a blob's digest")
    index = json.loads((folder / "index.json").read_text())
    manifest = json.loads((blobs / index["manifests"][0]["digest"][7:]).read_text())
    say("tar", "-x", "-f", blobs / manifest["layers"][0]["digest"][7:], "-C", folder)
    require(os.stat(folder / "disk/tested.qcow2").st_uid, 107, "the disk's owner")
    disk(folder / "disk/tested.qcow2", "qcow2", SIZE)


main()
