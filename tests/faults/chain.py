# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interruptions of chain work: what a guest sees stays the same at every moment, and the next run converges."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from typing import Any, Callable

from host import Host, answer, expect, wait_for

TOP = "/var/tmp/imageops-faults-chain"
FOLDER = f"{TOP}/disk"
MASTER = f"{TOP}/master"
BASE, LOW, HIGH, IMAGE, OTHER = (f"{FOLDER}/{name}" for name in ("base.raw", "low", "high", "top", "other"))
_MODULE = "[A]nsiballZ_disk_chain"
_USERS = f"find /proc/[0-9]*/fd -lname '{FOLDER}/*' 2>/dev/null | cut -d/ -f3 | sort -u"


@dataclass(frozen=True)
class Way:
    """One of the module's operations: its options, the file its job writes, where the content is afterwards."""

    options: dict[str, Any]
    target: str = IMAGE
    result: str = IMAGE
    format: str = "qcow2"
    points: tuple[str, ...] = ()

    # What /proc calls the program that does the work.
    engine: str = "qemu-storage-da"

    @property
    def engines(self) -> str:
        """The shell command that prints the engine's process."""
        return f"for pid in $({_USERS}); do grep -qx {self.engine} /proc/$pid/comm 2>/dev/null && echo $pid; done; true"

    @property
    def job(self) -> str:
        """The id of its job."""
        return f"chain-{hashlib.sha256(self.target.encode()).hexdigest()[:16]}"

    @property
    def helper(self) -> str:
        """A pattern of the helper's command line; the brackets keep it from finding who looks."""
        return f"[j]obs/{self.job}"


_UP = ("chain:before-copy", "chain:copied", "chain:before-header", "chain:header-written")
_DOWN = ("chain:before-growth", "chain:before-commit", "chain:committed", "chain:before-record", "chain:before-removal")
WAYS = {
    "flatten": Way({"depth": 1}, points=_UP),
    "rewrite": Way(
        {"depth": 1, "rewrite": True},
        points=("chain:before-rewrite", "chain:written-anew", "chain:before-publish"),
        engine="qemu-img",
    ),
    "shorten": Way({"depth": 2}, points=_UP),
    "rebase": Way(
        {"backing": {"path": OTHER, "format": "qcow2"}},
        points=("chain:before-rewrite", "chain:written-anew", "chain:before-publish"),
        engine="qemu-img",
    ),
    "commit": Way(
        {"commit": {"into": BASE}}, target=BASE, result=BASE, format="raw", points=(*_DOWN, "chain:layer-removed")
    ),
    "commit, kept": Way(
        {"commit": {"into": LOW, "keep": True}}, target=LOW, points=(*_DOWN[1:], "chain:before-publish")
    ),
}


def prepare(host: Host) -> None:
    """A master copy of a chain: a base, two layers, the image, another base; and what a guest sees in the image."""
    tidy(host)
    host.shell(f"""
    mkdir -p {MASTER} {FOLDER}; cd {FOLDER}
    head -c 48M /dev/urandom > base.raw
    qemu-img create -q -f qcow2 -b {BASE} -F raw low 48M
    head -c 8M /dev/urandom > piece; qemu-io -f qcow2 -c "write -s piece 4M 8M" -c "write -z 20M 4M" low >/dev/null
    qemu-img create -q -f qcow2 -b {LOW} -F qcow2 high 64M
    head -c 8M /dev/urandom > piece; qemu-io -f qcow2 -c "write -s piece 8M 8M" -c "write -s piece 50M 8M" high >/dev/null
    qemu-img create -q -f qcow2 -b {HIGH} -F qcow2 top
    head -c 8M /dev/urandom > piece; qemu-io -f qcow2 -c "write -s piece 12M 8M" -c "write -s piece 55M 8M" top >/dev/null
    qemu-img convert -f raw -O qcow2 base.raw other; qemu-io -f qcow2 -c "write -s piece 30M 8M" other >/dev/null
    qemu-img convert -f qcow2 -O raw top {TOP}/seen.raw
    rm piece; mv * {MASTER}
    """)


def tidy(host: Host) -> None:
    host.shell(f"umount {FOLDER} 2>/dev/null || true; rm -rf {TOP}")


def afresh(host: Host) -> None:
    """The chain as it was in the beginning."""
    host.shell(f"rm -rf {FOLDER}/* {FOLDER}/.[!.]*; cp --sparse=always {MASTER}/* {FOLDER}")


def options(way: Way, **more: Any) -> dict[str, Any]:
    return {"path": IMAGE, "chain": [HIGH, LOW, BASE, OTHER], **way.options, **more}


def seen(host: Host, path: str, format: str) -> bool:
    """Whether a guest sees in an image what it saw in the beginning."""
    said = host.shell(f"qemu-img compare -f {format} -F raw {path} {TOP}/seen.raw 2>&1 || true")
    return "Images are identical" in said


def held(host: Host, way: Way, when: str) -> None:
    """The image reads as before; or it is gone, and the file that it was committed into reads so."""
    there = host.shell(f"test -e {IMAGE} && echo yes || true").strip()
    path, format = (IMAGE, "qcow2") if there else (way.result, way.format)
    expect(seen(host, path, format), f"the content of {path} changed ({when})")


def leftovers(host: Host) -> str:
    """Hidden files, and processes that have a file of the chain open."""
    return host.shell(f"find {FOLDER} -name '.*imageops*'; {_USERS}").strip()


def converges(host: Host, way: Way, when: str, **more: Any) -> None:
    """The next run finishes, a further one changes nothing, the content is right, nothing is left."""
    after = host.run("disk_chain", **options(way, **more))
    expect(not after.get("failed") and not after.get("lost"), f"the next run failed ({when}): {after}")
    again = host.run("disk_chain", **options(way, **more))
    expect(again.get("changed") is False, f"a further run changed something ({when}): {again}")
    expect(seen(host, way.result, way.format), f"the content of {way.result} is not right ({when})")
    if way.format == "qcow2":
        host.shell(f"qemu-img check -q -f qcow2 {way.result}")
    expect(leftovers(host) == "", f"left over ({when}): {leftovers(host)}")


def points(way: Way, how: str) -> Callable[[Host], None]:
    """The job fails at every named point: killed, disk full, I/O error."""

    def case(host: Host) -> None:
        for point in way.points:
            afresh(host)
            said = host.run("disk_chain", fault=f"{point}:{how}", **options(way))
            expect(bool(said.get("failed")), f"nothing failed at {point}: {said}")
            expect(bool(said.get("msg")), f"no sentence at {point}: {said}")
            held(host, way, point)
            converges(host, way, point)

    return case


def working(host: Host) -> Callable[[], bool]:
    return lambda: leftovers(host) != ""


def killed(way: Way, pattern: str) -> Callable[[Host], None]:
    """kill -9 of what matches `pattern` (an empty one: the engine) in the middle of the work."""

    def case(host: Host) -> None:
        afresh(host)
        process = host.start("disk_chain", **options(way, bandwidth="4M"))
        wait_for(lambda: bool(host.shell(way.engines).strip()), "the work", seconds=120)
        host.shell(f"pkill -9 -f '{pattern}'" if pattern else f"kill -9 $({way.engines})")
        answer(process)
        if pattern == _MODULE:
            wait_for(lambda: not working(host)(), "the end of the job", seconds=60)
        held(host, way, "killed")
        converges(host, way, "killed", bandwidth="200M")

    return case


def random_kills(way: Way) -> Callable[[Host], None]:
    """Ten times kill -9 of helper and engine at a random moment."""

    def case(host: Host) -> None:
        chance = random.Random(20261120)
        for number in range(10):
            afresh(host)
            delay = chance.uniform(0.0, 1.2)
            process = host.start("disk_chain", **options(way, bandwidth="40M"))
            host.shell(f"""
            for try in $(seq 600); do pgrep -f '{way.helper}' >/dev/null && break; sleep 0.02; done
            sleep {delay:.3f}; pkill -9 -f '{way.helper}' || true
            """)
            answer(process)
            held(host, way, f"killed after {delay:.3f} s")
            if number in (4, 9):
                converges(host, way, f"killed after {delay:.3f} s", bandwidth="40M")

    return case


def stopped(way: Way) -> Callable[[Host], None]:
    """systemctl stop of the job: a clear sentence, the same content, nothing left."""

    def case(host: Host) -> None:
        afresh(host)
        process = host.start("disk_chain", **options(way, bandwidth="4M"))
        wait_for(lambda: bool(host.shell(way.engines).strip()), "the work", seconds=120)
        host.shell(f"systemctl stop 'imageops-job-{way.job}.service'")
        said = answer(process)
        expect(said.get("failed") is True and "stopped" in said.get("msg", ""), f"no clear sentence: {said}")
        expect(leftovers(host) == "", f"left over: {leftovers(host)}")
        held(host, way, "stopped")
        converges(host, way, "stopped")

    return case


def full_disk(way: Way) -> Callable[[Host], None]:
    """A small file system at several fill levels: one sentence, the same content; with space the next run converges."""

    def case(host: Host) -> None:
        host.shell(f"""
        rm -rf {FOLDER}/*; truncate -s 240M {TOP}/small.img; mkfs.ext4 -q {TOP}/small.img; mount -o loop {TOP}/small.img {FOLDER}
        """)
        try:
            for free in (1, 4, 9, 14):
                afresh(host)
                host.shell(f"""
                sync; have=$(df --output=avail -BK {FOLDER} | tail -1 | tr -d K)
                fallocate -l $((have - {free} * 1024))K {FOLDER}/filler
                """)
                said = host.run("disk_chain", **options(way))
                if said.get("failed"):
                    expect("No space left" in said["msg"] or "free" in said["msg"], f"no clear sentence: {said['msg']}")
                held(host, way, f"{free} MiB free")
                host.shell(f"rm {FOLDER}/filler")
                converges(host, way, f"{free} MiB free")
        finally:
            host.shell(f"umount {FOLDER}; rm {TOP}/small.img")

    return case


def removed_base(host: Host) -> None:
    """The base is removed in the middle of a flatten: what the engine has open is enough, and the image needs it no more."""
    way = WAYS["flatten"]
    afresh(host)
    process = host.start("disk_chain", **options(way, bandwidth="4M"))
    wait_for(lambda: bool(host.shell(way.engines).strip()), "the work", seconds=120)
    host.shell(f"rm {BASE}")
    said = answer(process)
    expect(not said.get("failed"), f"it failed: {said.get('msg')}")
    held(host, way, "base removed")
    again = host.run("disk_chain", **options(way, bandwidth="4M"))
    expect(again.get("changed") is False, f"a further run changed something: {again}")


def together(host: Host) -> None:
    """Eight runs at the same moment on one image: nobody fails, one changes, the content is right."""
    way = WAYS["flatten"]
    afresh(host)
    processes = [host.start("disk_chain", **options(way)) for _run in range(8)]
    answers = [answer(process) for process in processes]
    for said in answers:
        expect(not said.get("failed") and not said.get("lost"), f"a run failed: {said}")
    held(host, way, "eight runs")
    converges(host, way, "eight runs")


CASES: dict[str, Callable[[Host], None]] = {
    **{f"{name}: kill at every point": points(way, "kill") for name, way in WAYS.items()},
    **{f"{name}: ENOSPC at every point": points(way, "full") for name, way in WAYS.items()},
    **{f"{name}: kill -9 of the engine": killed(way, "") for name, way in WAYS.items()},
    **{f"{name}: kill -9 of the helper": killed(way, way.helper) for name, way in WAYS.items()},
    **{f"{name}: kill -9 of the module": killed(way, _MODULE) for name, way in WAYS.items()},
    **{f"{name}: job stopped": stopped(way) for name, way in WAYS.items()},
    **{f"{name}: ten kills at random moments": random_kills(way) for name, way in WAYS.items()},
    **{f"{name}: file system full": full_disk(way) for name, way in WAYS.items()},
    "base removed in the middle": removed_base,
    "eight equal runs at once": together,
}
