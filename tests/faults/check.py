# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interruptions of repairs and of reading: the image is the old one or the repaired one, and the next run converges."""

from __future__ import annotations

import hashlib
import random
from typing import Any, Callable

from host import Host, answer, begun, expect, forget

FOLDER = "/var/tmp/imageops-faults-check"
IMAGE, SOUND = f"{FOLDER}/image.qcow2", f"{FOLDER}/sound.qcow2"
_HASH = hashlib.sha256(IMAGE.encode()).hexdigest()[:16]
# Patterns of command lines; the brackets keep them from finding the shell that looks for them.
_KILLED = f"[j]obs/(repair|read)-{_HASH}|[q]emu-(img|nbd).*{FOLDER}"
_ROUNDS = 10


def prepare(host: Host) -> None:
    """A sound image of small clusters, and the same with a count of zero for clusters of data, and with leaked ones."""
    host.shell(
        f"""
        rm -rf {FOLDER}; mkdir {FOLDER}; cd {FOLDER}; head -c 40M /dev/urandom > data.raw; truncate -s 48M data.raw
        qemu-img convert -f raw -O qcow2 -o cluster_size=1024 data.raw sound.qcow2; rm data.raw
        table=$(od -An -tu8 --endian=big -j 48 -N 8 sound.qcow2 | tr -d ' ')
        for name in damaged leaking; do cp sound.qcow2 $name.qcow2; done
        block=$(od -An -tu8 --endian=big -j $((table + 8)) -N 8 sound.qcow2 | tr -d ' ')
        dd if=/dev/zero of=damaged.qcow2 bs=1 count=512 seek=$((block + 64)) conv=notrunc status=none
        count=$(($(stat -c %s sound.qcow2) / 1024))
        last=$(od -An -tu8 --endian=big -j $((table + 8 * (count / 512))) -N 8 sound.qcow2 | tr -d ' ')
        truncate -s +1K leaking.qcow2
        printf '\\0\\1' | dd of=leaking.qcow2 bs=1 seek=$((last + 2 * (count % 512))) conv=notrunc status=none
        """
    )


def tidy(host: Host) -> None:
    host.shell(f"rm -rf {FOLDER}")


def fresh(host: Host, name: str) -> str:
    """A broken image at the name, and its digest as a file."""
    host.shell(f"rm -f {IMAGE}* {FOLDER}/.*imageops*; cp {FOLDER}/{name}.qcow2 {IMAGE}")
    return file_digest(host)


def file_digest(host: Host) -> str:
    return host.shell(f"sha256sum < {IMAGE}").split()[0]


def is_repaired(host: Host) -> bool:
    """Whether QEMU finds nothing wrong, and guests see what they saw in the sound image."""
    script = f"qemu-img check -q -f qcow2 {IMAGE} && qemu-img compare -q -f qcow2 -F qcow2 {SOUND} {IMAGE} && echo yes || true"
    return host.shell(script).strip() == "yes"


def converges(host: Host, how: str) -> None:
    said = host.run("disk_check", path=IMAGE, repair=how)
    expect(not said.get("failed") and not said.get("lost"), f"the next run failed: {said}")
    expect(is_repaired(host), "the image is not repaired in the end")
    left = host.shell(f"find {FOLDER} -name '.*imageops*'").strip()
    expect(left == "", f"left over: {left}")


def random_kills(name: str, how: str) -> Callable[[Host], None]:
    """Ten times kill -9 of helper and engine at a random moment of a repair."""

    def case(host: Host) -> None:
        chance = random.Random(f"20261120 {how}")
        for _round in range(_ROUNDS):
            old = fresh(host, name)
            host.shell(forget(f"repair-{_HASH}"))
            process = host.start("disk_check", path=IMAGE, repair=how)
            delay = chance.uniform(0.0, 0.8)
            host.shell(f"{begun(f'repair-{_HASH}')}; sleep {delay:.2f}; pkill -9 -f '{_KILLED}' || true")
            answer(process)
            expect(file_digest(host) == old or is_repaired(host), f"neither old nor repaired after {delay:.2f} s")
            converges(host, how)

    return case


def killed_reading(host: Host) -> None:
    """A checksum dies; the next run reads again, and the image was never touched."""
    old = fresh(host, "sound")
    ask: dict[str, Any] = {"path": IMAGE, "checksum": "sha256"}
    process = host.start("disk_check", **ask, bandwidth="10M")
    host.shell(
        f"for turn in $(seq 300); do pgrep -f '[q]emu-nbd.*{FOLDER}' > /dev/null && break; sleep 0.02; done\n"
        f"sleep 0.5; pkill -9 -f '{_KILLED}'"
    )
    said = answer(process)
    expect(said.get("failed") is True and bool(said.get("msg")), f"no clear sentence: {said}")
    said = host.run("disk_check", **ask)
    expect(not said.get("failed") and said["changed"] is False, f"the next run failed: {said}")
    expect(file_digest(host) == old, "the image was touched")
    left = host.shell(f"pgrep -af '[q]emu-nbd.*{FOLDER}' || true; find {FOLDER} -name '.*imageops*'").strip()
    expect(left == "", f"left over: {left}")


def full(host: Host) -> None:
    """No space for the copy: a sentence, the old image, the space given back."""
    small = f"{FOLDER}/small"
    host.shell(
        f"truncate -s 100M {small}.img; mkfs.ext4 -q {small}.img; mkdir {small}; mount -o loop {small}.img {small}"
    )
    try:
        host.shell(f"cp {FOLDER}/damaged.qcow2 {small}/image.qcow2; sync")
        old = host.shell(f"sha256sum < {small}/image.qcow2")
        for filled in (10, 100):
            host.shell(f"head -c {filled}M /dev/zero > {small}/filler 2>/dev/null || true; sync")
            free = int(host.shell(f"df --output=avail -B1 {small} | tail -1"))
            said = host.run("disk_check", path=f"{small}/image.qcow2", repair="all")
            expect(said.get("failed") is True, f"it fitted: {said}")
            expect("free" in said["msg"] or "No space left" in said["msg"], f"no clear sentence: {said['msg']}")
            expect(host.shell(f"sha256sum < {small}/image.qcow2") == old, "the image changed")
            back = int(host.shell(f"sync; df --output=avail -B1 {small} | tail -1"))
            expect(abs(free - back) <= 1 << 20, f"{free - back} bytes were not given back")
    finally:
        host.shell(f"umount {small}")


def unreadable(host: Host) -> None:
    """A disk that gives I/O errors: a sentence, no checksum, nothing left running."""
    fresh(host, "sound")
    said = host.run("disk_check", path=IMAGE, compare_to=f"{FOLDER}/gone.qcow2")
    expect(said.get("failed") is True and "does not exist" in said["msg"], f"no clear sentence: {said}")
    process = host.start("disk_check", path=IMAGE, checksum="sha256", bandwidth="10M")
    host.shell(
        f"for turn in $(seq 300); do pgrep -f '[q]emu-nbd.*{FOLDER}' > /dev/null && break; sleep 0.02; done\n"
        f"sleep 0.5; truncate -s 4M {IMAGE}"
    )
    said = answer(process)
    expect(said.get("failed") is True and bool(said.get("msg")), f"a torn image got a checksum: {said}")
    left = host.shell(f"pgrep -af '[q]emu-nbd.*{FOLDER}' || true").strip()
    expect(left == "", f"left over: {left}")


CASES: dict[str, Callable[[Host], None]] = {
    "ten kills of a repair": random_kills("damaged", "all"),
    "ten kills of a repair of leaks": random_kills("leaking", "leaks"),
    "kill -9 while content is read": killed_reading,
    "file system full": full,
    "the image is cut while it is read": unreadable,
}
