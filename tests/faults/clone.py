# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interruptions of clones of a running VM: it runs on, untouched, nothing of the backup is left, and the next run converges."""

from __future__ import annotations

from typing import Any, Callable

from host import BUILD, REMOTE_TMP, Host, answer, expect, kill_libvirtd, wait_for

NAME = "imageops-cloning"
FOLDER = f"/var/lib/libvirt/images/{NAME}"
IMAGE, SOURCE_DISK = f"{FOLDER}/image.qcow2", f"{FOLDER}/source.qcow2"
SOURCE = f"{NAME}-source"
CLONES = [f"{NAME}-{number}" for number in (1, 2)]
OPTIONS: dict[str, Any] = {"source": SOURCE, "clones": [{"name": name} for name in CLONES]}
# Of the job, and of the module after it.
POINTS = (
    "pull:before-begin",
    "pull:begun",
    "clone:while-reading",
    "pull:read",
    "clone:backup-ended",
    "clone:copied",
    "clone:before-publish",
    "clone:published",
    "clone:before-define",
    "clone:defined",
    "clone:edited",
)
# Only where guests can be edited, of a stopped VM with an operating system.
EDITED = "clone:edited"
DEBIAN = BUILD / "fleet" / "guest" / "imageops-debian.qcow2"
_RUN = "/var/lib/imageops/run"
_SLOW = {**OPTIONS, "bandwidth": "6MiB"}
_PID = f"cat /run/libvirt/qemu/{SOURCE}.pid"

# No VM of ours and no file but the image.
_CLEAR = f"""
for vm in $(virsh list --all --name | grep '^{NAME}-' || true); do
    virsh -q destroy $vm >/dev/null 2>&1 || true
    virsh -q undefine $vm >/dev/null
done
rm -f {FOLDER}/{NAME}-* {FOLDER}/.[!.]* {SOURCE_DISK}
"""


def prepare(host: Host) -> None:
    """An image with 48 MiB of random content, and no VM."""
    tidy(host)
    host.shell(f"""
    mkdir -m 711 {FOLDER}
    dd if=/dev/urandom of={FOLDER}/seen.raw bs=1M count=48 status=none
    qemu-img convert -f raw -O qcow2 {FOLDER}/seen.raw {IMAGE}
    rm {FOLDER}/seen.raw
    """)


def tidy(host: Host) -> None:
    host.shell(f"{_CLEAR} rm -rf {FOLDER}")


def start_source(host: Host) -> tuple[str, str]:
    """A VM without an operating system, which runs and writes nothing; what its disk holds, and its process."""
    host.shell(f"{_CLEAR} cp {IMAGE} {SOURCE_DISK}")
    made = host.run("vm", name=SOURCE, memory="32MiB", disks=[{"path": SOURCE_DISK}], wait_for={"timeout": 300})
    expect(not made.get("failed") and not made.get("lost"), f"the source could not be made: {made}")
    return content(host, SOURCE_DISK), host.shell(_PID)


def leftovers(host: Host) -> str:
    """Hidden files, ours or an engine's."""
    return host.shell(f"find {FOLDER} -name '.*'").strip()


def whole(host: Host) -> None:
    """Every clone's disk is without errors."""
    host.shell(f"for disk in {FOLDER}/{NAME}-*.qcow2; do qemu-img check -q -U -f qcow2 $disk; done")


def content(host: Host, path: str) -> str:
    """Digest of what a guest sees of a disk that may be in use."""
    return host.shell(f"""
    qemu-img convert -U -f qcow2 -O raw {path} {FOLDER}/seen.raw
    sha256sum < {FOLDER}/seen.raw
    rm {FOLDER}/seen.raw
    """).split()[0]


def untouched(host: Host, wanted: str, pid: str) -> None:
    """The source is the same process on the same disk, with the same content."""
    expect(host.shell(_PID) == pid, "the source was stopped or started")
    expect(host.shell(f"virsh domblklist {SOURCE}").count(SOURCE_DISK) == 1, "the source has another disk")
    expect(content(host, SOURCE_DISK) == wanted, "the source's content changed")


def converged(host: Host, wanted: str, pid: str, options: dict[str, Any]) -> None:
    """The next run finishes the clones, a further one changes nothing, and nothing is left."""
    after = host.run("vm_clone", **options)
    expect(not after.get("failed") and not after.get("lost"), f"the next run failed: {after}")
    untouched(host, wanted, pid)
    for name in CLONES:
        expect(content(host, f"{FOLDER}/{name}-vda.qcow2") == wanted, f"{name} does not hold the source's content")
    whole(host)
    expect(leftovers(host) == "", f"left over: {leftovers(host)}")
    uuid = host.shell(f"virsh domuuid {SOURCE}").strip()
    expect(host.shell(f"ls {_RUN} | grep {uuid} || true").strip() == "", "scratch files were left")
    expect("None" in host.shell(f"virsh domjobinfo {SOURCE}"), "a backup was left")
    again = host.run("vm_clone", **options)
    expect(again.get("changed") is False, f"a further run changed something: {again}")


def killed_at(point: str, *, daemon: bool = False) -> Callable[[Host], None]:
    """SIGKILL of the helper, or of the module, at a named moment, and of libvirtd if that is wanted."""

    def case(host: Host) -> None:
        wanted, pid = start_source(host)
        said = host.run("vm_clone", fault=f"{point}:kill", **OPTIONS)
        expect(bool(said.get("lost") or said.get("failed")), f"nothing was killed: {said}")
        untouched(host, wanted, pid)
        if daemon:
            kill_libvirtd(host)
        converged(host, wanted, pid, OPTIONS)

    return case


def killed_after_editing(host: Host) -> None:
    """SIGKILL when the copy of a Debian guest was made another machine, before it has its name."""
    host.shell(_CLEAR)
    host.send(DEBIAN, SOURCE_DISK)
    before = content(host, SOURCE_DISK)
    made = host.run("vm", name=SOURCE, state="present", memory="256MiB", disks=[{"path": SOURCE_DISK}])
    expect(not made.get("failed") and not made.get("lost"), f"the source could not be made: {made}")
    options = {"source": SOURCE, "clones": [{"name": CLONES[0]}], "identity": "edit"}
    said = host.run("vm_clone", fault=f"{EDITED}:kill", **options)
    if "virt-sysprep is not installed" in said.get("msg", ""):
        return
    expect(bool(said.get("lost") or said.get("failed")), f"nothing was killed: {said}")
    expect(host.shell(f"ls {FOLDER} | grep '^{CLONES[0]}' || true") == "", "a clone that is not whole has its name")
    after = host.run("vm_clone", **options)
    expect(not after.get("failed") and not after.get("lost"), f"the next run failed: {after}")
    expect(content(host, SOURCE_DISK) == before, "the source's content changed")
    expect(content(host, f"{FOLDER}/{CLONES[0]}-vda.qcow2") != before, "the clone was not edited")
    whole(host)
    expect(leftovers(host) == "", f"left over: {leftovers(host)}")
    again = host.run("vm_clone", **options)
    expect(again.get("changed") is False, f"a further run changed something: {again}")


def killed_module(host: Host) -> None:
    """SIGKILL of the module while its job reads: the next run joins the job."""
    wanted, pid = start_source(host)
    process = host.start("vm_clone", **_SLOW)
    wait_for(lambda: "imageops-job-clone" in _units(host), "the job")
    host.shell(f"pkill -9 -f '^/usr/bin/python3 .*{REMOTE_TMP}/.*AnsiballZ_vm_clone[.]py' || true")
    answer(process)
    converged(host, wanted, pid, _SLOW)


def _units(host: Host) -> str:
    return host.shell("systemctl list-units --no-legend --plain 'imageops-job-clone-*' | cut -d' ' -f1")


def killed_daemon(host: Host) -> None:
    """SIGKILL of libvirtd while the job reads: a clone all the same, or one clear sentence; and the next run converges."""
    wanted, pid = start_source(host)
    process = host.start("vm_clone", **_SLOW)
    wait_for(lambda: "Backup" in host.shell(f"virsh domjobinfo {SOURCE}", check=False), "the backup")
    kill_libvirtd(host)
    said = answer(process)
    expect(not said.get("lost"), f"the run said nothing: {said}")
    if said.get("failed"):
        expect(
            "run the task again" in said.get("msg", "") or "libvirt" in said.get("msg", ""),
            f"no clear sentence: {said}",
        )
    converged(host, wanted, pid, _SLOW)


def cancelled(host: Host) -> None:
    """The job is told to stop while it reads: it ends the backup itself."""
    wanted, pid = start_source(host)
    process = host.start("vm_clone", **_SLOW)
    wait_for(lambda: "Backup" in host.shell(f"virsh domjobinfo {SOURCE}", check=False), "the backup")
    host.shell(f"systemctl stop {_units(host)}")
    said = answer(process)
    expect(bool(said.get("failed")), f"a stopped job made a clone: {said}")
    expect("None" in host.shell(f"virsh domjobinfo {SOURCE}"), "a backup was left")
    expect(leftovers(host) == "", f"left over: {leftovers(host)}")
    converged(host, wanted, pid, OPTIONS)


CASES: dict[str, Callable[[Host], None]] = {
    **{f"kill -9 at {point}": killed_at(point) for point in POINTS if point != EDITED},
    **{f"kill -9 at {point}, and of libvirtd": killed_at(point, daemon=True) for point in POINTS if point != EDITED},
    f"kill -9 at {EDITED}": killed_after_editing,
    "kill -9 of the module": killed_module,
    "kill -9 of libvirtd": killed_daemon,
    "systemctl stop": cancelled,
}
