# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interruptions of deploys, clones and removals: images and sources stay whole, and the next run converges."""

from __future__ import annotations

import subprocess
from typing import Any, Callable

from host import REMOTE_TMP, Host, answer, expect, kill_libvirtd, wait_for

IMAGES = "/var/lib/libvirt/images"
NAME = "imageops-faults"
FOLDER = f"{IMAGES}/{NAME}"
IMAGE, SOURCE_DISK = f"{FOLDER}/image.qcow2", f"{FOLDER}/source.qcow2"
SOURCE = f"{NAME}-source"
VMS = [f"{NAME}-{number}" for number in range(1, 5)]
CLONES = [f"{NAME}-clone{number}" for number in (1, 2)]
# Guests without an operating system: the firmware finds nothing to boot and waits.
DEPLOY: dict[str, Any] = {
    "memory": "32MiB",
    "disks": [{"image": IMAGE}],
    "wait_for": {"timeout": 300},
    "vms": [{"name": name} for name in VMS],
}
REMOVE: dict[str, Any] = {
    "state": "absent",
    "force_stop": True,
    "shutdown_timeout": 0,
    "remove_disks": True,
    "vms": [{"name": name} for name in VMS],
}
LINKED: dict[str, Any] = {"source": SOURCE, "mode": "linked", "clones": [{"name": name} for name in CLONES]}
FULL: dict[str, Any] = {**LINKED, "mode": "full"}
_CLEAR = f"""
for vm in $(virsh list --all --name | grep '^{NAME}-' || true); do
    virsh -q destroy $vm >/dev/null 2>&1 || true
    virsh -q undefine $vm >/dev/null
done
rm -f {IMAGES}/{NAME}-*-* {IMAGES}/.{NAME}-* {FOLDER}/{NAME}-* {FOLDER}/.[!.]* {SOURCE_DISK}
"""


def prepare(host: Host) -> None:
    """An image with 96 MiB of random content, and no VM."""
    tidy(host)
    host.shell(f"""
    mkdir -m 711 {FOLDER}
    dd if=/dev/urandom of={FOLDER}/seen.raw bs=1M count=96 status=none
    qemu-img convert -f raw -O qcow2 {FOLDER}/seen.raw {IMAGE}
    rm {FOLDER}/seen.raw
    """)


def tidy(host: Host) -> None:
    host.shell(f"{_CLEAR} rm -rf {FOLDER}")


def clear(host: Host) -> None:
    """No VM of ours and no file but the image."""
    host.shell(_CLEAR)


def make_source(host: Host) -> str:
    """A stopped VM with a disk of its own, which is no overlay; its content's digest."""
    host.shell(f"{_CLEAR} cp {IMAGE} {SOURCE_DISK}")
    made = host.run("vm", name=SOURCE, state="stopped", memory="32MiB", disks=[{"path": SOURCE_DISK}])
    expect(not made["failed"], f"the source could not be made: {made}")
    return content(host, SOURCE)


def content(host: Host, name: str) -> str:
    """Digest of what the VM's disk holds, read through its definition."""
    return host.shell(f"""
    disk=$(virsh dumpxml --inactive {name} | sed -n "s/.*<source file='\\([^']*\\)'.*/\\1/p" | head -1)
    qemu-img convert -f qcow2 -O raw "$disk" {FOLDER}/seen.raw
    sha256sum < {FOLDER}/seen.raw
    rm {FOLDER}/seen.raw
    """).split()[0]


def leftovers(host: Host) -> str:
    """Hidden files, ours or an engine's."""
    return host.shell(f"find {IMAGES} -maxdepth 1 -name '.{NAME}*'; find {FOLDER} -name '.*'").strip()


def running(host: Host) -> list[str]:
    names = host.shell("virsh list --name").split()
    return sorted(name for name in names if name.startswith(f"{NAME}-"))


def whole(host: Host) -> None:
    """Every qcow2 file of ours that has its name is without errors (and may be in use)."""
    host.shell(f"""
    for disk in $(find {IMAGES} -maxdepth 1 -name '{NAME}-*.qcow2') $(find {FOLDER} -name '[!.]*.qcow2'); do
        qemu-img check -q -U -f qcow2 $disk
    done
    """)


def kill_module(host: Host, module: str, options: dict[str, Any], when: str) -> None:
    """kill -9 of the module as soon as the shell command `when` succeeds on the host, or when it is over before."""
    process = host.start(module, **options)
    # Only this test's own runs: others may use the host too.
    host.shell(f"""
    tries=0
    until pid=$(pgrep -f '^/usr/bin/python3 .*{REMOTE_TMP}/.*AnsiballZ_{module}[.]py'); do
        tries=$((tries + 1)); test $tries -lt 1500; sleep 0.02
    done
    until {when} || ! kill -0 $pid 2>/dev/null; do sleep 0.005; done
    kill -9 $pid 2>/dev/null || true
    """)
    answer(process)


def deployed(host: Host) -> None:
    """The next run finishes the deploy, a further one changes nothing, nothing is left over."""
    after = host.run("vm", **DEPLOY)
    expect(not after.get("failed") and not after.get("lost"), f"the next run failed: {after}")
    again = host.run("vm", **DEPLOY)
    expect(again.get("changed") is False, f"a further run changed something: {again}")
    settled(host)


def settled(host: Host) -> None:
    """Exactly the declared VMs run, on whole disks."""
    expect(running(host) == VMS, f"not just the declared VMs run: {running(host)}")
    whole(host)
    expect(leftovers(host) == "", f"left over: {leftovers(host)}")


def killed_deploys(host: Host) -> None:
    """kill -9 of the module as the first disk is there, the first VM is defined, the first VM is started."""
    first = VMS[0]
    for sign in (f"{IMAGES}/{first}-vda.qcow2", f"/etc/libvirt/qemu/{first}.xml", f"/run/libvirt/qemu/{first}.pid"):
        clear(host)
        kill_module(host, "vm", DEPLOY, f"test -e {sign}")
        whole(host)
        after = host.run("vm", **DEPLOY)
        expect(not after.get("failed") and not after.get("lost"), f"the next run failed: {after}")
        settled(host)
    deployed(host)


def killed_removals(host: Host) -> None:
    """kill -9 of the module as the first VM is forgotten, as its disk is gone: what is left goes with the next run."""
    for sign in (f"/etc/libvirt/qemu/{VMS[0]}.xml", f"{IMAGES}/{VMS[0]}-vda.qcow2"):
        made = host.run("vm", **DEPLOY)
        expect(not made.get("failed"), f"the VMs could not be made: {made}")
        kill_module(host, "vm", REMOVE, f"! test -e {sign}")
        after = host.run("vm", **REMOVE)
        expect(not after.get("failed") and not after.get("lost"), f"the next run failed: {after}")
        left = host.shell(f"virsh list --all --name | grep '^{NAME}-' || true; ls {IMAGES} | grep '^{NAME}-' || true")
        expect(left.strip() == "", f"left of the removed VMs: {left}")
        expect(leftovers(host) == "", f"left over: {leftovers(host)}")
    again = host.run("vm", **REMOVE)
    expect(again.get("changed") is False, f"a further run changed something: {again}")


def killed_clones(options: dict[str, Any], *signs: str) -> Callable[[Host], None]:
    """kill -9 of vm_clone as a file appears: the source holds what it held, and the next run converges."""

    def case(host: Host) -> None:
        for sign in signs:
            wanted = make_source(host)
            kill_module(host, "vm_clone", options, f"test -e {sign}")
            expect(content(host, SOURCE) == wanted, "the source's content changed")
            after = host.run("vm_clone", **options)
            expect(not after.get("failed") and not after.get("lost"), f"the next run failed: {after}")
            for name in (SOURCE, *CLONES):
                expect(content(host, name) == wanted, f"{name} does not hold the source's content")
            whole(host)
            expect(leftovers(host) == "", f"left over: {leftovers(host)}")
        again = host.run("vm_clone", **options)
        expect(again.get("changed") is False, f"a further run changed something: {again}")
        host.shell(f"virsh -q start {SOURCE} && virsh -q destroy {SOURCE}")

    return case


def together(host: Host) -> None:
    """Two runs at the same moment on the same names: one set of VMs, and two clear answers."""
    clear(host)
    processes: list[subprocess.Popen[str]] = [host.start("vm", **DEPLOY) for _run in range(2)]
    answers = [answer(process) for process in processes]
    for said in answers:
        expect(not said.get("lost"), f"a run said nothing: {said}")
        expect(not said.get("failed"), f"a run failed: {said.get('msg')}")
    changed = [said.get("changed") for said in answers]
    expect(sorted(changed) == [False, True], f"just one run should have changed something: {changed}")
    settled(host)
    deployed(host)


def killed_daemon(host: Host) -> None:
    """kill -9 of libvirtd in a deploy: one clear sentence or success, and the next run converges."""
    clear(host)
    process = host.start("vm", **DEPLOY)
    first = f"{IMAGES}/{VMS[0]}-vda.qcow2"
    wait_for(lambda: host.shell(f"test -e {first} && echo yes || true").strip() == "yes", "the first disk")
    kill_libvirtd(host)
    said = answer(process)
    expect(not said.get("lost"), f"the run said nothing: {said}")
    if said.get("failed"):
        expect("libvirt" in said.get("msg", ""), f"no clear sentence: {said.get('msg')}")
    deployed(host)


def full_disk(host: Host) -> None:
    """A copy that doesn't fit, known before or only when it is written: one sentence, and the space given back."""
    clear(host)
    small = f"{FOLDER}/small"
    # 96 MiB of one letter take next to nothing in a compressed image, and all of it in a raw copy.
    host.shell(f"""
    truncate -s 60M {small}.img; mkfs.ext4 -q {small}.img; mkdir -m 711 {small}; mount -o loop {small}.img {small}
    head -c 96M /dev/zero | tr '\\0' x > {FOLDER}/packed.raw
    qemu-img convert -c -f raw -O qcow2 {FOLDER}/packed.raw {FOLDER}/packed.qcow2; rm {FOLDER}/packed.raw
    """)
    try:
        for image, number in ((IMAGE, 1), (f"{FOLDER}/packed.qcow2", 2)):
            free = int(host.shell(f"sync; df --output=avail -B1 {small} | tail -1"))
            path = f"{small}/{VMS[0]}.raw"
            disk = {"image": image, "copy": "full", "format": "raw", "path": path}
            said = host.run("vm", name=VMS[0], memory="32MiB", disks=[disk])
            expect(said.get("failed") is True, f"96 MiB went into {free} bytes: {said}")
            expect("free" in said["msg"] or "No space left" in said["msg"], f"no clear sentence: {said['msg']}")
            expect(said["changed"] is False, f"run {number} says that it changed something: {said}")
            back = int(host.shell(f"sync; df --output=avail -B1 {small} | tail -1"))
            expect(abs(free - back) <= 1 << 20, f"{free - back} bytes were not given back")
            expect(host.shell(f"ls -A {small}").split() == ["lost+found"], "files were left")
            expect(running(host) == [], "a VM runs on a disk that is not there")
    finally:
        host.shell(f"umount {small}; rm -r {small} {small}.img")


CASES: dict[str, Callable[[Host], None]] = {
    "kill -9 in a deploy, three times": killed_deploys,
    "kill -9 in a removal, twice": killed_removals,
    "kill -9 in linked clones, twice": killed_clones(
        LINKED, f"{FOLDER}/{SOURCE}-vda.1.qcow2", f"{FOLDER}/{CLONES[0]}-vda.qcow2"
    ),
    "kill -9 in full clones, twice": killed_clones(
        FULL, f"{FOLDER}/.{CLONES[0]}-vda.qcow2.imageops-partial", f"{FOLDER}/{CLONES[0]}-vda.qcow2"
    ),
    "two equal deploys at once": together,
    "file system full": full_disk,
    "kill -9 of libvirtd": killed_daemon,
}
