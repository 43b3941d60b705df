# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The NoCloud seed of cloud-init: a small ISO image labelled CIDATA, replaced only when its content changes."""

from __future__ import annotations

import hashlib
import io
import json
import os
from dataclasses import dataclass
from typing import Any

from .._errors import Conflict, InvalidOption
from .._files import partial_path, remove
from .._libraries import missing_library, use_own_libraries
from .._records import Record, publish_with_record, read_record

OPERATION = "seed"
LABEL = "cidata"
# ISO 9660 names are short; guests read the long ones of Rock Ridge or Joliet.
_SHORT = {
    "user-data": "/USERDATA.;1",
    "meta-data": "/METADATA.;1",
    "network-config": "/NETCONF.;1",
    "vendor-data": "/VENDDATA.;1",
}


@dataclass(frozen=True)
class Seed:
    """A seed image: where it is, and the text of each of its files."""

    vm: str
    path: str
    files: dict[str, str]

    @property
    def digest(self) -> str:
        """Names the content; two builds of one content differ in their time stamps."""
        return hashlib.sha256(json.dumps(self.files, sort_keys=True).encode()).hexdigest()

    def is_current(self) -> bool:
        """Whether the file is there with just this content; raises Conflict for a stranger's file."""
        if not os.path.exists(self.path):
            return False
        record = read_record(self.path)
        if not is_seed(record):
            raise Conflict(f"cloud_init: {self.path} exists and is no seed of ours; remove it, or rename it.")
        return record is not None and record.digest == self.digest

    def write(self, *, version: str) -> None:
        """Build and publish it; readable by root alone from the first byte, libvirt gives it to QEMU at start."""
        data = build(self.files)
        partial = partial_path(self.path)
        remove(partial)
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        record = Record(
            operation=OPERATION, format="raw", virtual_size=len(data), options={"vm": self.vm}, digest=self.digest,
            tool=f"imageops.fleet {version}",
        )  # fmt: skip
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
            publish_with_record(partial, self.path, record)
        except BaseException:
            remove(partial)
            raise


def seed_of(vm: str, cloud_init: dict[str, Any], *, folder: str) -> Seed:
    """The seed that `cloud_init` describes; meta-data has a stable instance-id and a host name unless told."""
    require_builder()
    _check_kinds(cloud_init)
    meta = cloud_init.get("meta_data")
    if not isinstance(meta, str):
        meta = {"instance-id": f"iid-{vm}", "local-hostname": vm, **(meta or {})}
    files = {"meta-data": _text(meta), "user-data": _user_data(cloud_init.get("user_data"))}
    if cloud_init.get("network_config"):
        files["network-config"] = _text(cloud_init["network_config"])
    return Seed(vm, seed_path(vm, folder), files)


def _check_kinds(cloud_init: dict[str, Any]) -> None:
    """Raise InvalidOption for what is neither a text nor a dictionary; values aren't shown, they may be secret."""
    for name in ("user_data", "meta_data", "network_config"):
        value = cloud_init.get(name)
        if value is not None and not isinstance(value, (str, dict)):
            raise InvalidOption(f"cloud_init.{name}: this is neither a text nor a dictionary; give one of them.")


def is_seed(record: Record | None) -> bool:
    """Whether a file with this record is a seed of ours."""
    return record is not None and record.operation == OPERATION


def seed_path(vm: str, folder: str) -> str:
    """Where the seed of a VM is."""
    return os.path.join(folder, f"{vm}-seed.iso")


def _text(value: Any) -> str:
    """Text as it is; anything else as JSON, which every reader of YAML takes."""
    return value if isinstance(value, str) else json.dumps(value, indent=1, sort_keys=True) + "\n"


def _user_data(value: Any | None) -> str:
    if isinstance(value, dict):
        return "#cloud-config\n" + _text(value)
    return value or "#cloud-config\n{}\n"


def require_builder() -> Any:
    """The module `pycdlib`, loaded when a seed is first needed; raises MissingLibrary."""
    use_own_libraries()
    try:
        import pycdlib
    except ImportError:
        ways = "or run the role imageops.fleet.hypervisor, or install pycdlib from PyPI"
        raise missing_library("pycdlib", ways, option="cloud_init") from None
    return pycdlib


def build(files: dict[str, str]) -> bytes:
    """The bytes of an ISO image with `files`."""
    image = require_builder().PyCdlib()
    image.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=LABEL)
    for name, text in sorted(files.items()):
        data = text.encode()
        image.add_fp(io.BytesIO(data), len(data), iso_path=_SHORT[name], rr_name=name, joliet_path=f"/{name}")
    stream = io.BytesIO()
    image.write_fp(stream)
    image.close()
    return stream.getvalue()
