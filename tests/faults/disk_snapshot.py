# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interruptions of snapshots inside of images: guests see the old content or the new, and the next run converges."""

from __future__ import annotations

import hashlib
import random
from typing import Any, Callable

from host import Host, answer, begun, expect, forget

FOLDER = "/var/tmp/imageops-faults-snapshot"
IMAGE, BASE = f"{FOLDER}/image.qcow2", f"{FOLDER}/base.qcow2"
_JOB = f"snapshot-{hashlib.sha256(IMAGE.encode()).hexdigest()[:16]}"
# Patterns of command lines; the brackets keep them from finding the shell that looks for them.
_KILLED = f"[j]obs/{_JOB}|[q]emu-img snapshot.*{FOLDER}"
_ROUNDS = 10
# What is asked, and the names of the snapshots before and after it.
_ASKS: dict[str, tuple[dict[str, Any], list[str], list[str]]] = {
    "create": ({"name": "new"}, ["old"], ["new", "old"]),
    "revert": ({"name": "old", "state": "reverted"}, ["old"], ["old"]),
    "delete": ({"name": "old", "state": "absent"}, ["old"], []),
}


def prepare(host: Host) -> None:
    """Two images of small clusters, so that there are many to count: QEMU takes tenths of a second for a snapshot."""
    script = (
        f"rm -rf {FOLDER}; mkdir {FOLDER}; cd {FOLDER}; head -c 40M /dev/urandom > data.raw; truncate -s 48M data.raw\n"
    )
    for name, cluster in (("base", 1024), ("wide", 512)):
        script += f"""
        qemu-img convert -f raw -O qcow2 -o cluster_size={cluster} data.raw {name}.qcow2
        qemu-img snapshot -c old {name}.qcow2
        qemu-io -f qcow2 -c 'write -P 5 0 20M' {name}.qcow2 > {name}.log
        """
    host.shell(f"{script} rm data.raw *.log")


def tidy(host: Host) -> None:
    host.shell(f"rm -rf {FOLDER}")


def fresh(host: Host, name: str = "base") -> None:
    host.shell(f"rm -f {IMAGE} {FOLDER}/.*imageops*; cp {FOLDER}/{name}.qcow2 {IMAGE}")


def digest(host: Host, snapshot: str = "") -> str:
    """What a guest sees, now or in a snapshot, as a digest; `absent` for a snapshot that isn't there."""
    which = f"-l snapshot.name={snapshot}" if snapshot else ""
    script = f"""
    qemu-img convert -f qcow2 {which} -O raw {IMAGE} {FOLDER}/seen.raw 2>/dev/null || {{ echo absent; exit 0; }}
    sha256sum < {FOLDER}/seen.raw; rm {FOLDER}/seen.raw
    """
    return host.shell(script).split()[0]


def names(host: Host) -> list[str]:
    return sorted(host.shell(f"qemu-img snapshot -l {IMAGE} | awk 'NR>2 {{print $2}}'").split())


def old_or_new(host: Host, verb: str, contents: tuple[str, str]) -> None:
    """`contents` are those of the disk before, and of its snapshot."""
    _options, before, after = _ASKS[verb]
    found = names(host)
    expect(found in (before, after), f"{verb}: the snapshots are {found}")
    now = digest(host)
    allowed = contents if verb == "revert" else contents[:1]
    expect(now in allowed, f"{verb}: the disk is neither the old nor the new")
    expect("old" not in found or digest(host, "old") == contents[1], f"{verb}: the snapshot changed")


def converges(host: Host, verb: str, contents: tuple[str, str]) -> None:
    """The next run ends it, QEMU finds nothing wrong, and nothing is left."""
    options, _before, after = _ASKS[verb]
    said = host.run("disk_snapshot", path=IMAGE, **options)
    expect(not said.get("failed") and not said.get("lost"), f"{verb}: the next run failed: {said}")
    expect(names(host) == after, f"{verb}: the snapshots are {names(host)} in the end")
    expect(digest(host) == contents[verb == "revert"], f"{verb}: the disk is not what it shall be in the end")
    checked = host.shell(f"qemu-img check -q -f qcow2 {IMAGE} && echo sound || true").strip()
    expect(checked == "sound", f"{verb}: qemu-img check finds something in the end")
    left = host.shell(f"find {FOLDER} -name '.*imageops*'").strip()
    expect(left == "", f"{verb}: left over: {left}")


def random_kills(verb: str, image: str = "base") -> Callable[[Host], None]:
    """Ten times kill -9 of helper and engine at a random moment of one operation."""

    def case(host: Host) -> None:
        chance = random.Random(f"20261120 {verb} {image}")
        fresh(host, image)
        contents = (digest(host), digest(host, "old"))
        for _round in range(_ROUNDS):
            fresh(host, image)
            host.shell(forget(_JOB))
            process = host.start("disk_snapshot", path=IMAGE, **_ASKS[verb][0])
            delay = chance.uniform(0.0, 0.7)
            host.shell(f"{begun(_JOB)}; sleep {delay:.2f}; pkill -9 -f '{_KILLED}' || true")
            answer(process)
            old_or_new(host, verb, contents)
            converges(host, verb, contents)

    return case


def full(host: Host) -> None:
    """No space for a snapshot, nor for the copy of a revert: a sentence, the old image, nothing left."""
    small = f"{FOLDER}/small"
    host.shell(
        f"truncate -s 160M {small}.img; mkfs.ext4 -q {small}.img; mkdir {small}; mount -o loop {small}.img {small}"
    )
    try:
        host.shell(
            f"cp {FOLDER}/wide.qcow2 {small}/image.qcow2; head -c 200M /dev/zero > {small}/filler 2>/dev/null || true"
        )
        before = host.shell(f"qemu-img snapshot -l {small}/image.qcow2 | awk 'NR>2 {{print $2}}'")
        for options in ({"name": "old", "state": "reverted"}, {"name": "new"}):
            said = host.run("disk_snapshot", path=f"{small}/image.qcow2", **options)
            expect(said.get("failed") is True, f"it fitted: {said}")
            expect("space" in said["msg"], f"no clear sentence: {said['msg']}")
            found = host.shell(f"qemu-img snapshot -l {small}/image.qcow2 | awk 'NR>2 {{print $2}}'")
            expect(found == before, "the snapshots changed")
            checked = host.shell(
                f"rm {small}/filler; qemu-img check -q -f qcow2 {small}/image.qcow2 && echo sound || true"
            )
            expect(checked.strip() == "sound", "QEMU finds something wrong")
            host.shell(f"head -c 200M /dev/zero > {small}/filler 2>/dev/null || true")
        left = host.shell(f"find {small} -name '.*imageops*'").strip()
        expect(left == "", f"left over: {left}")
    finally:
        host.shell(f"umount {small}")


def together(host: Host) -> None:
    """Four runs at the same moment that want the same snapshot: one is made, all agree."""
    fresh(host)
    processes = [host.start("disk_snapshot", path=IMAGE, name="new") for _number in range(4)]
    answers = [answer(process) for process in processes]
    good = [said for said in answers if not said.get("failed") and not said.get("lost")]
    expect(len(good) == len(answers), f"some failed: {[said.get('msg') for said in answers]}")
    expect(sum(said["changed"] for said in good) == 1, "not just one of them made it")
    expect(names(host) == ["new", "old"], f"the snapshots are {names(host)}")


CASES: dict[str, Callable[[Host], None]] = {
    "ten kills while one is created": random_kills("create"),
    "ten kills of a revert in place": random_kills("revert"),
    "ten kills of a revert on a copy": random_kills("revert", "wide"),
    "ten kills while one is deleted": random_kills("delete"),
    "file system full": full,
    "four equal runs at once": together,
}
