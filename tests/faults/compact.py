# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interruptions of compactions: the name shows the old image or the new, guests see the same, and the next run converges."""

from __future__ import annotations

import hashlib
import random
from typing import Callable

from host import Host, answer, begun, expect, forget

FOLDER = "/var/tmp/imageops-faults-compact"
IMAGE, BASE, DISK = f"{FOLDER}/image.qcow2", f"{FOLDER}/base.qcow2", f"{FOLDER}/disk.raw"
_JOB = f"compact-{hashlib.sha256(IMAGE.encode()).hexdigest()[:16]}"
# The brackets keep the pattern from finding the shell that looks for it.
_KILLED = f"[j]obs/{_JOB}|[q]emu-(img|nbd) .*{FOLDER}"
_ROUNDS = 10
_MOMENTS = ("before-rewrite", "rewritten", "before-verify", "before-publish", "after-publish")
_WAYS: dict[str, dict[str, str]] = {"zeros": {}, "own writer": {"compression": "zlib"}}


def prepare(host: Host) -> None:
    """A disk of which a part compresses, in an image that holds all of its zeros."""
    host.shell(
        f"""rm -rf {FOLDER}; mkdir {FOLDER}; cd {FOLDER}
        seq 1 2000000 > {DISK}; head -c 8M /dev/urandom >> {DISK}; truncate -s 64M {DISK}
        qemu-img convert -S 0 -f raw -O qcow2 {DISK} {BASE}"""
    )


def tidy(host: Host) -> None:
    host.shell(f"rm -rf {FOLDER}")


def fresh(host: Host) -> None:
    host.shell(f"rm -f {IMAGE} {FOLDER}/.*imageops*; cp --sparse=never {BASE} {IMAGE}; {forget(_JOB)}")


def same(host: Host) -> None:
    """Guests see what they saw, whichever image the name shows."""
    found = host.shell(f"qemu-img compare -q -f raw -F qcow2 {DISK} {IMAGE} && echo same || true").strip()
    expect(found == "same", "the disk's content changed")


def converges(host: Host, way: str) -> None:
    """The next run ends it, the one after changes nothing, and nothing is left."""
    said = host.run("disk_compact", path=IMAGE, discard="never", **_WAYS[way])
    expect(not said.get("failed") and not said.get("lost"), f"the next run failed: {said}")
    again = host.run("disk_compact", path=IMAGE, discard="never", **_WAYS[way])
    expect(again.get("changed") is False, f"the run after the next changed something: {again}")
    same(host)
    sizes = [int(size) for size in host.shell(f"stat -c %s {BASE} {IMAGE}").split()]
    expect(sizes[1] < sizes[0] / 2, f"it isn't smaller: {sizes}")
    left = host.shell(f"find {FOLDER} -name '.*imageops*'; pgrep -f '{_KILLED}' || true").strip()
    expect(left == "", f"left over: {left}")


def random_kills(way: str) -> Callable[[Host], None]:
    """Ten times kill -9 of helper and engines at a random moment."""

    def case(host: Host) -> None:
        chance = random.Random(f"20261120 {way}")
        for _round in range(_ROUNDS):
            fresh(host)
            process = host.start("disk_compact", path=IMAGE, discard="never", **_WAYS[way])
            delay = chance.uniform(0.0, 1.0)
            host.shell(f"{begun(_JOB)}; sleep {delay:.2f}; pkill -9 -f '{_KILLED}' || true")
            answer(process)
            same(host)
            converges(host, way)

    return case


def at_moments(how: str) -> Callable[[Host], None]:
    """Killed, out of space or with an I/O error at every named step."""

    def case(host: Host) -> None:
        for way, options in _WAYS.items():
            for moment in (*_MOMENTS, *(["while-writing"] if way == "own writer" else [])):
                fresh(host)
                fault = f"compact:{moment}:{how}"
                said = host.run("disk_compact", path=IMAGE, discard="never", fault=fault, **options)
                expect(said.get("failed") is True, f"{fault} was not met: {said}")
                same(host)
                converges(host, way)

    return case


def full(host: Host) -> None:
    """No room for the new image: a sentence, the old image, nothing left."""
    small = f"{FOLDER}/small"
    host.shell(
        f"""truncate -s 96M {small}.img; mkfs.ext4 -q {small}.img; mkdir {small}; mount -o loop {small}.img {small}
        cp --sparse=never {BASE} {small}/image.qcow2; head -c 90M /dev/zero > {small}/filler 2>/dev/null || true"""
    )
    try:
        said = host.run("disk_compact", path=f"{small}/image.qcow2", discard="never")
        expect(said.get("failed") is True, f"it fitted: {said}")
        expect("free" in said["msg"] or "space" in said["msg"], f"no clear sentence: {said['msg']}")
        found = host.shell(f"cmp {BASE} {small}/image.qcow2 && find {small} -name '.*imageops*'").strip()
        expect(found == "", f"the image changed, or something is left: {found}")
    finally:
        host.shell(f"umount {small}; rm -r {small} {small}.img")


def together(host: Host) -> None:
    """Eight runs at the same moment: one compacts, all agree."""
    fresh(host)
    processes = [host.start("disk_compact", path=IMAGE, discard="never") for _number in range(8)]
    answers = [answer(process) for process in processes]
    bad = [said for said in answers if said.get("failed") or said.get("lost")]
    expect(not bad, f"some failed: {bad[:2]}")
    same(host)
    converges(host, "zeros")


CASES: dict[str, Callable[[Host], None]] = {
    "ten kills, by qemu-img": random_kills("zeros"),
    "ten kills, by our own writer": random_kills("own writer"),
    "killed at each step": at_moments("kill"),
    "out of space at each step": at_moments("full"),
    "an I/O error at each step": at_moments("broken"),
    "file system full": full,
    "eight equal runs at once": together,
}
