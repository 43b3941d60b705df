# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A controller that goes away while a task waits for its job: with detach the job goes on, with cancel it stops itself. And what it
is told while it stays.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Callable

from host import BUILD, INVENTORY, REMOTE_TMP, TOP, Host, expect, wait_for
from relay import Relay

FOLDER = "/var/tmp/imageops-faults-jobs"
SRC, DEST = f"{FOLDER}/source.raw", f"{FOLDER}/image.raw"
STATE = f"/var/lib/imageops/jobs/convert-{hashlib.sha256(DEST.encode()).hexdigest()[:16]}"
LEASE = 15
# Fifty seconds in which a controller can go away. qemu-img counts up to 32 MiB as done before they are written, so of a small image
# it says so early that it is nearly done that the module waits for it itself.
MEBIBYTES = 200
TASK: dict[str, Any] = {
    "src": SRC,
    "src_format": "raw",
    "dest": DEST,
    "format": "raw",
    "force": True,
    "bandwidth": "2M",
    "lease_timeout": LEASE,
}
_PLAYBOOK = BUILD / "faults-jobs.json"
# Instead of the words for people, what programs read.
_AS_JSON = {"ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).parent / "callbacks"), "ANSIBLE_STDOUT_CALLBACK": "as_json"}
_MODULE = f"pgrep -f '{REMOTE_TMP}/.*AnsiballZ_disk_convert[.]py' || true"
Interrupt = Callable[[subprocess.Popen[str], Relay], None]


def prepare(host: Host) -> None:
    """A source with random content."""
    host.shell(f"rm -rf {FOLDER}; mkdir {FOLDER}; dd if=/dev/urandom of={SRC} bs=1M count={MEBIBYTES} status=none")


def tidy(host: Host) -> None:
    host.shell(f"rm -rf {FOLDER}")


def state(host: Host) -> dict[str, Any]:
    """What the job says of itself; nothing before it was ever started."""
    text = host.shell(f"cat {STATE}/state.json 2>/dev/null || true")
    found: dict[str, Any] = json.loads(text) if text.strip() else {}
    return found


def begin(host: Host, relay: Relay, on_interrupt: str, **more: str) -> subprocess.Popen[str]:
    """ansible-playbook over the relay, with an older file at the destination, as soon as its plugin polls the job.

    `more` is added to its environment.
    """
    host.shell(f"rm -rf {STATE} {FOLDER}/.[!.]*; printf old > {DEST}")
    task = {"imageops.fleet.disk_convert": {**TASK, "on_interrupt": on_interrupt}}
    _PLAYBOOK.write_text(json.dumps([{"hosts": host.name, "gather_facts": False, "tasks": [task]}]), encoding="utf-8")
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": os.environ.get("ANSIBLE_COLLECTIONS_PATH", str(BUILD / "collections")),
        "ANSIBLE_NOCOLOR": "True",
        "ANSIBLE_REMOTE_TMP": f"/var/tmp/{REMOTE_TMP}",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": f"/tmp/imageops-faults-{os.getpid()}",
        **more,
    }
    link = {"ansible_host": "127.0.0.1", "ansible_port": relay.port, "ansible_ssh_extra_args": _alias(host)}
    # Without pipelining the module is a process that can be found by its name.
    link["ansible_ssh_pipelining"] = False
    process = subprocess.Popen(
        [TOP / ".venv" / "bin" / "ansible-playbook", "-i", INVENTORY, _PLAYBOOK, "-e", json.dumps(link)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    wait_for(lambda: state(host).get("phase") == "convert", "the conversion")
    wait_for(lambda: not host.shell(_MODULE).strip(), "the end of the module's own patience")
    # Some polls of the plugin.
    time.sleep(2)
    expect(process.poll() is None, "the playbook did not wait for its job")
    expect(state(host).get("percent", 100) < 50, f"the module waited for its job itself: {state(host)}")
    return process


def _alias(host: Host) -> str:
    return f"-o HostKeyAlias={host.address} -o ConnectTimeout=3"


def interrupted(on_interrupt: str, interrupt: Interrupt, *, joins: bool = False) -> Callable[[Host], None]:
    """The controller goes away as `interrupt` says."""

    def case(host: Host) -> None:
        relay = Relay(host.address)
        process = begin(host, relay, on_interrupt)
        try:
            interrupt(process, relay)
            moment = time.monotonic()
            if on_interrupt == "cancel":
                _stops(host, moment)
            else:
                _goes_on(host, joins=joins)
            expect(_ended(process), "ansible-playbook did not end")
        finally:
            _end(process)
            relay.cut()
        _converges(host)

    return case


def _stops(host: Host, moment: float) -> None:
    """Within the lease and some seconds the job is cancelled, the old file is there, nothing is left."""
    wait_for(lambda: state(host).get("status") != "running", "the job's end", seconds=LEASE + 60)
    found = state(host)
    expect(time.monotonic() - moment > LEASE / 2, "the job stopped before its lease was over")
    expect(found["status"] == "cancelled", f"the job is not cancelled: {found}")
    expect(found["reason"] == f"nobody asked for it for {LEASE} seconds", f"no reason: {found}")
    expect(host.shell(f"cat {DEST}") == "old", "the destination is not the old file")
    expect(_leftovers(host) == "", f"left over: {_leftovers(host)}")


def _goes_on(host: Host, *, joins: bool) -> None:
    """The job finishes, or the next run joins it."""
    time.sleep(LEASE + 2)
    expect(state(host)["status"] == "running", f"the job ended with its controller: {state(host)}")
    if joins:
        said = host.run("disk_convert", **TASK)
        expect(said.get("changed") is True and said["disks"][0].get("joined") is True, f"not joined: {said}")
    wait_for(lambda: state(host).get("status") != "running", "the job's end", seconds=600)
    expect(state(host)["status"] == "done", f"the job is not done: {state(host)}")
    again = host.run("disk_convert", **TASK)
    expect(again.get("changed") is False, f"the next run changed something: {again}")


def _converges(host: Host) -> None:
    after = host.run("disk_convert", **{**TASK, "bandwidth": "500M"})
    expect(not after.get("failed") and not after.get("lost"), f"the next run failed: {after}")
    expect(
        host.shell(f"cmp {SRC} {DEST} && echo same") == "same\n", "the destination does not hold the source's content"
    )
    expect(_leftovers(host) == "", f"left over: {_leftovers(host)}")


def _leftovers(host: Host) -> str:
    return host.shell(f"find {FOLDER} -name '.*imageops*'; pgrep -af '[q]emu-img convert.*{FOLDER}' || true").strip()


def _ended(process: subprocess.Popen[str]) -> bool:
    """Whether the playbook ends, with its workers; a worker holds no descriptor of ours."""
    try:
        process.communicate(timeout=LEASE + 600)
    except subprocess.TimeoutExpired:
        return False
    return True


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def ctrl_c(process: subprocess.Popen[str], relay: Relay) -> None:
    os.killpg(process.pid, signal.SIGINT)


def kill_main(process: subprocess.Popen[str], relay: Relay) -> None:
    process.kill()


def kill_group(process: subprocess.Popen[str], relay: Relay) -> None:
    os.killpg(process.pid, signal.SIGKILL)


def cut(process: subprocess.Popen[str], relay: Relay) -> None:
    relay.cut()


def mute(process: subprocess.Popen[str], relay: Relay) -> None:
    relay.mute()


def short_cut(host: Host) -> None:
    """The SSH session alone dies: the task connects again, goes on waiting, and ends well."""
    first, second = Relay(host.address), None
    process = begin(host, first, "cancel")
    try:
        first.cut()
        time.sleep(1)
        second = Relay(host.address, listen=first.port)
        stdout, stderr = process.communicate(timeout=900)
        expect(process.returncode == 0 and "changed=1" in stdout, f"the task did not end well: {stdout}{stderr}")
    finally:
        _end(process)
        if second:
            second.cut()
    _converges(host)


def told(host: Host) -> None:
    """Progress comes on standard error while the job works; standard output holds nothing but the callback's JSON."""
    relay = Relay(host.address)
    process = begin(host, relay, "detach", **_AS_JSON)
    try:
        stdout, stderr = process.communicate(timeout=900)
        results = json.loads(stdout)
        expect([one["changed"] for one in results] == [True], f"the task did not end well: {results}{stderr}")
        lines = re.findall(rf"^{host.name}: {DEST}: convert (\d+) % of {MEBIBYTES} MiB, .+/s", stderr, re.MULTILINE)
        percents = [int(line) for line in lines]
        expect(len(percents) > 4 and percents == sorted(percents), f"progress is not told: {stderr}")
        expect(percents[0] < 50 < percents[-1], f"progress is told late: {percents}")
    finally:
        _end(process)
        relay.cut()
    _converges(host)


_WAYS: dict[str, Interrupt] = {
    "Ctrl-C": ctrl_c,
    "kill -9 of ansible-playbook": kill_main,
    "kill -9 of its group": kill_group,
    "link cut": cut,
    "link mute": mute,
}
CASES: dict[str, Callable[[Host], None]] = {
    **{
        f"{name}, {wish}": interrupted(wish, way, joins=name == "Ctrl-C")
        for name, way in _WAYS.items()
        for wish in ("detach", "cancel")
    },
    "link cut for a moment": short_cut,
    "not at all, beside a callback of JSON": told,
}
# What a sample plays.
QUICK = ("kill -9 of ansible-playbook, cancel",)
