# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole module with a real web server, a real qemu-img and a real job: sources that are URLs."""

from __future__ import annotations

import gzip
import hashlib
import json
import lzma
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._faults import FAULT_VARIABLE
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.state import job_id, read_state
from ansible_collections.imageops.fleet.plugins.module_utils._operations import usage_domains
from ansible_collections.imageops.fleet.plugins.module_utils._records import read_record
from ansible_collections.imageops.fleet.tests.unit.qemu_nbd import exporting, unix_listener
from ansible_collections.imageops.fleet.tests.unit.run_module import run_module
from ansible_collections.imageops.fleet.tests.unit.web_server import Site, serving

MIB = 1 << 20
RAW = os.urandom(3 * MIB) + bytes(4 * MIB) + os.urandom(MIB)


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@pytest.fixture(autouse=True)
def host(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host without libvirt, and a state directory of the test's own."""
    monkeypatch.setattr(usage_domains, "LIBVIRT_SIGNS", ())


@pytest.fixture(scope="module")
def qcow2(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("qcow2")
    (folder / "raw").write_bytes(RAW)
    subprocess.run(["qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", folder / "raw", folder / "q"], check=True)
    return (folder / "q").read_bytes()


@pytest.fixture(scope="module")
def files(qcow2: bytes) -> dict[str, bytes]:
    found = {
        "/a.raw": RAW,
        "/a.raw.gz": gzip.compress(RAW, 1),
        "/a.raw.xz": lzma.compress(RAW, preset=0),
        "/a.qcow2": qcow2,
    }
    names = "".join(f"{hashlib.sha256(data).hexdigest()}  {name[1:]}\n" for name, data in found.items())
    return {**found, "/SHA256SUMS": names.encode(), "/page": b"<html>no such file</html>" * 99}


@pytest.fixture
def site(files: dict[str, bytes]) -> Iterator[Site]:
    with serving(files=dict(files)) as found:
        yield found


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "disk"


def convert(site: Site, path: str, dest: Path, *, check: bool = False, **options: Any) -> dict[str, Any]:
    site.asked.clear()
    return run_module("disk_convert", {"src": site.url(path), "dest": str(dest), **options}, check=check)


def made(result: dict[str, Any]) -> dict[str, Any]:
    assert not result.get("failed"), result["msg"]
    (item,) = result["disks"]
    assert isinstance(item, dict)
    return item


def names(dest: Path) -> list[str]:
    return sorted(path.name for path in dest.parent.iterdir())


def raw_content(dest: Path, driver: str) -> bytes:
    back = dest.parent.parent / "back"
    subprocess.run(["qemu-img", "convert", "-f", driver, "-O", "raw", dest, back], check=True)
    return back.read_bytes()


@pytest.mark.parametrize(
    ("path", "driver", "how"),
    [
        ("/a.raw", "raw", "digest"),
        ("/a.raw", "qcow2", "none"),
        ("/a.raw.gz", "raw", "list"),
        ("/a.raw.xz", "vmdk", "digest"),
        ("/a.qcow2", "qcow2", "list"),
        ("/a.qcow2", "raw", "none"),
    ],
)
def test_twice(site: Site, dest: Path, path: str, driver: str, how: str) -> None:
    checksum = {"digest": sha256(site.files[path]), "list": f"sha256:{site.url('/SHA256SUMS')}", "none": None}[how]
    given = {"format": driver, "checksum": checksum, "src_format": "qcow2" if path == "/a.qcow2" else "raw"}
    told = made(convert(site, path, dest, check=True, **given))
    assert (told["changed"], told["virtual_size"]) == (True, "(known after apply)")
    assert "GET" not in {asked[0] for asked in site.asked if asked[1] == path}
    assert names(dest) == []
    first = made(convert(site, path, dest, **given))
    assert first["changed"] and first["job"]["checksum"] == first["checksum"] == sha256(site.files[path])
    assert first["job"]["download"]["size"] == len(site.files[path])
    assert raw_content(dest, driver) == RAW
    assert names(dest) == [dest.name]
    again = made(convert(site, path, dest, **given))
    assert not again["changed"]
    looked = {"digest": [], "list": [("GET", "/SHA256SUMS")], "none": [("HEAD", path)]}[how]
    assert [asked[:2] for asked in site.asked] == looked
    assert {**first, "job": 0, "changed": 0, "steps": 0} == {**again, "job": 0, "changed": 0, "steps": 0}


def test_what_is_asked_for_already_is_published_as_it_came(site: Site, dest: Path, qcow2: bytes) -> None:
    assert made(convert(site, "/a.qcow2", dest, verify="deep"))["job"]["method"] == "download"
    assert dest.read_bytes() == qcow2
    assert dest.stat().st_mode & 0o777 == 0o640
    other = dest.with_name("other")
    assert made(convert(site, "/a.qcow2", other, options={"cluster_size": "128K"}))["job"]["method"] != "download"


def test_the_record_names_the_url_without_its_query(site: Site, dest: Path) -> None:
    result = convert(site, "/a.qcow2?X-Signature=s3cret", dest)
    assert made(result)["src"] == site.url("/a.qcow2?...")
    record = read_record(str(dest))
    assert record is not None
    assert record.source["url"] == site.url("/a.qcow2?...")
    assert "s3cret" not in json.dumps(record.as_dict())
    assert "s3cret" not in json.dumps({**result, "invocation": None})


def test_new_content_is_downloaded_again(site: Site, dest: Path) -> None:
    made(convert(site, "/a.raw", dest, src_format="raw"))
    site.files["/a.raw"], site.etag = RAW[::-1], '"two"'
    assert made(convert(site, "/a.raw", dest, src_format="raw"))["changed"]
    assert raw_content(dest, "qcow2") == RAW[::-1]


def test_what_a_guest_wrote_is_kept(site: Site, dest: Path) -> None:
    made(convert(site, "/a.raw", dest, src_format="raw"))
    os.utime(dest, ns=(1, 1))
    assert not made(convert(site, "/a.raw", dest, src_format="raw"))["changed"]
    site.etag = '"two"'
    result = convert(site, "/a.raw", dest, src_format="raw")
    assert "was written to since" in result["msg"] and "deep" not in result["msg"]
    assert made(convert(site, "/a.raw", dest, src_format="raw", force=True))["changed"]


def test_the_same_content_from_another_place_is_the_same(site: Site, dest: Path) -> None:
    checksum = sha256(site.files["/a.qcow2"])
    made(convert(site, "/a.qcow2", dest, checksum=checksum))
    site.files["/mirror"] = site.files["/a.qcow2"]
    assert not made(convert(site, "/mirror", dest, checksum=checksum))["changed"]
    assert not site.asked


def test_a_wrong_checksum_publishes_nothing(site: Site, dest: Path) -> None:
    wrong = sha256(b"other")
    result = convert(site, "/a.qcow2", dest, checksum=wrong)
    assert wrong[7:] in result["msg"] and sha256(site.files["/a.qcow2"])[7:] in result["msg"]
    assert names(dest) == []


@pytest.mark.parametrize(
    ("path", "given", "said"),
    [
        ("/none", {}, "does not exist: the server said 404"),
        ("/page", {}, "no signature of a disk format"),
        ("/a.raw", {"src_format": "qcow2"}, "declared as qcow2"),
        ("/a.raw", {"checksum": "sha256:x"}, "64 hexadecimal digits"),
        ("/a.raw", {"checksum": "sha256:/none/SUMS"}, "is not on this host"),
        ("/a.raw", {"idle_timeout": 0}, "^idle_timeout: "),
        ("/a.raw", {"idle_timeout": 86401}, "^idle_timeout: 86401 seconds can't be used; give 1 to 86400"),
        ("/a.raw", {"url_password": "x"}, "^url_password: "),
        ("/a.raw", {"headers": {"a\n": "b"}}, "^headers: "),
        ("/a.raw", {"method": "overlay"}, "^method: "),
        ("/a.raw", {"ca_path": "/etc/passwd"}, "^ca_path: "),
        ("/a.raw", {"format": "vmdk", "options": {"nonsense": 1}}, "nonsense"),
    ],
)
def test_refused(site: Site, dest: Path, path: str, given: dict[str, Any], said: str) -> None:
    result = convert(site, path, dest, **given)
    assert result["failed"] and re.search(said, result["msg"]), result["msg"]
    assert "imageops-partial" not in result["msg"]
    assert names(dest) == []


def test_an_unsafe_image_is_refused_after_the_download(site: Site, dest: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad"
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", "/etc/passwd", "-F", "raw", path, "1M"], check=True
    )
    site.files["/bad"] = path.read_bytes()
    result = convert(site, "/bad", dest)
    assert "is not safe to use" in result["msg"] and site.url("/bad") in result["msg"]
    assert names(dest) == []


def test_an_option_that_what_came_proves_wrong_costs_no_second_download(site: Site, dest: Path) -> None:
    refused = convert(site, "/a.qcow2", dest, src_passphrase="needless")
    assert f"src_passphrase: {site.url('/a.qcow2')} is not encrypted" in refused["msg"]
    assert dest.name not in names(dest)
    told = made(convert(site, "/a.qcow2", dest))["job"]["download"]
    assert told["resumed"] == told["size"] == len(site.files["/a.qcow2"])
    assert ("GET", "/a.qcow2") not in [asked[:2] for asked in site.asked]
    assert raw_content(dest, "qcow2") == RAW and names(dest) == [dest.name]


def test_secrets_stay_secret(site: Site, dest: Path, state_dir: Path) -> None:
    site.login = "Basic bWU6czNjcmV0LXBhc3M="
    login = {"url_username": "me", "url_password": "s3cret-pass", "headers": {"X-Token": "t0ken-value"}}
    result = convert(site, "/a.qcow2", dest, **login)
    made(result)
    kept = b"".join(path.read_bytes() for path in state_dir.rglob("*") if path.is_file() and path.suffix != ".pyz")
    for secret in ("s3cret-pass", "t0ken-value", "bWU6czNjcmV0"):
        assert secret not in json.dumps({**result, "invocation": None})
        assert secret.encode() not in kept
    assert "may not be read: the server said 401" in convert(site, "/a.qcow2", dest.with_name("b"))["msg"]


@pytest.mark.parametrize(
    ("path", "moment"),
    [
        ("/a.raw", "fetch:downloading"),
        ("/a.raw", "fetch:downloaded"),
        ("/a.raw", "convert:before-verify"),
        ("/a.raw.gz", "fetch:decompressing"),
        ("/a.raw.gz", "fetch:before-inspect"),
    ],
)
def test_after_a_kill_the_next_run_goes_on(
    site: Site, dest: Path, monkeypatch: pytest.MonkeyPatch, moment: str, path: str
) -> None:
    given = {"src_format": "raw", "checksum": sha256(site.files[path]), "bandwidth": "4M"}
    monkeypatch.setenv(FAULT_VARIABLE, f"{moment}:kill")
    assert convert(site, path, dest, **given)["failed"]
    assert dest.name not in names(dest)
    monkeypatch.delenv(FAULT_VARIABLE)
    told = made(convert(site, path, dest, **given))["job"]["download"]
    size = len(site.files[path])
    if moment == "fetch:downloading":
        assert 0 < told["resumed"] < size
    else:
        assert told["resumed"] == (0 if moment == "fetch:decompressing" else size)
    assert raw_content(dest, "qcow2") == RAW
    assert names(dest) == [dest.name]


def test_a_cancelled_one_leaves_nothing(site: Site, dest: Path) -> None:
    results: list[dict[str, Any]] = []
    given = {"src_format": "raw", "bandwidth": "1M"}
    Thread(target=lambda: results.append(convert(site, "/a.raw", dest, **given))).start()
    identifier = job_id("convert", str(dest))
    while (state := read_state(identifier)) is None or state.done < MIB:
        time.sleep(0.02)
    os.kill(state.pid, signal.SIGTERM)
    while not results:
        time.sleep(0.02)
    assert "was stopped" in results[0]["msg"]
    assert names(dest) == []


def test_a_server_that_dies_is_gone_on_with(site: Site, dest: Path) -> None:
    site.cuts = [2 * MIB, MIB]
    assert made(convert(site, "/a.raw", dest, src_format="raw"))["changed"]
    assert site.ranges_asked[1:] == [f"bytes={2 * MIB}-", f"bytes={3 * MIB}-"]
    assert raw_content(dest, "qcow2") == RAW


def test_an_item_may_use_what_an_earlier_one_downloads(site: Site, dest: Path) -> None:
    other = str(dest.with_name("other.vmdk"))
    items = [{"src": site.url("/a.qcow2"), "dest": str(dest)}, {"src": str(dest), "dest": other, "format": "vmdk"}]
    told = run_module("disk_convert", {"disks": items}, check=True)
    assert [item["virtual_size"] for item in told["disks"]] == ["(known after apply)"] * 2
    result = run_module("disk_convert", {"disks": items})
    assert not result.get("failed"), result["msg"]
    assert raw_content(Path(other), "vmdk") == RAW
    assert not run_module("disk_convert", {"disks": items})["changed"]


def test_an_nbd_export(dest: Path, tmp_path: Path) -> None:
    source, socket = tmp_path / "source", tmp_path / "nbd"
    source.write_bytes(RAW)
    with exporting(unix_listener(socket), "-e", "9", "-r", "-f", "raw", source):
        given = {"src": f"nbd+unix:///?socket={socket}", "dest": str(dest), "src_format": "raw"}
        assert made(run_module("disk_convert", given))["checksum"] == sha256(RAW)
        assert raw_content(dest, "qcow2") == RAW
        again = run_module("disk_convert", given)
        assert not again["changed"]
        assert any("does not tell whether it changed" in warning for warning in again["warnings"])
        assert run_module("disk_convert", {**given, "force": True})["changed"]
        assert not run_module("disk_convert", {**given, "checksum": sha256(RAW)})["changed"]
    assert not run_module("disk_convert", {**given, "checksum": sha256(RAW)})["changed"]
    assert "the connection failed" in run_module("disk_convert", given)["msg"]
