# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import contextlib
import random
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._files import state_dir as made_state_dir
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.state import job_path, read_state
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.plugins.module_utils._operations.serve import (
    ServeRequest,
    server_job,
    server_state,
    start_server,
    stop_server,
)
from ansible_collections.imageops.fleet.plugins.module_utils._registry.layout import LayoutStore
from ansible_collections.imageops.fleet.plugins.module_utils._registry.pack_cache import PackCache
from ansible_collections.imageops.fleet.tests.unit.catalog_image import small_image
from ansible_collections.imageops.fleet.tests.unit.run_module import run_module

ONE = small_image("one")
TOKEN = "correct-horse-battery"


def free_port() -> int:
    """One that the kernel gives nobody by itself, as it does those above."""
    while True:
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


class Serving:
    """A catalog, a port, and the module."""

    def __init__(self, folder: Path) -> None:
        self.repository = f"dir:{folder}/debian"
        self.port = free_port()
        ONE.publish(LayoutStore(f"{folder}/debian"), "12")

    def run(self, *, check: bool = False, **options: Any) -> dict[str, Any]:
        given = {"port": self.port, "repository": self.repository, "address": "127.0.0.1", **options}
        return run_module("image_serve", given, check=check)

    def ask(self, path: str, *, token: str = "") -> bytes:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}")
        if token:
            request.add_header("Authorization", "Basic " + base64.b64encode(f"x:{token}".encode()).decode())
        with urllib.request.urlopen(request, timeout=120) as answer:
            data: bytes = answer.read()
        return data


@pytest.fixture
def serving(tmp_path: Path, state_dir: Path) -> Iterator[Serving]:
    found = Serving(tmp_path)
    try:
        yield found
    finally:
        found.run(state="stopped")


def test_a_server_starts_stays_changes_and_ends(serving: Serving) -> None:
    checked = serving.run(check=True)
    assert checked["changed"] and checked["servers"][0]["state"] == "started"
    with pytest.raises(urllib.error.URLError):
        serving.ask("/index.json")
    first = serving.run()
    assert first["changed"], first
    (server,) = first["servers"]
    assert server["url"] == f"http://127.0.0.1:{serving.port}" and server["repository"] == serving.repository
    assert ONE.digest.encode() in serving.ask("/index.json")
    again = serving.run()
    assert not again["changed"] and again["servers"][0]["job"] == server["job"]
    pid = read_state(server["job"]).pid  # type: ignore[union-attr]
    other = serving.run(bandwidth="100M")
    assert other["changed"] and "in place of the one that runs there" in other["servers"][0]["steps"][0]
    assert read_state(server["job"]).pid != pid  # type: ignore[union-attr]
    assert serving.run(state="stopped", check=True)["changed"]
    assert serving.run(state="stopped")["changed"]
    with pytest.raises(urllib.error.URLError):
        serving.ask("/index.json")
    assert not serving.run(state="stopped")["changed"]


def test_a_token_is_in_no_file(serving: Serving) -> None:
    result = serving.run(token=TOKEN)
    assert result["changed"] and not serving.run(token=TOKEN)["changed"]
    with pytest.raises(urllib.error.HTTPError, match="401"):
        serving.ask("/index.json")
    assert serving.ask("/index.json", token=TOKEN)
    folder = Path(job_path(result["servers"][0]["job"]))
    assert not [path for path in folder.iterdir() if path.is_file() and TOKEN in path.read_text()]
    assert serving.run(token=TOKEN + "x")["changed"]
    assert serving.ask("/index.json", token=TOKEN + "x")


def test_a_server_that_nobody_asks_ends(serving: Serving) -> None:
    result = serving.run(linger=1)
    tools = Tools()
    job = result["servers"][0]["job"]
    assert tools.clock.wait_until(lambda: read_state(job).ended, 120)  # type: ignore[union-attr]
    assert serving.run(linger=1)["changed"]


def test_what_references_name_is_told(serving: Serving) -> None:
    images = [f"{serving.repository}:12", f"{serving.repository}@{ONE.digest}"]
    for check in (True, False):
        result = serving.run(images=images, check=check)
        assert result["servers"][0]["digests"] == dict.fromkeys(images, ONE.digest), result
    assert serving.run()["servers"][0]["digests"] == {}


@pytest.mark.parametrize(
    ("image", "message"),
    [("{repository}:13", "has no image '13'"), ("dir:/elsewhere:12", "is no image of dir:"), ("a b", "names no image")],
)
def test_references_that_name_nothing_served(serving: Serving, image: str, message: str) -> None:
    result = serving.run(images=[image.format(repository=serving.repository)])
    assert result["failed"] and message in result["msg"]
    with pytest.raises(urllib.error.URLError):
        serving.ask("/index.json")


def test_a_port_that_is_taken(serving: Serving) -> None:
    with socket.create_server(("127.0.0.1", serving.port)):
        result = serving.run()
    assert result["failed"] and f"nothing can listen on 127.0.0.1, port {serving.port}" in result["msg"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"address": "0.0.0.0"}, "token: without one everybody who reaches 0.0.0.0 may read the images"),
        ({"address": "", "public": True}, "address: an empty text is no address"),
        ({"token": "short"}, "token: give 16 or more"),
        ({"token": "with spaces in the middle"}, "token: give 16 or more"),
        ({"repository": "registry.example/x"}, "repository: registry.example/x is no directory"),
        ({"repository": "dir:/nowhere/x"}, "repository: /nowhere/x holds no OCI image layout"),
        ({"repository": None}, "repository: none is given"),
        ({"port": 0}, "port: 0 is no port"),
        ({"linger": -1}, "linger: -1 seconds"),
        ({"certificate": "/nowhere.pem"}, "certificate: /nowhere.pem is no file"),
        ({"key": __file__}, "key: a key without a certificate"),
    ],
)
def test_refusals(serving: Serving, changed: dict[str, Any], message: str) -> None:
    result = serving.run(**changed)
    assert result["failed"] and message in result["msg"]
    assert not result["changed"]


@pytest.mark.parametrize("state", ["started", "stopped"])
def test_a_port_has_one_server(serving: Serving, tmp_path: Path, state: str) -> None:
    ONE.publish(LayoutStore(f"{tmp_path}/other"), "12")
    second = {"port": serving.port, "repository": f"dir:{tmp_path}/other", "state": state}
    servers = [{"port": serving.port, "repository": serving.repository}, second]
    result = run_module("image_serve", {"address": "127.0.0.1", "servers": servers})
    assert result["failed"] and result["msg"].startswith(f"port: {serving.port} is named twice in the list")
    assert not result["changed"]


def test_a_cache_goes_with_its_server(state_dir: Path) -> None:
    tools, port = Tools(), free_port()
    folder = made_state_dir("packs", "test")
    cache = PackCache(folder)
    pack = ONE.manifest.packs[0]
    cache.write(pack.digest, 0, ONE.blobs[pack.digest])
    job = server_job(ServeRequest(port, address="127.0.0.1", packs=folder, token=TOKEN), tools)
    start_server(job, tools)
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v2/x/blobs/{pack.digest}")
    request.add_header("Range", "bytes=2-8")
    request.add_header("Authorization", f"Bearer {TOKEN}")
    with urllib.request.urlopen(request, timeout=120) as answer:
        assert answer.read() == ONE.blobs[pack.digest][2:9]
    stop_server(job, tools)
    assert server_state(job, tools) is None and not Path(folder).exists()
