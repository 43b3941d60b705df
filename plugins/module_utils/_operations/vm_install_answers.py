# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the answers of an unattended installation reach each installer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._errors import InvalidOption
from .small_iso import build, require_builder
from .vm_install_render import render

INITRD, VOLUME, FIRMWARE = "initrd", "volume", "firmware"
# A job gets its secrets through a pipe, which holds 64 KiB.
_MOST = 60000
# Who can read the record of a disk shall not try out passwords by it as fast as he can.
_ROUNDS = 20000


@dataclass(frozen=True)
class Delivery:
    """Where an installer looks: `name` is the file's, or the key of QEMU's firmware configuration; `label` the volume's.

    `arguments` are for the kernel, where the task starts it.
    """

    where: str
    name: str
    label: str = ""
    arguments: str = ""


DELIVERIES: dict[str, Delivery] = {
    "preseed": Delivery(INITRD, "preseed.cfg", arguments="auto=true priority=critical"),
    "kickstart": Delivery(VOLUME, "ks.cfg", "OEMDRV"),
    "autoinstall": Delivery(VOLUME, "user-data", "CIDATA", arguments="autoinstall"),
    "autoyast": Delivery(VOLUME, "autoinst.xml", "OEMDRV", arguments="autoyast=label://OEMDRV/autoinst.xml"),
    "ignition": Delivery(FIRMWARE, "opt/com.coreos/config", arguments="ignition.firstboot ignition.platform.id=qemu"),
    "combustion": Delivery(FIRMWARE, "opt/org.opensuse.combustion/script", arguments="ignition.platform.id=qemu"),
    "autounattend": Delivery(VOLUME, "autounattend.xml", "UNATTEND"),
}
_SHORT = {
    "ks.cfg": "/KS.CFG;1",
    "user-data": "/USERDATA.;1",
    "meta-data": "/METADATA.;1",
    "autoinst.xml": "/AUTOINST.XML;1",
    "autounattend.xml": "/UNATTEND.XML;1",
}


def slow_digest(text: str, path: str) -> str:
    """Names for the disk `path` what may hold passwords, dearly."""
    return hashlib.pbkdf2_hmac("sha256", text.encode(), path.encode(), _ROUNDS).hex()


@dataclass(frozen=True)
class Answers:
    """The answers of one installation; the text may hold passwords."""

    kind: str
    text: str

    @property
    def delivery(self) -> Delivery:
        return DELIVERIES[self.kind]

    def digest(self, path: str) -> str:
        """Names the answers for the disk `path`, dearly."""
        return slow_digest(self.text, path)

    def volume(self) -> bytes:
        """The bytes of the CD that they are on."""
        files = {self.delivery.name: self.text}
        if self.kind == "autoinstall":
            files["meta-data"] = "{}\n"
        return build(files, label=self.delivery.label, short=_SHORT, option="answers")


def read_answers(value: Mapping[str, Any] | None, *, starts_kernel: bool) -> Answers | None:
    """The answers that a task gives; raises InvalidOption for what can't reach the installer."""
    if value is None:
        return None
    if value.get("content") is None:
        raise InvalidOption("answers.content: nothing is given; give the answer file as a text, or as a dictionary.")
    answers = Answers(value["kind"], render(value["kind"], value["content"]))
    if len(json.dumps(answers.text)) > _MOST:
        raise InvalidOption(
            f"answers.content: the answer file is longer than {_MOST} bytes; have the installer fetch the rest by an URL."
        )
    if answers.delivery.where == INITRD and not starts_kernel:
        raise InvalidOption(
            f"answers.kind: {answers.kind} goes into the initrd, so the installer must be started by kernel and initrd; with iso name both as "
            f"they are called on it, such as install.amd/vmlinuz and install.amd/initrd.gz."
        )
    if answers.delivery.where == VOLUME:
        require_builder("answers")
    return answers
