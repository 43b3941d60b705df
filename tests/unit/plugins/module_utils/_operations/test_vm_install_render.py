# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import InvalidOption
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_install_render import RENDERERS, render

UNATTEND = "{urn:schemas-microsoft-com:unattend}"
WCM = "{http://schemas.microsoft.com/WMIConfig/2002/State}"


@pytest.mark.parametrize("kind", RENDERERS)
def test_a_text_is_taken_as_it_is(kind: str) -> None:
    assert render(kind, "a: b\n") == "a: b\n"
    assert render(kind, "a: b") == "a: b\n"


@pytest.mark.parametrize("content", [None, 5, ["a"]])
def test_what_is_no_answer_file(content: Any) -> None:
    with pytest.raises(InvalidOption, match="neither a text nor a dictionary"):
        render("preseed", content)


def test_preseed() -> None:
    told = render(
        "preseed",
        {
            "netcfg/get_hostname": "web",
            "passwd/make-user": False,
            "tasksel/first": ["standard", "ssh-server"],
            "partman/choose_partition": {"type": "select", "value": "finish"},
            "grub-pc/install_devices": {"type": "multiselect", "value": ["/dev/vda"], "owner": "grub-pc"},
            "passwd/root-password-crypted": {"type": "password", "value": "$6$x"},
            "finish-install/reboot_in_progress": {"type": "note"},
            "port": 80,
        },
    )
    assert told == (
        "d-i netcfg/get_hostname string web\n"
        "d-i passwd/make-user boolean false\n"
        "d-i tasksel/first multiselect standard, ssh-server\n"
        "d-i partman/choose_partition select finish\n"
        "grub-pc grub-pc/install_devices multiselect /dev/vda\n"
        "d-i passwd/root-password-crypted password $6$x\n"
        "d-i finish-install/reboot_in_progress note\n"
        "d-i port string 80\n"
    )


def test_kickstart() -> None:
    told = render(
        "kickstart",
        {
            "text": True,
            "lang": "en_US.UTF-8",
            "graphical": False,
            "part": ["/boot --size 512", "/ --grow"],
            "packages": ["@core", "qemu-guest-agent"],
            "post --log=/root/post.log": "echo one\necho two\n",
        },
    )
    assert told == (
        "text\nlang en_US.UTF-8\npart /boot --size 512\npart / --grow\n%packages\n@core\nqemu-guest-agent\n%end\n"
        "%post --log=/root/post.log\necho one\necho two\n%end\n"
    )


@pytest.mark.parametrize("kind", ["preseed", "kickstart"])
def test_a_value_can_bring_no_further_lines(kind: str) -> None:
    with pytest.raises(InvalidOption, match="'rootpw' has several lines") as caught:
        render(kind, {"rootpw": "secret\nfirewall --disabled"})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("content", [{"autoinstall": {"locale": "C"}}, {"locale": "C"}])
def test_autoinstall(content: dict[str, Any]) -> None:
    head, _line, rest = render("autoinstall", content).partition("\n")
    assert head == "#cloud-config" and json.loads(rest) == {"autoinstall": {"version": 1, "locale": "C"}}


def test_ignition() -> None:
    assert json.loads(render("ignition", {"ignition": {"version": "3.3.0"}})) == {"ignition": {"version": "3.3.0"}}


def test_combustion() -> None:
    told = render("combustion", {"script": ["useradd a", "echo b"], "network": True})
    assert told == "#!/bin/bash\n# combustion: network\nuseradd a\necho b\n"
    assert render("combustion", {"script": "echo b"}) == "#!/bin/bash\necho b\n"


@pytest.mark.parametrize("content", [{}, {"script": []}, {"script": "x", "more": 1}])
def test_a_script_is_needed(content: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption, match="'script' \\(lines\\)"):
        render("combustion", content)


def test_autoyast() -> None:
    told = render(
        "autoyast", {"general": {"mode": {"confirm": False}}, "software": {"packages": ["vim", "a<b"]}, "n": 3}
    )
    root = ElementTree.fromstring(told)
    at = "{http://www.suse.com/1.0/yast2ns}"
    kind = "{http://www.suse.com/1.0/configns}type"
    confirm = root.find(f"{at}general/{at}mode/{at}confirm")
    packages = root.find(f"{at}software/{at}packages")
    assert confirm is not None and (confirm.text, confirm.get(kind)) == ("false", "boolean")
    assert packages is not None and packages.get(kind) == "list"
    assert [entry.text for entry in packages] == ["vim", "a<b"]
    assert told.splitlines()[1] == "<!DOCTYPE profile>"


def test_autounattend() -> None:
    commands = [{"Order": 1, "CommandLine": "cmd /c a & b"}, {"Order": 2, "CommandLine": "shutdown /s"}]
    told = render(
        "autounattend",
        {
            "windowsPE": {"Microsoft-Windows-Setup": {"UserData": {"AcceptEula": True}}},
            "oobeSystem": {
                "Microsoft-Windows-Shell-Setup": {
                    "processorArchitecture": "arm64",
                    "FirstLogonCommands": {"SynchronousCommand": commands},
                }
            },
        },
    )
    root = ElementTree.fromstring(told)
    assert [settings.get("pass") for settings in root] == ["windowsPE", "oobeSystem"]
    assert [component.get("processorArchitecture") for component in root.iter(f"{UNATTEND}component")] == [
        "amd64",
        "arm64",
    ]
    found = list(root.iter(f"{UNATTEND}SynchronousCommand"))
    assert [one.get(f"{WCM}action") for one in found] == ["add", "add"]
    assert [one.findtext(f"{UNATTEND}CommandLine") for one in found] == ["cmd /c a & b", "shutdown /s"]
    assert root.findtext(f".//{UNATTEND}AcceptEula") == "true"


@pytest.mark.parametrize(
    ("kind", "content", "said"),
    [
        ("autoyast", {"a b": 1}, "can't name an element"),
        ("autoyast", {"1a": 1}, "can't name an element"),
        ("autounattend", {"windowsPE": "x"}, "windowsPE: this is no dictionary"),
        ("autounattend", {"windowsPE": {"Setup": []}}, "Setup: this is no dictionary"),
    ],
)
def test_what_no_xml_can_hold(kind: str, content: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidOption, match=said):
        render(kind, content)
