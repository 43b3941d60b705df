# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor import firmware, tuning
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.windows import set_windows
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.xml import alike, clone, get, parse


@pytest.mark.parametrize(
    ("text", "cpus", "told"),
    [
        ("0", {0}, "0"),
        ("0-3", {0, 1, 2, 3}, "0-3"),
        ("0-3,^2,8", {0, 1, 3, 8}, "0-1,3,8"),
        ("8, 7", {7, 8}, "7-8"),
        ("", None, ""),
        ("a", None, ""),
        ("3-1", None, ""),
        ("0,^0", None, ""),
        ("^1-2", None, ""),
    ],
)
def test_sets_of_cpus(text: str, cpus: set[int] | None, told: str) -> None:
    assert tuning.cpu_set(text) == cpus
    assert tuning.cpu_text(cpus or ()) == told


def test_pins_are_just_those_declared() -> None:
    root = parse("<domain><cputune><vcpupin vcpu='0' cpuset='3,1-2'/><emulatorpin cpuset='0'/></cputune></domain>")
    assert tuning.pins(root) == {0: "1-3"}
    before = clone(root)
    tuning.set_pins(root, {0: "1-3"})
    assert alike(root, before)
    tuning.set_pins(root, {1: "0"})
    assert tuning.pins(root) == {1: "0"}
    assert get(root, "cputune/emulatorpin/@cpuset") == "0"


@pytest.mark.parametrize("wanted", [True, False, 2 << 20, 1 << 30])
def test_huge_pages(wanted: int | bool) -> None:
    for start in ("", "<hugepages/>", "<hugepages><page size='2048' unit='KiB'/></hugepages>"):
        root = parse(f"<domain><memoryBacking>{start}<locked/></memoryBacking></domain>")
        tuning.set_hugepages(root, wanted)
        assert tuning.hugepages(root) is wanted or tuning.hugepages(root) == wanted
        assert root.find("memoryBacking/locked") is not None


def test_what_the_host_has(tmp_path: Path) -> None:
    for size, free in ((2048, 3), (1048576, 0)):
        folder = tmp_path / f"hugepages-{size}kB"
        folder.mkdir()
        (folder / "free_hugepages").write_text(f"{free}\n")
    assert tuning.free_hugepages(str(tmp_path)) == {2 << 20: 6 << 20, 1 << 30: 0}
    (tmp_path / "meminfo").write_text(
        "MemTotal:       1024 kB\nHugePages_Total:       0\nHugepagesize:       2048 kB\n"
    )
    assert tuning.host_memory(str(tmp_path / "meminfo")) == {"MemTotal": 1 << 20, "Hugepagesize": 2 << 20}
    assert 0 in tuning.online_cpus()


def test_secure_boot_there_and_back() -> None:
    root = parse("<domain><os><type>hvm</type></os></domain>")
    firmware.set_firmware(root, "uefi", secure=True)
    assert (firmware.firmware(root), firmware.secure_boot(root)) == ("uefi", True)
    assert get(root, "os/firmware/feature[@name='enrolled-keys']/@enabled") == "yes"
    assert get(root, "features/smm/@state") == "on"
    firmware.set_firmware(root, "uefi")
    assert (firmware.firmware(root), firmware.secure_boot(root)) == ("uefi", False)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"features": ["secure-boot", "enrolled-keys"], "targets": [{"architecture": "x86_64"}]}, True),
        ({"features": ["secure-boot"], "targets": [{"architecture": "x86_64"}]}, False),
        ({"features": ["secure-boot", "enrolled-keys"], "targets": [{"architecture": "aarch64"}]}, False),
        ([], False),
        ("", False),
    ],
)
def test_firmware_descriptions(tmp_path: Path, content: object, found: bool) -> None:
    (tmp_path / "40-secure.json").write_text(json.dumps(content) if content else "")
    assert firmware.has_enrolled_keys("x86_64", [str(tmp_path), "/no/such/folder"]) is found


@pytest.mark.parametrize(("offered", "kvm"), [((), False), (("relaxed", "spinlocks", "stimer"), True)])
def test_windows(offered: tuple[str, ...], kvm: bool) -> None:
    root = parse("<domain><clock offset='utc'/><devices/></domain>")
    set_windows(root, offered=offered, kvm=kvm)
    assert get(root, "clock/@offset") == "localtime"
    assert bool(root.findall("clock/timer[@name='hypervclock']")) is kvm
    # stimer needs synic, which this host doesn't have.
    found = [child.tag for child in root.findall("features/hyperv/*")]
    assert found == (["relaxed", "spinlocks"] if offered else [])
    assert get(root, "devices/input[@type='tablet']/@bus") == "usb"


def test_how_large_the_variables_of_the_hosts_firmware_are(tmp_path: Path) -> None:
    def described(name: str, size: int, arch: str = "x86_64", format: str = "raw") -> None:
        template = tmp_path / f"{name}.fd"
        template.write_bytes(bytes(size))
        told = {
            "targets": [{"architecture": arch}],
            "mapping": {"nvram-template": {"filename": str(template), "format": format}},
        }
        (tmp_path / f"{name}.json").write_text(json.dumps(told), encoding="utf-8")

    described("small", 128)
    described("large", 528)
    described("arm", 64, arch="aarch64")
    described("packed", 200, format="qcow2")
    (tmp_path / "gone.json").write_text(
        '{"targets": [{"architecture": "x86_64"}], "mapping": {"nvram-template": {"filename": "/no/such", "format": "raw"}}}',
        encoding="utf-8",
    )
    (tmp_path / "other.json").write_text('{"targets": [{"architecture": "x86_64"}], "mapping": []}', encoding="utf-8")
    assert firmware.template_sizes("x86_64", [str(tmp_path)]) == {128, 528}


@pytest.mark.parametrize(
    ("described", "secure", "raw"),
    [
        ({}, False, True),
        ({"60-edk2": ("raw", [])}, False, True),
        # As Fedora has it, and RHEL on aarch64.
        ({"50-qcow2": ("qcow2", []), "51-raw": ("raw", [])}, False, False),
        (
            {"30-qcow2-keys": ("qcow2", ["secure-boot", "enrolled-keys"]), "60-raw": ("raw", ["verbose-dynamic"])},
            False,
            True,
        ),
        ({"30-qcow2-keys": ("qcow2", ["secure-boot", "enrolled-keys"]), "60-raw": ("raw", [])}, True, False),
        (
            {"40-qcow2-no-keys": ("qcow2", ["secure-boot"]), "41-raw": ("raw", ["secure-boot", "enrolled-keys"])},
            True,
            True,
        ),
    ],
)
def test_firmware_that_libvirt_takes_by_itself(
    tmp_path: Path, described: dict[str, tuple[str, list[str]]], secure: bool, raw: bool
) -> None:
    for name, (kind, features) in described.items():
        told = {
            "targets": [{"architecture": "x86_64"}],
            "mapping": {"nvram-template": {"filename": "/usr/share/VARS", "format": kind}},
            "features": features,
        }
        (tmp_path / f"{name}.json").write_text(json.dumps(told), encoding="utf-8")
    assert firmware.takes_raw("x86_64", secure=secure, folders=[str(tmp_path)]) is raw


def test_a_description_of_the_host_hides_the_package_s(tmp_path: Path) -> None:
    told = {
        "targets": [{"architecture": "x86_64"}],
        "mapping": {"nvram-template": {"filename": "/V", "format": "qcow2"}},
    }
    own, packages = tmp_path / "etc", tmp_path / "usr"
    for folder in (own, packages):
        folder.mkdir()
    (packages / "50-qcow2.json").write_text(json.dumps(told), encoding="utf-8")
    folders = [str(own), str(packages)]
    assert not firmware.takes_raw("x86_64", secure=False, folders=folders)
    (own / "50-qcow2.json").touch()
    assert firmware.takes_raw("x86_64", secure=False, folders=folders)
