# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interruptions of a conversion: the destination holds the old image or the new one, and the next run converges."""

from __future__ import annotations

import hashlib
import random
import subprocess
from typing import Any, Callable

from host import Host, answer, expect, wait_for

FOLDER = "/var/tmp/imageops-faults"
SRC, DEST = f"{FOLDER}/source.raw", f"{FOLDER}/image.qcow2"
# 160 MiB at 40 MB/s: four seconds in which something can be killed.
SLOW = {"src": SRC, "src_format": "raw", "dest": DEST, "bandwidth": "40M"}
# Patterns of command lines; the brackets keep them from finding the shell that looks for them.
_QEMU = f"[q]emu-img convert.*{FOLDER}/"
_JOB = f"convert-{hashlib.sha256(DEST.encode()).hexdigest()[:16]}"
_HELPER = f"[j]obs/{_JOB}"
_MODULE = "[A]nsiballZ_disk_convert"


def prepare(host: Host) -> None:
    """A source with random content, and nothing else."""
    host.shell(
        f"rm -rf {FOLDER}; mkdir {FOLDER}; dd if=/dev/urandom of={SRC} bs=1M count=160 status=none; truncate -s 256M {SRC}"
    )


def tidy(host: Host) -> None:
    host.shell(f"rm -rf {FOLDER}")


def content(host: Host, path: str) -> str:
    """Digest of what a guest would see in a qcow2 file, or `absent`."""
    script = f"""
    test -e {path} || {{ echo absent; exit 0; }}
    qemu-img convert -f qcow2 -O raw {path} {FOLDER}/seen.raw; sha256sum < {FOLDER}/seen.raw; rm {FOLDER}/seen.raw
    """
    return host.shell(script).split()[0]


def wanted(host: Host) -> str:
    return host.shell(f"sha256sum < {SRC}").split()[0]


def old_image(host: Host) -> str:
    """An older conversion at the destination, made by the collection; its content's digest."""
    host.shell(f"rm -f {DEST}; dd if=/dev/urandom of={FOLDER}/old.raw bs=1M count=8 status=none")
    made = host.run("disk_convert", src=f"{FOLDER}/old.raw", src_format="raw", dest=DEST)
    expect(not made["failed"], f"the older image could not be made: {made}")
    return content(host, DEST)


def leftovers(host: Host) -> str:
    """Hidden files beside the destination, and engines that still run."""
    return host.shell(f"find {FOLDER} -name '.*imageops*'; pgrep -af '{_QEMU}' || true").strip()


def in_convert(host: Host) -> Callable[[], bool]:
    return lambda: host.shell(f"pgrep -f '{_QEMU}' || true").strip() != ""


def converges(host: Host) -> None:
    """The next run finishes, a further one changes nothing, and nothing is left over."""
    after = host.run("disk_convert", **SLOW)
    expect(not after.get("failed") and not after.get("lost"), f"the next run failed: {after}")
    again = host.run("disk_convert", **SLOW)
    expect(again.get("changed") is False, f"a further run changed something: {again}")
    expect(content(host, DEST) == wanted(host), "the destination does not hold the source's content")
    expect(leftovers(host) == "", f"left over: {leftovers(host)}")


def killed(pattern: str) -> Callable[[Host], None]:
    """kill -9 of what matches `pattern`, in the middle of a conversion over an older image."""

    def case(host: Host) -> None:
        old = old_image(host)
        process = host.start("disk_convert", **SLOW)
        wait_for(in_convert(host), "the conversion")
        host.shell(f"pkill -9 -f '{pattern}'")
        said = answer(process)
        expect(content(host, DEST) in (old, wanted(host)), "the destination is neither the old image nor the new one")
        if said.get("failed"):
            expect(bool(said.get("msg")), f"no sentence: {said}")
        converges(host)

    return case


def cut_connection(host: Host) -> None:
    """The SSH session dies; the job goes on, and the next run joins it."""
    old_image(host)
    # Slow enough that a busy machine comes back in time.
    slow = {**SLOW, "bandwidth": "12M"}
    process = host.start("disk_convert", **slow)
    wait_for(in_convert(host), "the conversion")
    host.shell(f"pkill -9 -f '{_MODULE}'")
    process.kill()
    process.communicate()
    expect(in_convert(host)(), "the job ended with the connection")
    joined = host.run("disk_convert", **slow)
    expect(joined["disks"][0].get("joined") is True, f"the next run did not join the job: {joined}")
    converges(host)


def stopped(host: Host) -> None:
    """systemctl stop of the job: a clear sentence, the old image, no partial file."""
    old = old_image(host)
    process = host.start("disk_convert", **SLOW)
    wait_for(in_convert(host), "the conversion")
    host.shell(f"systemctl stop 'imageops-job-{_JOB}.service'")
    said = answer(process)
    expect(said.get("failed") is True and "stopped" in said.get("msg", ""), f"no clear sentence: {said}")
    expect(content(host, DEST) == old, "the destination is not the old image")
    expect(leftovers(host) == "", f"left over: {leftovers(host)}")
    converges(host)


def random_kills(host: Host) -> None:
    """Ten times kill -9 of helper and engine at a random moment; then the destination is old or new."""
    chance = random.Random(20261120)
    for _round in range(10):
        old = old_image(host)
        process = host.start("disk_convert", src=SRC, src_format="raw", dest=DEST, bandwidth="120M")
        delay = chance.uniform(0.3, 2.5)
        host.shell(f"sleep {delay:.2f}; pkill -9 -f '{_HELPER}|{_QEMU}' || true")
        answer(process)
        found = content(host, DEST)
        expect(found in (old, wanted(host)), f"neither old nor new after {delay:.2f} s")
    converges(host)


def full_disk(host: Host) -> None:
    """A small file system at several fill levels: one sentence, the old image, the space given back."""
    disk = f"{FOLDER}/small"
    host.shell(f"truncate -s 120M {disk}.img; mkfs.ext4 -q {disk}.img; mkdir {disk}; mount -o loop {disk}.img {disk}")
    try:
        for filled in (0, 30, 60, 80):
            host.shell(f"rm -f {disk}/filler {disk}/*.qcow2; head -c {filled}M /dev/zero > {disk}/filler; sync")
            free = int(host.shell(f"sync; df --output=avail -B1 {disk} | tail -1"))
            said = host.run("disk_convert", src=SRC, src_format="raw", dest=f"{disk}/image.qcow2")
            expect(said.get("failed") is True, f"160 MiB went into {free} bytes: {said}")
            expect("No space left" in said["msg"] or "free" in said["msg"], f"no clear sentence: {said['msg']}")
            back = int(host.shell(f"sync; df --output=avail -B1 {disk} | tail -1"))
            expect(abs(free - back) <= 1 << 20, f"{free - back} bytes were not given back")
            expect(
                host.shell(f"ls -A {disk} | grep -v lost+found | grep -v filler || true").strip() == "",
                "files were left",
            )
    finally:
        host.shell(f"umount {disk}")


def together(count: int, **other: str) -> Callable[[Host], None]:
    """`count` runs at the same moment on one destination; with `other`, half of them want that instead."""

    def case(host: Host) -> None:
        host.shell(f"rm -f {DEST}")
        processes: list[subprocess.Popen[str]] = []
        for number in range(count):
            options = {**SLOW, **(other if number % 2 else {})}
            processes.append(host.start("disk_convert", **options))
        answers = [answer(process) for process in processes]
        good = [said for said in answers if not said.get("failed")]
        expect(bool(good), f"nobody won: {answers}")
        for said in answers:
            expect(not said.get("lost"), f"a run said nothing: {said}")
            expect(not said.get("failed") or bool(said["msg"]), f"no sentence: {said}")
        expect(other != {} or len(good) == count, f"equal runs failed: {[said.get('msg') for said in answers]}")
        expect(content(host, DEST) == wanted(host), "the destination does not hold the source's content")
        expect(leftovers(host) == "", f"left over: {leftovers(host)}")

    return case


# Ways to convert that go through other code, and the moments between two effects that each has.
_MOMENTS = ("before-write", "before-verify", "before-publish", "after-publish")
WAYS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "qemu-img": ({}, _MOMENTS),
    "LUKS": ({"passphrase": "drowssap", "options": {"iter_time": 10}}, _MOMENTS),
    "own writer": ({"options": {"compression_type": "zlib"}}, (*_MOMENTS, "while-writing")),
}


def at_moments(way: str, *hows: str) -> Callable[[Host], None]:
    """A failure at every named moment of a way to convert: old or new, then the next run converges."""

    def case(host: Host) -> None:
        given, moments = WAYS[way]
        small = {"src": f"{FOLDER}/small.raw", "src_format": "raw", "dest": DEST, **given}
        host.shell(f"head -c 2M /dev/urandom > {FOLDER}/small.raw; truncate -s 8M {FOLDER}/small.raw")
        for moment in moments:
            for how in hows:
                old = old_image(host)
                said = host.run("disk_convert", fault=f"convert:{moment}:{how}", **small)
                expect(bool(said.get("failed")) and bool(said.get("msg")), f"{moment}:{how}: no sentence: {said}")
                new = moment == "after-publish"
                if not new or way != "LUKS":
                    wanted_now = host.shell(f"sha256sum < {FOLDER}/small.raw").split()[0] if new else old
                    expect(content(host, DEST) == wanted_now, f"{moment}:{how}: neither old nor new")
                after = host.run("disk_convert", **small)
                expect(after.get("changed") is not new and not after.get("failed"), f"{moment}:{how}: then {after}")
                expect(host.run("disk_convert", **small).get("changed") is False, f"{moment}:{how}: changed again")
                expect(leftovers(host) == "", f"{moment}:{how}: left over: {leftovers(host)}")

    return case


def on_a_device(host: Host) -> None:
    """kill -9 at every moment of writing onto a block device: the next run finishes without being told to."""
    host.shell(f"head -c 2M /dev/urandom > {FOLDER}/small.raw; truncate -s 8M {FOLDER}/small.raw")
    for moment in ("before-mark", *_MOMENTS):
        host.shell(f"rm -f {FOLDER}/disk; truncate -s 16M {FOLDER}/disk")
        device = host.shell(f"losetup -f --show {FOLDER}/disk").strip()
        task = {"src": f"{FOLDER}/small.raw", "src_format": "raw", "dest": device, "format": "raw"}
        try:
            said = host.run("disk_convert", fault=f"convert:{moment}:kill", **task)
            expect(bool(said.get("failed")) and bool(said.get("msg")), f"{moment}: no sentence: {said}")
            after = host.run("disk_convert", **task)
            new = moment == "after-publish"
            expect(after.get("changed") is not new and not after.get("failed"), f"{moment}: then {after}")
            expect(host.run("disk_convert", **task).get("changed") is False, f"{moment}: changed again")
            host.shell(f"cmp -n 8388608 {device} {FOLDER}/small.raw")
        finally:
            host.shell(f"losetup -d {device}")


CASES: dict[str, Callable[[Host], None]] = {
    "kill -9 of the module": killed(_MODULE),
    "kill -9 of the helper": killed(_HELPER),
    "kill -9 of qemu-img": killed(_QEMU),
    "cut connection, then join": cut_connection,
    "job stopped": stopped,
    "ten kills at random moments": random_kills,
    "file system full": full_disk,
    "two equal runs at once": together(2),
    "eight equal runs at once": together(8),
    "two different runs at once": together(2, bandwidth="60M"),
    "every moment": at_moments("qemu-img", "kill", "full", "broken"),
    "every moment of LUKS": at_moments("LUKS", "kill"),
    "every moment of the own writer": at_moments("own writer", "kill", "full"),
    "every moment on a block device": on_a_device,
}
