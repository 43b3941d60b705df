# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Publishing a containerDisk, which KubeVirt starts VMs from: the disk as qcow2 in the one layer of a container's image."""

from __future__ import annotations

import os
import platform

from .._catalog.container_image import container_config, container_manifest
from .._catalog.digest import Descriptor, digest_of
from .._catalog.media_types import CONFIG, CONTAINER_LAYER
from .._faults import fault_point
from .._formats.encoder import Encoder
from .._formats.qcow2_writer import write_qcow2
from .._jobs.progress import Progress
from .._registry.interface import Store
from .image_publish_layer import Layer, write_layer
from .image_publish_request import PublishRequest
from .image_publish_work import DiskSource
from .pacing import paced

_CLUSTER, _VERSION = 64 << 10, 3
# The layer is compressed as a whole.
_PLAIN = Encoder("none", lambda data, most: None)


class ContainerDisk:
    """The image that is made of `disk`; its files are in `folder`, which who calls removes."""

    def __init__(self, request: PublishRequest, disk: DiskSource, folder: str) -> None:
        self._request = request
        self._disk = disk
        self._image = os.path.join(folder, "disk.qcow2")
        self._path = os.path.join(folder, "layer.tar.gz")
        self._layer: Layer | None = None
        os.makedirs(folder, mode=0o700, exist_ok=True)

    def make(self, progress: Progress) -> bytes:
        """Write the layer; the image's manifest."""
        self._convert(progress)
        progress.phase("pack", total=os.stat(self._image).st_size)
        self._layer = write_layer(self._path, self._image, f"{self._disk.name}.qcow2", report=progress.update)
        os.unlink(self._image)
        config = self._config()
        return container_manifest(
            Descriptor(CONFIG, digest_of(config), len(config)),
            Descriptor(CONTAINER_LAYER, self._layer.digest, self._layer.size),
        )

    def _convert(self, progress: Progress) -> None:
        content = self._disk.content
        progress.phase(f"read {self._disk.name}", total=content.size)
        report = paced(progress, None, fault="publish:while-reading")
        with open(self._image, "w+b", opener=_privately) as stream:
            write_qcow2(
                content, stream.fileno(), cluster_size=_CLUSTER, version=_VERSION, encoder=_PLAIN, report=report
            )

    @property
    def layer(self) -> Layer:
        if self._layer is None:
            raise AssertionError("the layer was not made")
        return self._layer

    def _config(self) -> bytes:
        return container_config(machine=platform.machine(), diff_id=self.layer.diff_id, labels=self._request.labels)

    def store(self, store: Store) -> int:
        """Keep layer and configuration; how many bytes of the layer weren't there yet."""
        fault_point("publish:pack-noted")
        sent = self.layer.size if store.blob_size(self.layer.digest) != self.layer.size else 0
        store.write_blob_file(self._path, self.layer.digest, self.layer.size)
        fault_point("publish:pack-stored")
        config = self._config()
        store.write_blob(config, digest_of(config))
        fault_point("publish:described")
        return sent


def _privately(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NOFOLLOW, 0o600)
