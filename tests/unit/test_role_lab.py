# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role `lab` takes for its own, by its own expressions, and what its timer does."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

try:
    from ansible.template import trust_as_template
except ImportError:
    # Before ansible-core 2.19 every text is a template.
    trust_as_template = str

ROLE = Path(__file__).resolve().parents[2] / "roles/lab"
# Stands for virsh: the guest b ignores that it shall shut down, and c isn't of the lab.
VIRSH = """#!/bin/sh
shift 3
echo "$@" >> {log}
case $1 in list) cat {running} ;; shutdown) [ "$2" = b ] || sed -i "/^$2$/d" {running} ;; esac
"""


def read(name: str) -> Any:
    return yaml.safe_load((ROLE / name).read_text(encoding="utf-8"))


def templated(text: str, **given: Any) -> Any:
    known = {**read("defaults/main.yml"), **read("vars/main.yml")}
    trusted = {key: trust_as_template(value) if isinstance(value, str) else value for key, value in known.items()}
    variables = {**trusted, "lab_name": "nets", **given}
    return Templar(loader=DataLoader(), variables=variables).template(trust_as_template(text))


def vm(name: str, lab: str = "") -> dict[str, Any]:
    return {"name": name, "uuid": f"{name}/{lab}", "labels": {"lab": lab} if lab else {}}


def of_hosts(expression: str) -> Any:
    hosts = {
        "h1": {"inventory_hostname": "h1", "__lab_host": {"host": {}, "vms": [vm("nets-p01-a", "nets"), vm("nets-p02-a")]}},
        "h2": {"inventory_hostname": "h2", "__lab_host": {"host": {}, "vms": [vm("nets-p03-a", "other"), vm("db")]}},
    }  # fmt: skip
    described = {"vms": [{"name": f"nets-p0{number}-a"} for number in (1, 2, 3)]}
    return templated(
        f"{{{{ {expression} }}}}", hostvars=hosts, ansible_play_hosts_all=["h1", "h2"], __lab=described, **hosts["h1"]
    )


def test_machines_that_only_have_a_name_of_the_labs_are_not_removed() -> None:
    assert sorted(of_hosts("__lab_foreign")) == ["nets-p02-a", "nets-p03-a"]
    assert of_hosts("__lab_gone") == ["nets-p01-a"]


def test_networks_are_the_labs_when_they_were_noted() -> None:
    found = {"stdout_lines": ["/srv/networks-nets:nets-p01-lan", "/etc/systemd/system/imageops-lab-nets.timer:[Unit]"]}
    wanted = [{"name": "nets-p01-lan"}, {"name": "nets-p02-lan"}]
    known = {"lab_dir": "/srv", "__lab_found": found, "__lab": {"networks": wanted}, "__lab_my_networks": wanted}
    assert templated("{{ __lab_gone_networks }}", **known) == ["nets-p01-lan"]
    assert templated("{{ __lab_unnoted_networks }}", **known) == ["nets-p02-lan"]


def test_a_network_that_only_has_a_name_of_the_labs_is_refused() -> None:
    found = {"stdout_lines": ["/srv/networks-nets:nets-p01-lan"]}
    there = {"stdout_lines": ["default", "nets-p01-lan", "nets-p02-lan", ""]}
    wanted = [{"name": f"nets-p0{number}-lan"} for number in (1, 2, 3)]
    known = {"lab_dir": "/srv", "__lab_found": found, "__lab_my_networks": wanted}
    assert templated("{{ __lab_foreign_networks }}", __lab_networks_there=there, **known) == ["nets-p02-lan"]
    assert templated("{{ __lab_foreign_networks }}", __lab_networks_there={"skipped": True}, **known) == []
    place = [task["name"] for task in read("tasks/place.yml")]
    assert place[-1] == "Refuse networks that only have a name of the lab's"


def test_rotated_logs_are_removed(tmp_path: Path) -> None:
    gone = ["a.log", "a.log.0", "a-serial.log", "a-serial.log.0", "a-serial.log.1", "b-serial.log.2.gz"]
    stay = ["ab.log", "c-serial.log.0", "c.log", "xa.log"]
    for name in (*gone, *stay):
        (tmp_path / name).touch()
    tasks = [task for each in read("tasks/absent.yml") for task in each.get("block", [])]
    (remove,) = [task for task in tasks if task["name"] == "Remove libvirt's logs of the machines"]
    for names, left in (([], gone + stay), (["a", "b"], stay)):
        argv = templated(remove["ansible.builtin.command"]["argv"], __lab_gone=names)
        assert argv[1] == "/var/log/libvirt/qemu"
        subprocess.run([argv[0], str(tmp_path), *argv[2:]], check=True)
        assert sorted(os.listdir(tmp_path)) == sorted(left)


def test_a_folder_is_removed_only_where_the_labs_own_list_is_in_it() -> None:
    assert templated("{{ __lab_list }}", lab_dir="/srv") == "/srv/networks-nets"
    tasks = [task for each in read("tasks/absent.yml") for task in each.get("block", [each])]
    touching = [task for task in tasks if "{{ lab_dir }}" in str(task.get("ansible.builtin.file", task.get("ansible.builtin.command")))]  # fmt: skip
    assert len(touching) == 2
    assert {task["when"] for task in touching} == {"__lab_found_list | length > 0"}


@pytest.mark.parametrize("action", ["stop", "remove"])
def test_the_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str) -> None:
    log, running = tmp_path / "log", tmp_path / "running"
    running.write_text("a\nb\nc\n")
    programs = {"virsh": VIRSH.format(log=log, running=running), "sleep": f"#!/bin/sh\nsed -i '/^b$/d' {running}\n"}
    for name, text in programs.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    script = templated(
        (ROLE / "templates/end.sh.j2").read_text(encoding="utf-8"),
        lab_time_limit_action=action, lab_dir="/none", __lab_there=["a"], __lab_names=["b"], __lab_kept_networks=["lan"], __lab_my_networks=[],
    )  # fmt: skip
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    subprocess.run(["sh", "-s"], input=script, text=True, check=True)
    said = log.read_text().splitlines()
    assert ("shutdown a" in said) is (action == "stop") and "destroy a" in said and "destroy b" in said
    assert not any(line.split()[-1] == "c" for line in said)
    assert ("net-undefine lan" in said) is (action == "remove")
