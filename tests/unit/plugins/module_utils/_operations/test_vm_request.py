# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import ImageOpsError
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_request import read_request

DEFAULTS: dict[str, Any] = {
    "name": "web", "state": "running", "uri": "test:///default", "shutdown_timeout": 60, "force_stop": False,
    "remove_disks": False,
}  # fmt: skip


def disk(**given: Any) -> dict[str, Any]:
    return {"disks": [given]}


def test_what_is_left_out_is_none() -> None:
    request = read_request(DEFAULTS)
    assert (request.memory, request.vcpus, request.disks, request.networks, request.wait_for) == (None,) * 5


def test_values_are_read() -> None:
    given = {
        "memory": "512MiB",
        "vcpus": 2,
        "disks": [{"image": "/i/../i/a.qcow2", "size": "1GiB"}, {"device": "cdrom"}],
        "networks": [{"network": "default", "mac": "52-54-00-AB-CD-EF"}],
        "wait_for": {"running": True, "console": "^login", "timeout": 5},
    }
    request = read_request({**DEFAULTS, **given})
    assert request.memory == 512 << 20
    assert request.disks is not None and request.networks is not None and request.wait_for is not None
    first, second = request.disks
    assert (first.image, first.size, first.bus, first.copy) == ("/i/a.qcow2", 1 << 30, "virtio", "linked")
    assert (second.device, second.bus) == ("cdrom", "sata")
    assert request.networks[0].mac == "52:54:00:ab:cd:ef"
    assert request.wait_for.console is not None and request.wait_for.console.search("motd\nlogin: ")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"name": "../web"}, "name: '../web' can't name a VM"),
        ({"name": "-web"}, "can't name a VM"),
        ({"name": "web\n"}, "can't name a VM"),
        ({"uri": "qemu+ssh://other/system"}, "remote host other"),
        ({"memory": "1.5"}, "memory: '1.5'"),
        ({"memory": "1"}, "at least 1 MiB"),
        ({"vcpus": 0}, "vcpus: 0"),
        ({"xml": "<domain/>", "memory": "1GiB"}, "leave out memory"),
        (disk(), "needs image"),
        (disk(path="a.qcow2"), "not an absolute path"),
        (disk(device="cdrom", size="1G"), "takes only a path"),
        (disk(device="cdrom", bus="virtio"), "can't be on the bus virtio"),
        (disk(path="/a", target="sda"), "no target on the bus virtio"),
        (disk(path="/a", boot=0), "no place in the boot order"),
        (disk(image="/a", format="raw"), "always qcow2"),
        ({"networks": [{"model": "virtio"}]}, "either network"),
        ({"networks": [{"network": "a", "bridge": "b"}]}, "either network"),
        ({"networks": [{"network": "a", "mac": "01:00:5e:00:00:01"}]}, "no unicast MAC"),
        ({"state": "stopped", "wait_for": {"console": "x", "timeout": 1}}, "says nothing"),
        ({"wait_for": {"console": "(", "timeout": 1}}, "no regular expression"),
    ],
)
def test_refusals_name_the_option(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ImageOpsError) as caught:
        read_request({**DEFAULTS, **given})
    assert says in str(caught.value)
