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
        ({"memory": "16000000TiB"}, "memory: '16000000TiB' is more than any machine can address"),
        ({"vcpus": 0}, "vcpus: 0"),
        ({"vcpus": 65536}, "vcpus: 65536"),
        ({"title": "a\x01b"}, r"title: the character '\x01'"),
        ({"description": "a\ufffeb"}, r"description: the character '\ufffe'"),
        ({"title": "two\nlines"}, "title: 'two\\nlines' has more than one line"),
        (disk(path="/a\x1b"), r"disks[0].path: the character '\x1b'"),
        (disk(path="/a\nb"), "disks[0].path: '/a\\nb' has more than one line"),
        ({"disks": [{"path": "/a", "boot": 1}, {"path": "/b", "boot": 1}]}, "boot: the place 1 is declared twice"),
        (
            {"networks": [{"network": "a", "mac": "52:54:00:00:00:AA"}, {"bridge": "b", "mac": "52-54-00-00-00-aa"}]},
            "twice",
        ),
        (disk(), "needs image"),
        (disk(path="a.qcow2"), "not an absolute path"),
        (disk(size="0"), "disks[0].size: '0' makes no disk"),
        (disk(device="cdrom", size="1G"), "takes only a path"),
        (disk(device="cdrom", bus="virtio"), "can't be on the bus virtio"),
        (disk(path="/a", target="sda"), "no target on the bus virtio"),
        (disk(path="/a", boot=0), "no place in the boot order"),
        (disk(path="/a", boot=10**30), "no place in the boot order; give 1 to 2147483647"),
        ({"networks": [{"network": "a", "boot": 1 << 31}]}, "networks[0].boot: 2147483648 is no place"),
        (disk(image="/a", format="raw"), "always qcow2"),
        ({"networks": [{"model": "virtio"}]}, "either network"),
        ({"networks": [{"network": "a", "bridge": "b"}]}, "either network"),
        ({"networks": [{"network": "a", "mac": "01:00:5e:00:00:01"}]}, "no unicast MAC"),
        ({"search_paths": ["nonsense"]}, "search_paths: 'nonsense' is not an absolute path"),
        ({"search_paths": ["/", "/no/such"], "state": "absent"}, "search_paths: there is no folder /no/such"),
        ({"state": "stopped", "wait_for": {"console": "x", "timeout": 1}}, "says nothing"),
        ({"wait_for": {"console": "(", "timeout": 1}}, "no regular expression"),
    ],
)
def test_refusals_name_the_option(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ImageOpsError) as caught:
        read_request({**DEFAULTS, **given})
    assert says in str(caught.value)


def test_a_description_may_have_many_lines() -> None:
    assert read_request({**DEFAULTS, "description": "one\n\ttwo"}).plain("description") == "one\n\ttwo"


def test_a_size_is_of_whole_sectors() -> None:
    """QEMU rounds up, and a disk that is there would be larger than declared."""
    disks = read_request({**DEFAULTS, **disk(size="1000000")}).disks
    assert disks is not None and disks[0].size == 1000448
