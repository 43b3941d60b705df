# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An image of one layer for container runtimes (OCI image specification 1.1, config.md and manifest.md)."""

from __future__ import annotations

from collections.abc import Mapping

from .canonical_json import canonical_json
from .digest import Descriptor
from .media_types import MANIFEST

# Equal content shall give equal images, so they don't tell when they were made.
CREATED = "1970-01-01T00:00:00Z"
# What Go calls the machines on which Python names so.
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "ppc64le": "ppc64le", "s390x": "s390x", "riscv64": "riscv64"}


def container_config(*, machine: str, diff_id: str, labels: Mapping[str, str]) -> bytes:
    """The configuration of an image whose layer's unpacked tar has the digest `diff_id`."""
    return canonical_json(
        {
            "created": CREATED,
            "architecture": _ARCHITECTURES.get(machine, machine),
            "os": "linux",
            "config": {"Labels": dict(labels)} if labels else {},
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
            "history": [{"created": CREATED, "created_by": "imageops.fleet.image_publish"}],
        }
    )


def container_manifest(config: Descriptor, layer: Descriptor) -> bytes:
    """The manifest."""
    return canonical_json(
        {"schemaVersion": 2, "mediaType": MANIFEST, "config": config.as_dict(), "layers": [layer.as_dict()]}
    )
