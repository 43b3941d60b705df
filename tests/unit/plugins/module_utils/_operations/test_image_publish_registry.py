# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.reference import parse_reference
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.segment import BLOCK_SIZE
from ansible_collections.imageops.fleet.plugins.module_utils._errors import ImageOpsError, TransferError
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.clock import Clock
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.progress import Progress
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.state import JobState
from ansible_collections.imageops.fleet.plugins.module_utils._operations import image_publish_job
from ansible_collections.imageops.fleet.plugins.module_utils._registry.distribution import RegistryStore
from ansible_collections.imageops.fleet.plugins.module_utils._registry.images import load_image
from ansible_collections.imageops.fleet.plugins.module_utils._registry.interface import StoreAccess
from ansible_collections.imageops.fleet.tests.unit.publish_params import publish_request
from ansible_collections.imageops.fleet.tests.unit.registry_server import Registry, serving

LOGIN = "me:only for the test"


@pytest.fixture
def registry(state_dir: Path) -> Iterator[Registry]:
    with serving(login=LOGIN) as found:
        yield found


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk"
    path.write_bytes(random.Random(1).randbytes(20 * BLOCK_SIZE))
    return path


def access(password: str = "only for the test") -> StoreAccess:
    return StoreAccess(username="me", password=password, plain_http=True, idle_timeout=120.0)


def publish(registry: Registry, disk: Path, *, tag: str = "1", password: str = "only for the test") -> dict[str, Any]:
    reference = parse_reference(f"{registry.place}/team/debian:{tag}", option="image")
    job = publish_request(disk.parent, disk, reference=reference, access=access(password)).job("1")
    assert password not in str(job.params)
    params = {**job.params, "secrets": job.secrets}
    return image_publish_job.publish(params, Progress(JobState("publish-1", "publish", ""), Clock()), -1)


def test_a_registry_gets_what_it_lacks(registry: Registry, disk: Path) -> None:
    first = publish(registry, disk)
    sent = set(registry.blobs)
    with disk.open("r+b") as stream:
        stream.write(b"other")
    second = publish(registry, disk, tag="2")
    assert (first["new_blocks"], second["new_blocks"], second["packs"]) == (20, 1, 2)
    # A pack of one block, the index and the configuration.
    assert len(set(registry.blobs) - sent) == 3
    image = load_image(RegistryStore(registry.place, "team/debian", access()), "2")
    assert image.digest == second["digest"] and image.config.disks[0].blocks == 20


def test_wrong_credentials_are_told_and_nothing_is_made(registry: Registry, disk: Path) -> None:
    with pytest.raises(ImageOpsError, match="url_password"):
        publish(registry, disk, password="an older one")
    assert not registry.blobs and not registry.manifests


def test_a_pack_that_the_registry_removed_is_sent_again(registry: Registry, disk: Path) -> None:
    publish(registry, disk)
    pack = max(registry.blobs, key=lambda digest: len(registry.blobs[digest]))
    del registry.blobs[pack]
    told = publish(registry, disk, tag="2")
    assert told["repacked_blocks"] == 20 and pack in registry.blobs


def test_a_pack_that_the_registry_cut_short_and_keeps_is_no_success(registry: Registry, disk: Path) -> None:
    first = publish(registry, disk)
    pack = max(registry.blobs, key=lambda digest: len(registry.blobs[digest]))
    registry.blobs[pack], registry.keeps = registry.blobs[pack][:-1], True
    for tag in ("1", "2"):
        with pytest.raises(TransferError, match="remove the blob from the registry's storage"):
            publish(registry, disk, tag=tag)
    assert set(registry.tags) == {"1"}
    registry.blobs.pop(pack)
    assert publish(registry, disk)["digest"] == first["digest"] and pack in registry.blobs
