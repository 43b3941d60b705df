# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which image of a catalog a VM's disk was made from, as the records of its files say."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from .._errors import ImageOpsError
from .._files import real_path
from .._records import read_record


def source_of(path: str) -> Mapping[str, Any]:
    """What the record of a file says that it was made from; nothing for one without a record that can be read."""
    if not path or not os.path.exists(path):
        return {}
    try:
        record = read_record(real_path(path))
    except ImageOpsError:
        return {}
    return record.source if record else {}


def image_facts(disk: Mapping[str, Any]) -> dict[str, str]:
    """Reference, digest and disk of the image; empty where no file of the disk came from a catalog.

    The disk's own record goes first: it keeps by which name the image was asked for, also where others pulled it by another one.
    """
    for path in dict.fromkeys((disk["path"], disk["made_from"], *disk["chain"])):
        source = source_of(path)
        if source.get("reference") and source.get("manifest"):
            told = {"reference": "reference", "digest": "manifest", "disk": "disk"}
            return {name: str(source.get(key, "")) for name, key in told.items()}
    return {}
