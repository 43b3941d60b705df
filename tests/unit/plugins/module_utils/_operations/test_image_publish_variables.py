# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.digest import digest_of
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.variables import MOST_VARIABLES
from ansible_collections.imageops.fleet.plugins.module_utils._errors import Conflict, UnsafeImage, Unsupported
from ansible_collections.imageops.fleet.plugins.module_utils._files import fingerprint
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.xml import parse
from ansible_collections.imageops.fleet.plugins.module_utils._operations.image_publish_request import (
    SourceVariables,
    SourceVm,
)
from ansible_collections.imageops.fleet.plugins.module_utils._operations.image_publish_variables import (
    content_of,
    left_out,
    source_variables,
)
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.plugins.module_utils._registry.images import load_image
from ansible_collections.imageops.fleet.plugins.module_utils._registry.layout import LayoutStore
from ansible_collections.imageops.fleet.tests.unit.fake_clock import FakeClock
from ansible_collections.imageops.fleet.tests.unit.publish_params import publish, publish_request, published

XML = "<domain><name>web</name><os firmware='efi'>{}</os><devices>{}</devices></domain>"
TPM = "<tpm model='tpm-crb'><backend type='emulator'/></tpm>"
VARIABLES = b"\xff" * 3000 + b"Boot0001"


@pytest.fixture
def nvram(tmp_path: Path) -> Path:
    path = tmp_path / "web_VARS.fd"
    path.write_bytes(VARIABLES)
    return path


def source(path: Path, *, format: str = "raw", running: bool = False) -> SourceVariables:
    root = parse(XML.format(f"<nvram format='{format}'>{path}</nvram>", ""))
    found = source_variables(root, "qemu:///system", running=running)
    assert found is not None
    return found


def vm(path: Path, **changed: Any) -> SourceVm:
    told = {"name": "web", "xml": "<domain/>", "firmware": "efi", "tpm": False}
    return SourceVm("web", "qemu:///system", "1-2-3", False, 0, told, source(path), **changed)


def test_where_they_are(nvram: Path) -> None:
    assert source(nvram) == SourceVariables(str(nvram), "raw", False, asdict(fingerprint(str(nvram))))  # type: ignore[call-overload]
    assert source(nvram, format="qcow2", running=True).made == {}
    secure = parse(XML.format(f"<loader secure='yes'/><nvram><source file='{nvram}'/></nvram>", ""))
    found = source_variables(secure, "qemu:///system", running=True)
    assert found == SourceVariables(str(nvram), "raw", True, {})


@pytest.mark.parametrize(
    "os",
    ["<nvram>/no/such/file</nvram>", "<nvram type='network'/>", "<nvram type='block'><source dev='/dev/x'/></nvram>"],
)
def test_vms_without(os: str) -> None:
    assert source_variables(parse(XML.format(os, "")), "qemu:///system", running=False) is None


@pytest.mark.parametrize("size", [0, MOST_VARIABLES + 1])
def test_what_could_not_be_pulled_is_refused(nvram: Path, tmp_path: Path, size: int) -> None:
    words = f"has {size} bytes, and from 1 to 67108864 are published"
    running = source(nvram, running=True)
    os.truncate(nvram, size)
    with pytest.raises(Unsupported, match=words):
        source(nvram)
    # The file of a running VM may have changed since the task looked at it.
    with pytest.raises(Unsupported, match=words):
        content_of(running, folder=str(tmp_path), tools=Tools(clock=FakeClock()))


def test_an_empty_qcow2_file_is_refused(tmp_path: Path) -> None:
    image = tmp_path / "web_VARS.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "0"], check=True)
    with pytest.raises(Unsupported, match="has 0 bytes"):
        content_of(source(image, format="qcow2"), folder=str(tmp_path / "spool"), tools=Tools())


def test_what_is_left_out_is_told() -> None:
    assert list(left_out(parse(XML.format("", "")))) == []
    (tpm,) = left_out(parse(XML.format("", TPM)))
    assert tpm.startswith("vm: web has a TPM, and its state is not in the image")
    (far,) = left_out(parse(XML.format("<nvram type='network'/>", "")))
    assert "the UEFI variables of web are in no file of this host" in far


def test_of_a_stopped_vm_they_are_what_was_looked_at(nvram: Path, tmp_path: Path) -> None:
    clock = FakeClock()
    found, tools = source(nvram), Tools(clock=clock)
    assert content_of(found, folder=str(tmp_path), tools=tools) == VARIABLES and not clock.slept
    nvram.write_bytes(VARIABLES + b"1")
    with pytest.raises(Conflict, match="was written to since the task looked at it"):
        content_of(found, folder=str(tmp_path), tools=tools)
    assert content_of(source(nvram, running=True), folder=str(tmp_path), tools=tools) == VARIABLES + b"1"
    assert clock.slept == [0.1]


def test_of_a_qcow2_file_it_is_what_the_firmware_sees(tmp_path: Path) -> None:
    plain, image = tmp_path / "plain", tmp_path / "web_VARS.qcow2"
    plain.write_bytes(VARIABLES.ljust(4096, b"\0"))
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", plain, image], check=True)
    subprocess.run(["qemu-img", "snapshot", "-c", "before", image], check=True)
    found = content_of(source(image, format="qcow2"), folder=str(tmp_path / "spool"), tools=Tools())
    assert found == plain.read_bytes()


def test_a_qcow2_file_that_names_another_is_refused(nvram: Path, tmp_path: Path) -> None:
    image = tmp_path / "web_VARS.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", nvram, "-F", "raw", image], check=True)
    with pytest.raises(UnsafeImage):
        content_of(source(image, format="qcow2"), folder=str(tmp_path / "spool"), tools=Tools())


def test_an_image_holds_them(nvram: Path, tmp_path: Path, state_dir: Path) -> None:
    catalog, disk = tmp_path / "catalog", tmp_path / "disk"
    disk.write_bytes(bytes(512))
    told = publish(catalog, disk, vm=vm(nvram))
    expected = {"content": digest_of(VARIABLES), "size": len(VARIABLES), "format": "raw", "secure_boot": False}
    assert told["changed"] and published(catalog).vm["variables"] == expected
    assert str(tmp_path) not in published(catalog).as_bytes().decode()
    store = LayoutStore(str(catalog))
    first = load_image(store, "1").manifest.variables
    assert first is not None and store.blob_size(first.digest) == first.size
    assert not publish(catalog, disk, vm=vm(nvram))["changed"]
    nvram.write_bytes(VARIABLES + b"1")
    with pytest.raises(Conflict, match="a version stays what it is"):
        publish(catalog, disk, vm=vm(nvram))
    # Another version with the same variables holds the same blob.
    nvram.write_bytes(VARIABLES)
    publish(catalog, disk, vm=vm(nvram), labels={"a": "b"}, level=9, tag="2")
    assert load_image(store, "2").manifest.variables == first
    with store.pruning():
        store.collect_garbage(grace=0.0)
    assert store.blob_size(first.digest) == first.size


def test_lost_ones_come_again(nvram: Path, tmp_path: Path, state_dir: Path) -> None:
    catalog, disk = tmp_path / "catalog", tmp_path / "disk"
    disk.write_bytes(bytes(512))
    digest = publish(catalog, disk, vm=vm(nvram))["digest"]
    blob = load_image(LayoutStore(str(catalog)), "1").manifest.variables
    assert blob is not None
    (catalog / "blobs" / "sha256" / blob.digest.partition(":")[2]).unlink()
    assert publish(catalog, disk, vm=vm(nvram))["digest"] == digest
    assert LayoutStore(str(catalog)).blob_size(blob.digest) == blob.size


def test_a_job_gets_them_as_they_were_seen(nvram: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(512))
    asked = publish_request(tmp_path / "catalog", disk, vm=vm(nvram, warnings=["one"]))
    assert asked.vm is not None
    assert SourceVm.of_job(asked.job("1").params["vm"]) == asked.vm
    assert asked.meaning["variables"]["path"] == str(nvram)
