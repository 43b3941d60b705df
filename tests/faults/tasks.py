# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole playbooks: the sshd that serves one is killed while its task waits, eight want the same image at once, eight ask of one image
different things.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Callable

from host import BUILD, INVENTORY, TOP, Host, expect, wait_for
from relay import Relay

_FOLDER = "/var/tmp/imageops-faults-tasks"
_SOURCE, _IMAGE = f"{_FOLDER}/source.raw", f"{_FOLDER}/image.qcow2"
_AT_ONCE = 8
_MOST_SECONDS = 1200
_OTHER = f"{_FOLDER}/other.qcow2"
_SAME = f"qemu-img compare -q -f raw -F qcow2 {_SOURCE} {_IMAGE}; qemu-img check -q -f qcow2 {_IMAGE}"


@dataclass(frozen=True)
class Task:
    """One operation; `begin` makes what is there before, `done` is true of what is there afterwards (both shell).

    `words` are the task's own keywords.
    """

    module: str
    kind: str
    options: dict[str, Any]
    begin: str
    done: str = _SAME
    words: dict[str, Any] = field(default_factory=dict)

    @property
    def state(self) -> str:
        return f"/var/lib/imageops/jobs/{self.kind}-{hashlib.sha256(_IMAGE.encode()).hexdigest()[:16]}/state.json"


def _random(mebibytes: int, *, of: int) -> str:
    return f"head -c {mebibytes}M /dev/urandom > {_SOURCE}; truncate -s {of}M {_SOURCE};"


# At the rate that each is allowed, its job lasts for about half a minute: the module itself waits for what ends within 18 s.
TASKS = {
    "disk_convert": Task(
        "disk_convert",
        "convert",
        {"src": _SOURCE, "src_format": "raw", "dest": _IMAGE, "format": "qcow2", "bandwidth": "1M"},
        _random(30, of=30),
    ),
    "disk_chain": Task(
        "disk_chain",
        "chain",
        {"path": _IMAGE, "chain": [_SOURCE], "depth": 1, "bandwidth": "1M"},
        f"{_random(30, of=30)} qemu-img create -q -f qcow2 -b {_SOURCE} -F raw {_IMAGE}",
        f"{_SAME}; ! qemu-img info -f qcow2 {_IMAGE} | grep 'backing file'",
    ),
    "disk_compact": Task(
        "disk_compact",
        "compact",
        {"path": _IMAGE, "discard": "never", "bandwidth": "1M"},
        f"{_random(30, of=40)} qemu-img convert -S 0 -f raw -O qcow2 {_SOURCE} {_IMAGE}",
        f"{_SAME}; test $(stat -c %s {_IMAGE}) -lt 33000000",
    ),
    "disk_check": Task(
        "disk_check",
        "repair",
        {"path": _IMAGE, "repair": "all", "bandwidth": "512K"},
        f"{_random(15, of=15)} qemu-img convert -f raw -O qcow2 -o cluster_size=1024 {_SOURCE} {_IMAGE}\n"
        # 256 clusters of data count as free.
        f"python3 -c \"f = open('{_IMAGE}', 'r+b'); f.seek(48); f.seek(int.from_bytes(f.read(8), 'big') + 8)\n"
        "f.seek(int.from_bytes(f.read(8), 'big') + 64); f.write(bytes(512))\"",
    ),
    "disk_snapshot": Task(
        "disk_snapshot",
        "snapshot",
        {"path": _IMAGE, "name": "old", "state": "reverted", "bandwidth": "512K"},
        f"{_random(12, of=40)} qemu-img convert -f raw -O qcow2 -o cluster_size=512 {_SOURCE} {_IMAGE}\n"
        f"qemu-img snapshot -c old {_IMAGE}; qemu-io -f qcow2 -c 'write -q -P 5 0 1M' {_IMAGE}",
    ),
}


def prepare(host: Host) -> None:
    tidy(host)


def tidy(host: Host) -> None:
    host.shell(f"rm -rf {_FOLDER}")


def _fresh(host: Host, task: Task) -> None:
    host.shell(f"rm -rf {_FOLDER} {os.path.dirname(task.state)}; mkdir {_FOLDER}; {task.begin}")


def _play(host: Host, task: Task, folder: str, *, relay: Relay | None = None) -> subprocess.Popen[str]:
    """ansible-playbook with the task alone; `folder` keeps its connections apart from those of others."""
    playbook = Path(folder, "playbook.json")
    tasks = [{f"imageops.fleet.{task.module}": task.options, **task.words}]
    playbook.write_text(json.dumps([{"hosts": host.name, "gather_facts": False, "tasks": tasks}]), encoding="utf-8")
    link: dict[str, Any] = {}
    if relay:
        link = {"ansible_host": "127.0.0.1", "ansible_port": relay.port}
        link["ansible_ssh_extra_args"] = f"-o HostKeyAlias={host.address}"
    return subprocess.Popen(
        [TOP / ".venv" / "bin" / "ansible-playbook", "-i", INVENTORY, playbook, "-e", json.dumps(link)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(BUILD / "collections"),
            "ANSIBLE_NOCOLOR": "True",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": folder,
        },
    )


def _changed(process: subprocess.Popen[str]) -> int:
    """How many changes a playbook tells; that it ends well is required."""
    try:
        text = process.communicate(timeout=_MOST_SECONDS)[0]
    finally:
        process.kill()
    found = re.search(r"changed=(\d+)", text)
    expect(process.returncode == 0 and found is not None, f"a playbook did not end well: {text[-1500:]}")
    return int(found[1]) if found else 0


def _finished(host: Host, task: Task, folder: str) -> None:
    """All is as it should be, one more run changes nothing, nothing is left."""
    host.shell(task.done)
    expect(_changed(_play(host, task, folder)) == 0, "one more run changed something")
    left = host.shell(f"find {_FOLDER} -name '.*'; pgrep -af '[q]emu-.*{_FOLDER}' || true").strip()
    expect(not left, f"left over: {left}")


def killed_server(task: Task) -> Callable[[Host], None]:
    """The task connects again, goes on waiting for its job, and ends well."""

    def case(host: Host) -> None:
        relay = Relay(host.address)
        try:
            with tempfile.TemporaryDirectory(prefix="imageops-faults-") as folder:
                _fresh(host, task)
                process = _play(host, task, folder, relay=relay)
                wait_for(lambda: _works(host, task) or process.poll() is not None, "the job's start", seconds=300)
                # The module's own patience, and some polls of the plugin.
                time.sleep(3)
                if process.poll() is not None:
                    expect(False, f"the playbook did not wait for its job: {process.communicate()[0][-1500:]}")
                killed = host.shell(_KILL % " ".join(map(str, relay.ports)))
                expect(killed.split() != [], "no sshd was found that serves the playbook")
                expect(_works(host, task), "the job had ended before its sshd was killed")
                expect(_changed(process) == 1, "the task did not tell its change")
                _finished(host, task, folder)
        finally:
            relay.cut()

    return case


# The processes of sshd that have the connections open.
_KILL = """
for port in %s; do
    for pid in $(ss -tnpH "dport = :$port" | grep -o 'pid=[0-9]*' | cut -d= -f2 | sort -u); do
        kill -9 $pid && echo $pid
    done
done
"""


def _works(host: Host, task: Task) -> bool:
    return '"running"' in host.shell(f"cat {task.state} 2>/dev/null || true")


def eight(task: Task) -> Callable[[Host], None]:
    """Nobody fails: some join the job of another, and those that come too late change nothing."""

    def case(host: Host) -> None:
        with tempfile.TemporaryDirectory(prefix="imageops-faults-") as top:
            folders = [str(Path(top, str(number))) for number in range(_AT_ONCE)]
            for folder in folders:
                os.mkdir(folder)
            _fresh(host, task)
            processes = [_play(host, task, folder) for folder in folders]
            try:
                changes = [_changed(process) for process in processes]
            finally:
                for process in processes:
                    process.kill()
            expect(1 in changes, f"nobody changed anything: {changes}")
            _finished(host, task, folders[0])

    return case


def _question(words: dict[str, Any] | None = None, **options: Any) -> Task:
    asked = {"path": _IMAGE, "reread": True, **options}
    return Task("disk_check", "read", asked, "", words=words or {})


def questions(host: Host) -> None:
    """Each gets the answer to its own question, whatever others ask of the image meanwhile, and again when it is remembered."""
    begin = f"{_random(15, of=30)} qemu-img convert -f raw -O qcow2 {_SOURCE} {_IMAGE}; qemu-img create -q -f qcow2 {_OTHER} 30M"
    host.shell(f"rm -rf {_FOLDER}; mkdir {_FOLDER}; {begin}")
    sums = {name: host.shell(f"{name}sum {_SOURCE}").split()[0] for name in ("sha256", "sha512")}
    differs = {"register": "found", "failed_when": "found.disks[0].compare.equal"}
    asked = [
        _question(compare_to=_SOURCE, compare_format="raw", require_equal=True),
        _question(differs, compare_to=_OTHER),
        *(_question(checksum=name, expect=value, bandwidth="8M") for name, value in sums.items()),
    ]
    with tempfile.TemporaryDirectory(prefix="imageops-faults-") as top:
        folders = [str(Path(top, str(number))) for number in range(_AT_ONCE)]
        for folder in folders:
            os.mkdir(folder)
        processes = [_play(host, task, folder) for task, folder in zip(asked * 2, folders)]
        try:
            changes = [_changed(process) for process in processes]
        finally:
            for process in processes:
                process.kill()
        expect(changes == [0] * _AT_ONCE, f"a question changed something: {changes}")
        for task in asked:
            known = replace(task, options={**task.options, "reread": False})
            expect(_changed(_play(host, known, folders[0])) == 0, "what is remembered changed something")


CASES: dict[str, Callable[[Host], None]] = {
    **{f"kill -9 of sshd, {name}": killed_server(task) for name, task in TASKS.items()},
    **{f"eight playbooks at once, {name}": eight(task) for name, task in TASKS.items()},
    "eight playbooks at once, questions about one image": questions,
}
# What a sample plays.
QUICK = ("eight playbooks at once, questions about one image",)
