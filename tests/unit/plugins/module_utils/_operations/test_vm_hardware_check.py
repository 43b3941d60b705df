# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import ImageOpsError, InvalidOption, Unsupported
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.xml import Element, parse
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_hardware_check import require_hardware
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_request import read_request

EMULATOR = "/usr/bin/qemu-system-x86_64"
HOST = f"""<capabilities>
  <host><cpu><arch>x86_64</arch></cpu></host>
  <guest><os_type>hvm</os_type><arch name='i686'><machine maxCpus='1'>isapc</machine><domain type='qemu'/></arch></guest>
  <guest><os_type>hvm</os_type>
    <arch name='x86_64'>
      <emulator>{EMULATOR}</emulator>
      <machine maxCpus='288'>pc-q35-7.2</machine>
      <machine canonical='pc-q35-7.2' maxCpus='288'>q35</machine>
      <domain type='qemu'><machine>microvm</machine></domain>
    </arch>
  </guest>
</capabilities>"""
DOMAINS = (
    "<domainCapabilities><cpu><mode name='custom'><model usable='no'>Haswell</model></mode></cpu></domainCapabilities>"
)
REQUEST: dict[str, Any] = {
    "name": "web", "state": "present", "uri": "qemu:///system", "shutdown_timeout": 0, "force_stop": True, "remove_disks": False,
}  # fmt: skip


class Host:
    """A connection to a host with these capabilities, which counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def capabilities(self) -> Element:
        self.asked.append("host")
        return parse(HOST)

    def domain_capabilities(self, *, kind: str, machine: str) -> Element:
        self.asked.append(kind)
        return parse(DOMAINS)


def described(machine: str = "q35", vcpus: int = 1, cpu: str = "", kind: str = "qemu", emulator: str = "") -> Element:
    model = f"<cpu mode='custom'><model>{cpu}</model></cpu>" if cpu else ""
    return parse(
        f"<domain type='{kind}'><os><type arch='x86_64' machine='{machine}'>hvm</type></os><vcpu>{vcpus}</vcpu>{model}"
        f"<devices><emulator>{emulator}</emulator></devices></domain>"
    )


def require(host: Host, root: Element, existing: Element | None = None, **given: Any) -> None:
    require_hardware(root, existing, read_request({**REQUEST, **given}), host)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("root", "given"),
    [
        (described(), {}),
        (described("", 999), {}),
        (described("pc-q35-7.2", 288), {}),
        (described("microvm", 999), {}),
        (described(cpu="Haswell"), {"cpu": "Haswell"}),
        (described("nonsense", kind="test"), {}),
        (described("nonsense", emulator="/opt/qemu"), {}),
    ],
)
def test_what_the_host_has(root: Element, given: dict[str, Any]) -> None:
    require(Host(), root, **given)


REFUSED: list[tuple[Element, dict[str, Any], type[ImageOpsError], str]] = [
    (described("nonsense"), {}, InvalidOption, "machine: QEMU on this host has no machine nonsense for x86_64; .* such as q35"),
    (described("isapc", emulator=EMULATOR), {}, InvalidOption, "machine: .* no machine isapc"),
    (described(vcpus=289), {}, Unsupported, "vcpus: the machine q35 has at most 288 virtual CPUs on this host, and 289"),
    (described(cpu="Z80"), {"cpu": "Z80"}, InvalidOption, "cpu: QEMU on this host has no CPU model Z80"),
]  # fmt: skip


@pytest.mark.parametrize(("root", "given", "kind", "says"), REFUSED)
@pytest.mark.parametrize("existing", [None, described()])
def test_what_it_lacks(
    root: Element, given: dict[str, Any], kind: type[ImageOpsError], says: str, existing: Element | None
) -> None:
    with pytest.raises(kind, match=f"^{says}"):
        require(Host(), root, existing, **given)


def test_what_stays_is_not_asked_about() -> None:
    host = Host()
    require(host, described("old", 999, "Z80"), described("old", 999, "Z80"), cpu="Z80")
    assert host.asked == []


def test_models_are_asked_for_when_one_is_declared() -> None:
    host = Host()
    require(host, described(), cpu="maximum")
    assert host.asked == ["host"]
