# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small ISO 9660 images that guests read settings from."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from .._libraries import missing_library, use_own_libraries


def require_builder(option: str) -> Any:
    """The module `pycdlib`, loaded when an image is first needed; raises MissingLibrary in the name of `option`."""
    use_own_libraries()
    try:
        import pycdlib
    except ImportError:
        ways = "or run the role imageops.fleet.hypervisor, or install pycdlib from PyPI"
        raise missing_library("pycdlib", ways, option=option) from None
    return pycdlib


def build(files: Mapping[str, str], *, label: str, short: Mapping[str, str], option: str) -> bytes:
    """The bytes of an image with `files`, whose long names guests read by Rock Ridge or Joliet; `short` are those of ISO 9660."""
    image = require_builder(option).PyCdlib()
    image.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=label)
    for name, text in sorted(files.items()):
        data = text.encode()
        image.add_fp(io.BytesIO(data), len(data), iso_path=short[name], rr_name=name, joliet_path=f"/{name}")
    stream = io.BytesIO()
    image.write_fp(stream)
    image.close()
    return stream.getvalue()
