# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run at a time works on a lab. The role is real up to where it looks at its hosts, which are this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import ansible_collections.imageops.fleet.plugins.plugin_utils.lab_topology as ours
import pytest

ROLE = Path(__file__).resolve().parents[2] / "roles/lab"
COLLECTIONS = next(path.parent for path in Path(ours.__file__).parents if path.name == "ansible_collections")
HOSTS = ("h1", "h2")
# Fails for all hosts, as what is refused there does.
LOOK = """
- name: Show who works on the lab
  ansible.builtin.command: {argv: [ln, -s, "{{ __lab_run }}", "{{ __lab_lock }}.seen"]}
- ansible.builtin.assert: {that: false, fail_msg: it looked, quiet: true}
  run_once: true
"""
PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: lab}
"""


def own_run(pid: int) -> str:
    began = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return run_text(pid, began)


def run_text(pid: int, began: str, node: str = os.uname().nodename) -> str:
    return f"{node}:{pid}:{began}:{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}"


@pytest.fixture
def top(tmp_path: Path) -> Path:
    shutil.copytree(ROLE, tmp_path / "roles/lab")
    (tmp_path / "roles/lab/tasks/place.yml").write_text(LOOK)
    (tmp_path / "play.yml").write_text(PLAY)
    (tmp_path / "hosts.json").write_text(json.dumps({"all": {"hosts": {host: {} for host in HOSTS}}}))
    (tmp_path / "ansible.cfg").write_text(f"[defaults]\nroles_path = {tmp_path}/roles\nstdout_callback = default\n")
    (tmp_path / "locks").mkdir()
    return tmp_path


def run(top: Path, *arguments: str) -> str:
    given = {
        "__lab_lock": f"{top}/locks/{{{{ inventory_hostname }}}}",
        "lab_name": "nets",
        "lab_participants": 1,
        "lab_machines": [{"name": "a", "image": "/a"}],
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
    }
    own = {
        "ANSIBLE_CONFIG": str(top / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
        "ANSIBLE_NOCOLOR": "1",
    }
    program = str(Path(sys.executable).with_name("ansible-playbook"))
    argv = [program, "-i", "hosts.json", "-e", json.dumps(given), "play.yml", *arguments]
    done = subprocess.run(argv, cwd=top, env={**os.environ, **own}, capture_output=True, text=True, check=False)
    return " ".join((done.stdout + done.stderr).split())


def locks(top: Path) -> dict[str, str]:
    return {path.name: os.readlink(path) for path in (top / "locks").iterdir() if path.suffix != ".seen"}


def seen(top: Path) -> set[str]:
    return {os.readlink(path) for path in (top / "locks").glob("*.seen")}


def test_a_turn_ends_also_when_a_run_fails(top: Path) -> None:
    assert "it looked" in run(top)
    (text,) = seen(top)
    node, pid, began, _boot = text.split(":")
    assert node == os.uname().nodename and int(pid) and int(began)
    assert locks(top) == {}


@pytest.mark.parametrize("elsewhere", [False, True])
def test_another_run_is_refused(top: Path, elsewhere: bool) -> None:
    # Whether one of another controller still runs can't be known.
    holder = run_text(4242424, "1", "other") if elsewhere else own_run(os.getpid())
    (top / "locks/h2").symlink_to(holder)
    said = run(top)
    node, pid = holder.split(":")[:2]
    assert f"another run works on the lab nets, the process {pid} of {node}; run this one when" in said
    assert f"remove {top}/locks/h2 on h2" in said and "it looked" not in said
    assert locks(top) == {"h2": holder} and not seen(top)


def test_the_place_of_a_run_that_was_killed_is_taken(top: Path) -> None:
    # Its number may be another process's by now.
    for host, holder in zip(HOSTS, (run_text(4242424, "1"), run_text(os.getpid(), "1"))):
        (top / "locks" / host).symlink_to(holder)
    assert "it looked" in run(top)
    assert locks(top) == {} and len(seen(top)) == 1


def test_check_mode_takes_no_turn(top: Path) -> None:
    (top / "locks/h1").symlink_to(own_run(os.getpid()))
    assert "it looked" in run(top, "--check")
    assert list(locks(top)) == ["h1"]
