# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interruptions of installations: the name shows the old content or the finished disk, no machine, network or file stays, and the next
run converges."""

from __future__ import annotations

import subprocess
from typing import Any, Callable

from host import BUILD, TOP, Host, answer, expect, kill_libvirtd, wait_for

NAME = "imageops-installing"
FOLDER = f"/var/lib/libvirt/images/{NAME}"
DISK = f"{FOLDER}/disk.qcow2"
QUIET = "quiet loglevel=3 mitigations=off nokaslr no_timer_check"
OPTIONS: dict[str, Any] = {
    "path": DISK,
    "size": "100MiB",
    "memory": "256MiB",
    "vcpus": 1,
    "boot": "network",
    "kernel": f"{FOLDER}/linux",
    "initrd": f"{FOLDER}/initrd",
    "arguments": QUIET,
    "answers": {"kind": "preseed", "content": "imageops-mark=killed"},
    "finish": {"timeout": 3600},
}
POINTS = (
    "install:before-disk",
    "install:disk-made",
    "install:prepared",
    "install:served",
    "install:started",
    "install:installed",
    "install:before-publish",
    "install:published",
)
_INSTALLER = BUILD / "fleet" / "guest" / "installer"
_MACHINES = "virsh list --all --name | grep '^imageops-install-' || true"
_NETWORKS = "virsh net-list --all --name | grep '^imageops-install-' || true"


def prepare(host: Host) -> None:
    """The installer's kernel and initrd."""
    subprocess.run([TOP / "tests" / "fleet" / "installer"], check=True)
    tidy(host)
    host.shell(f"mkdir -m 711 {FOLDER}")
    for name in ("linux", "initrd"):
        host.send(_INSTALLER / name, f"{FOLDER}/{name}")


def tidy(host: Host) -> None:
    host.shell(f"rm -rf {FOLDER}")


def leftovers(host: Host) -> str:
    """Hidden files, machines and networks of installations."""
    return host.shell(f"find {FOLDER} -name '.*'; {_MACHINES}; {_NETWORKS}").strip()


def shows(host: Host, wanted: str) -> None:
    """The name shows the finished disk, or what was there before: nothing (an empty text), or this text."""
    found = host.shell(f"head -c 4 {DISK} 2>/dev/null | od -An -tx1 || true").strip()
    done = host.shell(f"getfattr -n user.imageops.record {DISK} 2>/dev/null || true").strip()
    old = " ".join(f"{byte:02x}" for byte in wanted.encode()[:4])
    whole = found == "51 46 49 fb" and "install" in done
    expect(whole or found == old, f"the name shows something else than the old or the finished disk: {found}")


def converged(host: Host, options: dict[str, Any]) -> None:
    """The next run finishes, a further one changes nothing, and nothing is left."""
    after = host.run("vm_install", **options)
    expect(not after.get("failed") and not after.get("lost"), f"the next run failed: {after}")
    host.shell(f"qemu-img check -q -f qcow2 {DISK}")
    expect(leftovers(host) == "", f"left over: {leftovers(host)}")
    again = host.run("vm_install", **options)
    expect(again.get("changed") is False, f"a further run changed something: {again}")


def begin(host: Host, old: str) -> dict[str, Any]:
    """No disk, or an old one; the options for that."""
    host.shell(f"rm -f {DISK} {FOLDER}/.d*; test -z '{old}' || printf '%s' '{old}' > {DISK}")
    return {**OPTIONS, "force": True} if old else OPTIONS


def killed_at(point: str, *, old: str = "", daemon: bool = False) -> Callable[[Host], None]:
    """SIGKILL of the job at a named moment, and of libvirtd if that is wanted."""

    def case(host: Host) -> None:
        options = begin(host, old)
        said = host.run("vm_install", fault=f"{point}:kill", **options)
        expect(bool(said.get("lost") or said.get("failed")), f"nothing was killed: {said}")
        shows(host, old)
        if daemon:
            kill_libvirtd(host)
        wait_for(lambda: host.shell(_MACHINES).strip() == "" or daemon, "the end of the machine")
        converged(host, options)

    return case


def full_at(point: str) -> Callable[[Host], None]:
    """No space at a named moment: one clear sentence, and nothing is left."""

    def case(host: Host) -> None:
        options = begin(host, "")
        said = host.run("vm_install", fault=f"{point}:full", **options)
        expect("No space left" in said.get("msg", ""), f"no clear sentence: {said}")
        shows(host, "")
        expect(leftovers(host) == "", f"left over: {leftovers(host)}")
        converged(host, options)

    return case


def stopped(host: Host) -> None:
    """The job is told to stop while the installer runs: it tidies by itself."""
    options = begin(host, "")
    process = host.start("vm_install", **{**options, "arguments": f"{QUIET} installer=hang"})
    wait_for(lambda: host.shell(_MACHINES).strip() != "", "the machine", seconds=120)
    host.shell("systemctl stop 'imageops-job-install-*'")
    said = answer(process)
    expect(bool(said.get("failed")), f"a stopped job installed something: {said}")
    expect(leftovers(host) == "", f"left over: {leftovers(host)}")
    converged(host, options)


def killed_daemon(host: Host) -> None:
    """SIGKILL of libvirtd while the installer runs: one clear sentence, and the next run converges."""
    options = begin(host, "")
    process = host.start("vm_install", **{**options, "arguments": f"{QUIET} installer=hang"})
    wait_for(lambda: host.shell(_MACHINES).strip() != "", "the machine", seconds=120)
    kill_libvirtd(host)
    said = answer(process)
    expect(bool(said.get("failed")) and "libvirt" in said.get("msg", ""), f"no clear sentence: {said}")
    shows(host, "")
    converged(host, options)


def two_at_once(host: Host) -> None:
    """The same task twice at once: one installation, and both have its end; one with other options is refused meanwhile."""
    options = begin(host, "")
    first = host.start("vm_install", **options)
    wait_for(lambda: host.shell(_MACHINES).strip() != "", "the machine", seconds=120)
    other = host.run("vm_install", **{**options, "arguments": "other"})
    expect("with other options" in other.get("msg", ""), f"another installation was not refused: {other}")
    second = host.run("vm_install", **options)
    both = (answer(first), second)
    expect(not any(said.get("failed") or said.get("lost") for said in both), f"one of two failed: {both}")
    ids = {said["installs"][0].get("job", {}).get("seconds") for said in both if said["installs"][0].get("job")}
    expect(len(ids) <= 1, f"it was installed twice: {both}")
    converged(host, options)


CASES: dict[str, Callable[[Host], None]] = {
    **{f"kill -9 at {point}": killed_at(point) for point in POINTS},
    **{f"kill -9 at {point}, of an old disk": killed_at(point, old="an old disk") for point in POINTS[-3:]},
    "kill -9 at install:started, and of libvirtd": killed_at("install:started", daemon=True),
    **{f"full disk at {point}": full_at(point) for point in (POINTS[0], POINTS[2], POINTS[6])},
    "systemctl stop": stopped,
    "kill -9 of libvirtd": killed_daemon,
    "two at once": two_at_once,
}
QUICK = {name: CASES[name] for name in ("kill -9 at install:started",)}
