# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cloud-init seed of a clone: the source's, with another instance-id, host name and MACs.

With the same instance-id cloud-init would take the clone for the machine it was cloned from, and do nothing.
"""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Mapping
from typing import Any

from .._errors import UnsafeImage
from .guest_identity import with_identity_config
from .small_iso import opened
from .vm_seed import LABEL, Seed, require_builder, seed_path

# ECMA-119: the volume descriptors begin at sector 16; the volume identifier is 32 characters at 40.
_DESCRIPTOR, _LABEL_AT, _LABEL_LENGTH = 16 * 2048, 40, 32
_MOST, _MOST_FOLDERS = 1 << 20, 4 << 20
_FILES = ("meta-data", "user-data", "network-config", "vendor-data")


def is_seed(path: str) -> bool:
    """Whether the read-only disk `path` is a NoCloud seed, by its label."""
    try:
        with open(path, "rb") as stream:
            stream.seek(_DESCRIPTOR)
            head = stream.read(_LABEL_AT + _LABEL_LENGTH)
    except OSError:
        return False
    return head[1:6] == b"CD001" and head[_LABEL_AT:].decode("ascii", "replace").strip().lower() == LABEL


def clone_seed(
    source: str, *, name: str, uuid: str, folder: str, macs: Mapping[str, str], another_machine: bool
) -> Seed:
    """The seed for the clone `name`, from the source's seed if it has one; `macs` are the source's MACs with the clone's.

    With `another_machine` its user-data also make the guest's own ids anew.
    """
    files = read_seed(source) if source else {"user-data": "#cloud-config\n{}\n"}
    require_builder()
    if another_machine:
        files["user-data"] = with_identity_config(files.get("user-data", ""))
    files["meta-data"] = with_identity(files.get("meta-data", ""), name=name, uuid=uuid)
    if "network-config" in files:
        files["network-config"] = with_macs(files["network-config"], macs)
    return Seed(name, seed_path(name, folder), files)


def read_seed(path: str) -> dict[str, str]:
    """The files of a seed image."""
    if os.path.getsize(path) > 64 * _MOST:
        raise UnsafeImage(f"source: the cloud-init seed {path} is larger than 64 MiB; a seed is never that large.")
    what = f"source: the cloud-init seed {path}"
    with opened(path, folders=_MOST_FOLDERS, what=what, option="cloud_init") as image:
        return {name: _text(image, name) for name in _names(image) if name in _FILES}


def _kind(image: Any) -> str:
    """Which of the two kinds of long names the image has; asking pycdlib for a missing one can raise anything."""
    return "joliet_path" if image.has_joliet() else "rr_path"


def _names(image: Any) -> list[str]:
    """Names of the files at the top."""
    kind = _kind(image)
    files = [child for child in image.list_children(**{kind: "/"}) if child.is_file()]
    if kind == "joliet_path":
        return [child.file_identifier().decode("utf-16-be", "replace") for child in files]
    return [child.rock_ridge.name().decode("utf-8", "replace") for child in files if child.rock_ridge]


def _text(image: Any, name: str) -> str:
    stream = io.BytesIO()
    image.get_file_from_iso_fp(stream, **{_kind(image): f"/{name}"})
    return stream.getvalue()[:_MOST].decode("utf-8", "replace")


def with_identity(meta: str, *, name: str, uuid: str) -> str:
    """The meta-data with the clone's instance-id and host name; JSON stays JSON, YAML keeps all other lines."""
    own = {"instance-id": uuid, "local-hostname": name}
    try:
        known = json.loads(meta)
    except ValueError:
        known = None
    if isinstance(known, dict):
        return json.dumps({**known, **own}, indent=1, sort_keys=True) + "\n"
    kept = [line for line in meta.splitlines() if not re.match(r"(instance-id|local-hostname)\s*:", line)]
    return "\n".join([*kept, *(f"{key}: {value}" for key, value in own.items())]) + "\n"


def with_macs(text: str, macs: Mapping[str, str]) -> str:
    """The network configuration with each MAC of the source replaced by the clone's."""
    for old, new in macs.items():
        text = re.sub(re.escape(old), new, text, flags=re.IGNORECASE)
    return text


def fixed_host_name(user_data: str) -> bool:
    """Whether user-data sets a host name, which all clones then share."""
    return re.search(r"^(hostname|fqdn)\s*:|\"(hostname|fqdn)\"\s*:", user_data, re.MULTILINE) is not None
