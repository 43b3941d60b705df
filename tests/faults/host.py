# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet host as the fault tests see it: commands over SSH, modules through Ansible."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[2]
BUILD = TOP / ".build"
INVENTORY = BUILD / "fleet" / "inventory.yml"
# Names the modules that these tests start on a host.
REMOTE_TMP = "imageops-faults-tmp"
_PYTHONS = "/var/tmp/imageops-faults-pythons"
_ANSWER = re.compile(r"^\S+ \| (?P<status>[A-Z]+)!? =>? ?(?P<facts>\{.*\})\s*$", re.MULTILINE | re.DOTALL)


class Failed(Exception):
    """An expectation that did not hold; the text says which."""


@dataclass(frozen=True)
class Host:
    """One host of the fleet."""

    name: str
    address: str

    @property
    def ssh(self) -> list[str]:
        """The command that runs another one on the host, in a connection of its own."""
        base = BUILD / "fleet"
        options = [
            "-i",
            str(base / "id_ed25519"),
            "-o",
            f"UserKnownHostsFile={base / 'known_hosts'}",
            "-o",
            "BatchMode=yes",
        ]
        return ["ssh", *options, f"root@{self.address}"]

    def shell(self, script: str, *, check: bool = True, timeout: float = 600) -> str:
        """Standard output of a shell script on the host."""
        done = subprocess.run(
            [*self.ssh, "sh -eu"], input=script, capture_output=True, text=True, timeout=timeout, check=False
        )
        if check and done.returncode != 0:
            raise Failed(f"{script!r} failed on {self.name}: {done.stderr.strip()}")
        return done.stdout

    def send(self, source: Path, path: str) -> None:
        """Copy a file of this machine to the host."""
        with source.open("rb") as stream:
            done = subprocess.run(
                [*self.ssh, f"cat > {path}"], stdin=stream, capture_output=True, timeout=600, check=False
            )
        if done.returncode != 0:
            raise Failed(f"{source} could not be copied to {self.name}: {done.stderr.decode(errors='replace').strip()}")

    def start(self, module: str, *, fault: str = "", **options: Any) -> subprocess.Popen[str]:
        """Start a module on the host, as `ansible` would for a user; `answer` reads what it says.

        `fault` is a fault point and how it fails, such as `convert:before-publish:kill`; jobs inherit it.
        """
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(BUILD / "collections"),
            "ANSIBLE_REMOTE_TMP": f"/var/tmp/{REMOTE_TMP}",
            "ANSIBLE_FORCE_COLOR": "False",
            "ANSIBLE_NOCOLOR": "True",
        }
        command = [TOP / ".venv" / "bin" / "ansible", self.name, "-i", INVENTORY, "-m", f"imageops.fleet.{module}"]
        # Without pipelining the module is a process that can be found by its name.
        variables: dict[str, Any] = {"ansible_ssh_pipelining": False}
        if fault:
            variables["ansible_python_interpreter"] = self._failing_python(fault)
        return subprocess.Popen(
            [*command, "-e", json.dumps(variables), "-a", json.dumps(options)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def _failing_python(self, fault: str) -> str:
        """An interpreter on the host that makes the fault point fail; Ansible takes no words after its name."""
        path = f"{_PYTHONS}/{fault.replace(':', '-')}"
        text = f'#!/bin/sh\nIMAGEOPS_FAULT={fault} exec /usr/bin/python3 "$@"\n'
        self.shell(f"mkdir -p {_PYTHONS}; test -x {path} || printf '%s' '{text}' > {path}; chmod 755 {path}")
        return path

    def run(self, module: str, *, fault: str = "", **options: Any) -> dict[str, Any]:
        """Run a module to its end; its result, with `failed` for one that failed."""
        return answer(self.start(module, fault=fault, **options))


def prepare_hosts() -> None:
    """Bring to the hosts what a user would bring there first: Debian's packages, and the libraries of block jobs."""
    command = [TOP / ".venv" / "bin" / "ansible-playbook", "-i", INVENTORY, Path(__file__).parent / "prepare.yml"]
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(BUILD / "collections")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        raise Failed(f"the hosts could not be prepared: {done.stdout[-3000:]}{done.stderr[-1000:]}")


def answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The result of a started module; no result (a cut connection) is `lost`."""
    stdout, stderr = process.communicate(timeout=1200)
    found = _ANSWER.search(stdout)
    if not found:
        return {"lost": True, "stdout": stdout, "stderr": stderr}
    facts: dict[str, Any] = json.loads(found["facts"])
    for text in (stdout, stderr):
        if "Traceback" in text:
            raise Failed(f"a traceback reached the user: {text[-2000:]}")
    return {**facts, "failed": found["status"] in ("FAILED", "UNREACHABLE")}


def expect(condition: bool, text: str) -> None:
    """Raise Failed with `text` unless the condition holds."""
    if not condition:
        raise Failed(text)


def wait_for(look: Any, what: str, *, seconds: float = 180) -> None:
    """Poll until `look()` is true."""
    deadline = time.monotonic() + seconds
    while not look():
        if time.monotonic() > deadline:
            raise Failed(f"{what} did not happen within {seconds:g} seconds")
        time.sleep(0.1)


def kill_libvirtd(host: Host) -> None:
    """kill -9 of the host's libvirtd; systemd starts another."""
    host.shell("pid=$(systemctl show -P MainPID libvirtd.service); test $pid -gt 1; kill -9 $pid")


def forget(job: str) -> str:
    """A shell script after which nothing is known of a job that has ended."""
    return f"rm -rf /var/lib/imageops/jobs/{job}"


def begun(job: str) -> str:
    """A shell script that waits until a job works, or has ended already, as far as some minutes go."""
    state = f"/var/lib/imageops/jobs/{job}/state.json"
    return f"for turn in $(seq 10000); do grep -qsE '\"(running|done|failed)\"' {state} && break; sleep 0.02; done"


def hosts() -> list[Host]:
    """The hosts of the fleet's inventory."""
    listed = subprocess.run(
        [TOP / ".venv" / "bin" / "ansible-inventory", "-i", INVENTORY, "--list"],
        capture_output=True,
        text=True,
        check=True,
    )
    facts = json.loads(listed.stdout)["_meta"]["hostvars"]
    return [Host(name, values["ansible_host"]) for name, values in sorted(facts.items())]
