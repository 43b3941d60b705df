# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A role run by ansible-playbook for hosts that nobody has: their facts are made up, and what modules would do is written down.

Of Ansible's own modules those in RECORDED are replaced, in a copy of the role, by an action plugin that answers what the host was
said to answer. All else is real: the order, the conditions, the templates, the check of the arguments.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RECORDED = ("apt", "blockinfile", "command", "copy", "dnf", "file", "stat", "systemd_service")
_RECORDER = """
import json, os
from ansible.plugins.action import ActionBase

class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        host, module = task_vars["inventory_hostname"], self._task.action.partition("_")[2]
        top = os.environ["FAKED_ROLE"]
        with open(os.path.join(top, host + ".log"), "a") as log:
            log.write(json.dumps([module, self._task.args]) + "\\n")
        with open(os.path.join(top, host + ".json")) as stream:
            answers = json.load(stream)
        words = [str(word) for word in self._task.args.get("argv", [])]
        said = next((answer for words_of, answer in answers if words[: len(words_of)] == words_of), {})
        if module == "stat":
            return {"changed": False, "stat": {"exists": self._task.args["path"] in answers[0][1].get("paths", [])}}
        found = {"changed": True, "rc": 0, "stdout": "", "stderr": "", **said}
        return {**found, "stdout_lines": found["stdout"].splitlines()}
"""
_PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - faked_facts:
    - ansible.builtin.include_role: {name: ROLE}
"""
_FACTS = """
import json, os
from ansible.plugins.action import ActionBase

class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        with open(os.path.join(os.environ["FAKED_ROLE"], task_vars["inventory_hostname"] + ".json")) as stream:
            return {"ansible_facts": json.load(stream)[0][1]["facts"]}
"""


class Host:
    """Facts, paths that are there, and what programs answer by how their command begins."""

    def __init__(
        self, facts: Mapping[str, Any], *, paths: tuple[str, ...] = (), said: Mapping[str, Any] | None = None
    ) -> None:
        first = [["\0"], {"facts": {f"ansible_{name}": value for name, value in facts.items()}, "paths": paths}]
        self.answers = [first, *([command.split(), answer] for command, answer in (said or {}).items())]


class Done:
    """What each host was told to do, as (module, arguments), and what ansible-playbook printed."""

    def __init__(self, top: Path, printed: str) -> None:
        self._top, self.printed = top, printed

    def of(self, host: str, module: str) -> list[dict[str, Any]]:
        """The arguments of the calls of a module, in their order."""
        log = self._top / f"{host}.log"
        calls = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return [arguments for name, arguments in calls if name == module]

    def commands(self, host: str, program: str = "") -> list[str]:
        """The commands, those of one program or all."""
        found = [" ".join(map(str, call["argv"])) for call in self.of(host, "command")]
        return [command for command in found if command.startswith(program)]

    def failure(self, host: str) -> str:
        """What the host's failed task said."""
        found = re.search(rf'fatal: \[{re.escape(host)}\].*?"msg": "(.*?)"', self.printed, re.DOTALL)
        return found.group(1) if found else ""


def run_role(role: Path, hosts: Mapping[str, Host], top: Path, *arguments: str) -> Done:
    """Run the role for all hosts in one play, in the empty folder `top`."""
    shutil.copytree(role, top / "roles" / role.name)
    for path in (top / "roles").rglob("*.yml"):
        text = path.read_text(encoding="utf-8")
        path.write_text(re.sub(rf"ansible\.builtin\.({'|'.join(RECORDED)}):", r"recorded_\1:", text), encoding="utf-8")
    plugins = top / "action_plugins"
    plugins.mkdir()
    for module in RECORDED:
        (plugins / f"recorded_{module}.py").write_text(_RECORDER)
    (plugins / "faked_facts.py").write_text(_FACTS)
    for name, host in hosts.items():
        (top / f"{name}.json").write_text(json.dumps(host.answers))
    (top / "play.yml").write_text(_PLAY.replace("ROLE", role.name))
    inventory = {"all": {"hosts": {name: {"ansible_connection": "local"} for name in hosts}}}
    (top / "hosts.json").write_text(json.dumps(inventory))
    own = {"FAKED_ROLE": str(top), "ANSIBLE_CONFIG": str(top / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
    (top / "ansible.cfg").write_text(f"[defaults]\nroles_path = {top}/roles\nstdout_callback = default\n")
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            "-i",
            "hosts.json",
            "play.yml",
            "--forks",
            str(len(hosts)),
            *arguments,
        ],
        cwd=top,
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        check=False,
    )
    return Done(top, done.stdout + done.stderr)
