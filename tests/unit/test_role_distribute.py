# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts the role `distribute` lets hand on to each other, by its own expressions."""

from __future__ import annotations

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

ROLE = Path(__file__).resolve().parents[2] / "roles/distribute"
HOSTS = {"one": {}, "two": {"ansible_host": "192.0.2.2"}, "three": {"distribute_address": "192.0.2.3"}}


def read(name: str) -> Any:
    return yaml.safe_load((ROLE / name).read_text(encoding="utf-8"))


def trusted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: trusted(each) for name, each in value.items()}
    return trust_as_template(value) if isinstance(value, str) else value


def templated(text: str, batch: list[str], **facts: Any) -> Any:
    """What the text is on a host that sees these others in its play."""
    known = {**trusted(read("defaults/main.yml")), **trusted(read("vars/main.yml"))}
    seen = {"hostvars": HOSTS, "ansible_play_batch": batch, "omit": "omitted", **facts}
    return Templar(loader=DataLoader(), variables={**known, **seen}).template(trust_as_template(text))


def peers(first: list[str], then: list[str], **options: Any) -> Any:
    """With which others a host pulls that is queued when those are left of the ones with which the run began."""
    tasks = read("tasks/main.yml")
    (facts,) = (task["ansible.builtin.set_fact"] for task in tasks if "ansible.builtin.set_fact" in task)
    shared = {name: templated(text, first) for name, text in facts.items() if "token" not in name}
    (block,) = (task["block"] for task in tasks if "block" in task)
    (pull,) = (task["imageops.fleet.image_pull"] for task in block if "imageops.fleet.image_pull" in task)
    return templated(pull["peers"], then, **shared, **options)


@pytest.mark.parametrize("left", [["one", "two", "three"], ["two", "three"], ["three"]])
def test_all_hosts_are_given_one_list(left: list[str]) -> None:
    """Also those that are queued when an earlier one has failed already."""
    port = read("defaults/main.yml")["distribute_port"]
    assert peers(list(HOSTS), left) == [f"http://{host}:{port}" for host in ("one", "192.0.2.2", "192.0.2.3")]


def test_a_host_alone_hands_nothing_on() -> None:
    assert peers(["one"], ["one"]) == "omitted"
    assert peers(list(HOSTS), list(HOSTS), distribute_peers=False) == "omitted"


def test_a_server_is_asked_what_its_references_name() -> None:
    images = ["dir:/srv/a:1", "dir:/srv/a@sha256:" + 64 * "0", "dir:/srv/ab:1", "dir:/srv/a.b"]
    known = {"distribute_images": [{"image": image, "dest": "/x"} for image in images], "distribute_from": "one"}
    servers = templated("{{ __distribute_servers }}", ["one"], **known)
    assert [(server["repository"], server["images"]) for server in servers] == [
        ("dir:/srv/a", images[:2]),
        ("dir:/srv/ab", images[2:3]),
        ("dir:/srv/a.b", images[3:]),
    ]


def test_the_digests_are_those_that_the_servers_told() -> None:
    told = {"servers": [{"digests": {"dir:/a:1": "sha256:1"}}, {"digests": {"dir:/b:1": "sha256:2"}}]}
    found = templated("{{ __distribute_digests }}", ["one"], distribute_from="one", __distribute_serving=told)
    assert found == {"dir:/a:1": "sha256:1", "dir:/b:1": "sha256:2"}
