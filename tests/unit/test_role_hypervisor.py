# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role `hypervisor` does on each family of distributions, most of which no test machine runs."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml

from .faked_role import Done, Host, run_role

ROLE = Path(__file__).resolve().parents[2] / "roles/hypervisor"
FAMILIES = yaml.safe_load((ROLE / "vars/main.yml").read_text(encoding="utf-8"))["__hypervisor_families"]
MANAGERS = ("apt", "dnf", "zypper")
VIRSH, SELINUX, APPARMOR = "/usr/bin/virsh", "/sys/fs/selinux/enforce", "/etc/apparmor.d/abstractions/libvirt-qemu"
CAPABILITIES = "<secmodel>\n<model>dac</model>\n<doi>0</doi>\n<baselabel type='kvm'>+107:+36</baselabel>\n</secmodel>"
UNLABELLED = {"matchpathcon": {"stdout": "system_u:object_r:var_lib_t:s0"}}
SERVED = {
    "systemctl is-enabled": {"rc": 1},
    "systemctl is-active": {"rc": 3},
    "virsh --connect qemu:///system capabilities": {"stdout": CAPABILITIES},
    "cat": {"rc": 1},
    "rpm": {"rc": 1},
}
MODULAR = ["virtqemud", "virtnetworkd", "virtstoraged", "virtnodedevd", "virtsecretd"]


def variables(family: str) -> dict[str, Any]:
    return dict(yaml.safe_load((ROLE / "vars" / f"{family}.yml").read_text(encoding="utf-8")))


def facts(family: str, distribution: str, version: str, python: str, arch: str = "x86_64") -> dict[str, Any]:
    major, minor, *_rest = python.split(".")
    return {
        "os_family": family,
        "distribution": distribution,
        "distribution_version": version,
        "distribution_major_version": version.split(".")[0],
        "architecture": arch,
        "python_version": python,
        "python": {
            "version": {"major": int(major), "minor": int(minor)},
            "executable": f"/usr/bin/python{major}.{minor}",
        },
    }


# Those that have virsh are gone through to the end, the others up to their packages.
HOSTS = {
    "debian12": Host(facts("Debian", "Debian", "12.11", "3.11.2"), paths=(VIRSH, APPARMOR), said=SERVED),
    "debian13": Host(facts("Debian", "Debian", "13.1", "3.13.5")),
    "debian14": Host(facts("Debian", "Debian", "forky/sid", "3.14.0")),
    "ubuntu24": Host(facts("Debian", "Ubuntu", "24.04", "3.12.3")),
    "rocky9": Host(facts("RedHat", "Rocky", "9.6", "3.9.21"), paths=(VIRSH, SELINUX), said={**SERVED, **UNLABELLED}),
    "rhel10": Host(facts("RedHat", "RedHat", "10.1", "3.12.11", "aarch64")),
    # One that came from RHEL 8 and goes on with libvirtd, and whose policy knows the folders.
    "alma9": Host(
        facts("RedHat", "AlmaLinux", "9.4", "3.9.18", "s390x"),
        paths=(VIRSH, SELINUX),
        said={
            "systemctl is-enabled": {"rc": 0},
            "systemctl is-active": {"rc": 0},
            "matchpathcon -n -m dir /var/lib/imageops/run": {"stdout": "system_u:object_r:qemu_var_run_t:s0"},
            "matchpathcon": {"stdout": "system_u:object_r:virt_image_t:s0"},
            "cat": {"rc": 0, "stdout": "0.25.0 python39"},
            "virsh --connect qemu:///system pool-list": {
                "stdout": " Name     State    Autostart\n---\n default  active   yes"
            },
        },
    ),
    "fedora": Host(facts("RedHat", "Fedora", "43", "3.14.0")),
    "sles15": Host(facts("Suse", "SLES", "15.7", "3.11.10"), paths=(VIRSH, APPARMOR), said=SERVED),
    "leap16": Host(
        facts("Suse", "openSUSE Leap", "16.0", "3.13.5"), paths=(VIRSH, SELINUX), said={**SERVED, **UNLABELLED}
    ),
    # One that has all packages but one.
    "tumbleweed": Host(
        facts("Suse", "openSUSE Tumbleweed", "20261101", "3.13.9"),
        said={"rpm --query --whatprovides qemu-x86": {"rc": 1}},
    ),
    "gentoo": Host(facts("Gentoo", "Gentoo", "2.17", "3.12.0")),
    "rhel8": Host(facts("RedHat", "RedHat", "8.10", "3.9.20")),
    "jammy": Host(facts("Debian", "Ubuntu", "22.04", "3.10.12")),
    "python36": Host(facts("Suse", "SLES", "15.7", "3.6.15")),
    "mips": Host(facts("Debian", "Debian", "12.1", "3.11.2", "mips64")),
}
READY = [name for name, host in HOSTS.items() if VIRSH in host.answers[0][1]["paths"]]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    return run_role(ROLE, HOSTS, tmp_path_factory.mktemp("role"))


def packages(done: Done, host: str) -> set[str]:
    found = [call["name"] for module in ("apt", "dnf") for call in done.of(host, module)]
    zypper = [command.split("--no-recommends ")[1].split() for command in done.commands(host, "zypper")]
    return set(chain(*found, *zypper))


def libraries(done: Done, host: str) -> set[str]:
    return {command.split()[-1] for command in done.commands(host) if " -m pip " in command}


def enabled(done: Done, host: str) -> list[str]:
    return [call["name"] for call in done.of(host, "systemd_service") if "enabled" in call]


@pytest.mark.parametrize("family", FAMILIES)
def test_all_families_define_the_same(family: str) -> None:
    assert set(variables(family)) == set(variables("Debian"))


@pytest.mark.parametrize("family", FAMILIES)
def test_what_they_define_is_of_the_same_kind(family: str) -> None:
    found = variables(family)
    assert "other" in found["__hypervisor_oldest"]
    assert all(isinstance(version, str) for version in found["__hypervisor_oldest"].values())
    assert found["__hypervisor_package_manager"] in MANAGERS
    names = [*found["__hypervisor_packages"], *found["__hypervisor_daemons"], *found["__hypervisor_qemu_account"]]
    names += chain(*found["__hypervisor_qemu_packages"].values())
    assert all(isinstance(name, str) and name for name in names)
    assert len(found["__hypervisor_qemu_account"]) == 2
    assert isinstance(found["__hypervisor_apparmor_file"], str)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_package_manager_has_its_tasks(family: str) -> None:
    assert (ROLE / "tasks" / f"packages_{variables(family)['__hypervisor_package_manager']}.yml").exists()


@pytest.mark.parametrize("host", READY)
def test_the_role_gets_to_its_end(done: Done, host: str) -> None:
    assert done.failure(host) == ""
    assert done.commands(host)[-1].startswith("virsh --connect qemu:///system net-autostart")


@pytest.mark.parametrize(
    ("host", "has", "lacks"),
    [
        ("debian12", {"libvirt-daemon-system", "qemu-system-x86", "ovmf", "python3-zstandard"}, {"python3-isal"}),
        ("debian13", {"python3-isal"}, {"libvirt-daemon-kvm"}),
        ("debian14", {"python3-isal"}, set()),
        (
            "rocky9",
            {"libvirt-daemon-kvm", "python3-libnbd", "qemu-kvm", "edk2-ovmf"},
            {"python3-zstandard", "python3-pycdlib"},
        ),
        ("rhel10", {"qemu-kvm", "edk2-aarch64"}, {"edk2-ovmf"}),
        ("fedora", {"python3-zstandard", "python3-pycdlib", "libdeflate"}, {"ovmf"}),
        ("sles15", {"python311-libvirt-python", "python311-pip", "qemu-x86"}, {"python3-libnbd", "selinux-tools"}),
        (
            "leap16",
            {"python313-libvirt-python", "python3-libnbd", "qemu-ovmf-x86_64", "selinux-tools"},
            {"python311-pip"},
        ),
        ("tumbleweed", {"qemu-x86"}, {"attr", "qemu-tools"}),
    ],
)
def test_packages(done: Done, host: str, has: set[str], lacks: set[str]) -> None:
    found = packages(done, host)
    assert has <= found
    assert not lacks & found


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("debian12", {"qemu.qmp==0.0.6", "isal==1.8.0"}),
        ("rocky9", {"qemu.qmp==0.0.6", "isal==1.8.0", "pycdlib==1.14.0", "zstandard==0.25.0"}),
        ("leap16", {"qemu.qmp==0.0.6", "isal==1.8.0", "pycdlib==1.14.0", "zstandard==0.25.0"}),
        # Its zstandard is there for its Python; isal exists for no such processor.
        ("alma9", {"qemu.qmp==0.0.6", "pycdlib==1.14.0"}),
    ],
)
def test_libraries_of_pypi(done: Done, host: str, expected: set[str]) -> None:
    assert libraries(done, host) == expected


def test_libraries_are_for_the_interpreter_of_the_modules(done: Done) -> None:
    assert [command.split()[0] for command in done.commands("sles15") if " -m pip " in command] == [
        "/usr/bin/python3.11"
    ] * 4
    stamps = [call["content"] for call in done.of("sles15", "copy") if call["dest"].endswith("-version")]
    assert sorted(stamps) == ["0.0.6", "0.25.0 python311", "1.14.0", "1.8.0 python311"]


@pytest.mark.parametrize("host", READY)
def test_daemons(done: Done, host: str) -> None:
    monolithic = host in ("debian12", "alma9")
    daemons = ["libvirtd"] if monolithic else MODULAR
    units = [f"{daemon}.{kind}" for daemon in daemons for kind in ("socket", "service")]
    assert enabled(done, host) == [*units, "virtlogd.socket"]
    started = [call["name"] for call in done.of(host, "systemd_service") if call.get("state") == "started"]
    assert started == ([] if host == "alma9" else [f"{daemon}.socket" for daemon in [*daemons, "virtlogd"]])


@pytest.mark.parametrize(("host", "user"), [("rocky9", ["107", "36"]), ("alma9", ["qemu", "qemu"])])
def test_the_folder_of_sockets_belongs_to_qemu(done: Done, host: str, user: list[str]) -> None:
    (run,) = (call for call in done.of(host, "file") if call["path"] == "/var/lib/imageops/run")
    assert [str(run["owner"]), str(run["group"]), run["mode"]] == [*user, "0710"]


@pytest.mark.parametrize("host", READY)
def test_selinux_is_told(done: Done, host: str) -> None:
    rules = [command.partition("--type ")[2] for command in done.commands(host, "semanage fcontext --add")]
    restored = done.commands(host, "restorecon")
    if host == "alma9":
        assert (rules, restored) == ([], ["restorecon -v /var/lib/imageops/run"])
    elif SELINUX in HOSTS[host].answers[0][1]["paths"]:
        run, pool = "/var/lib/imageops/run", "/var/lib/libvirt/images"
        assert rules == [f"qemu_var_run_t {run}(/.*)?", f"virt_image_t {pool}(/.*)?"]
        assert restored == [f"restorecon -v -R {run}", f"restorecon -v -R {pool}"]
    else:
        assert (rules, restored) == ([], [])


@pytest.mark.parametrize(
    ("host", "file"),
    [
        ("debian12", ["/etc/apparmor.d/local/abstractions/libvirt-qemu"]),
        ("sles15", ["/etc/apparmor.d/abstractions/libvirt-qemu.d/imageops"]),
        ("leap16", []),
        ("rocky9", []),
    ],
)
def test_apparmor_is_told(done: Done, host: str, file: list[str]) -> None:
    assert [call["path"] for call in done.of(host, "blockinfile")] == file


def test_a_fresh_host_in_check_mode_gets_no_further_than_its_packages(done: Done) -> None:
    assert packages(done, "debian14")
    assert not done.commands("debian14")


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("gentoo", "this host runs Gentoo, of the family Gentoo."),
        ("rhel8", "needs RedHat 9 or newer on x86_64, aarch64, s390x, with Python 3.9 or newer"),
        ("jammy", "needs Ubuntu 24.04 or newer"),
        ("python36", "this host runs SLES 15.7 on x86_64 with Python 3.6.15."),
        ("mips", "this host runs Debian 12.1 on mips64"),
    ],
)
def test_refusals(done: Done, host: str, words: str) -> None:
    assert words in done.failure(host)
    assert not packages(done, host)


def test_in_check_mode_zypper_only_tells_what_it_would_bring_to_the_newest_version(tmp_path: Path) -> None:
    done = run_role(
        ROLE, {"tumbleweed": HOSTS["tumbleweed"]}, tmp_path, "--check", "-e", "hypervisor_packages_state=latest"
    )
    (command,) = done.commands("tumbleweed", "zypper")
    assert command.startswith("zypper --non-interactive install --no-recommends --dry-run attr ")
