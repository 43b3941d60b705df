# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.artifact import (
    EMPTY_CONTENT,
    Artifact,
    read_artifact,
)
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.digest import Descriptor, digest_of
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.media_types import (
    ALIASES,
    ALIASES_CONTENT,
    MANIFEST,
    SIGNATURE,
)
from ansible_collections.imageops.fleet.plugins.module_utils._errors import TransferError

CONTENT = Descriptor(ALIASES_CONTENT, digest_of(b"content"), 7)
SUBJECT = Descriptor(MANIFEST, digest_of(b"image"), 5)


@pytest.mark.parametrize("subject", [None, SUBJECT])
def test_round_trip(subject: Descriptor | None) -> None:
    made = Artifact(ALIASES, CONTENT, subject)
    assert read_artifact(made.as_bytes(), artifact_type=ALIASES, where="x") == made


def test_as_the_specification_has_it() -> None:
    told = json.loads(Artifact(SIGNATURE, CONTENT, SUBJECT).as_bytes())
    assert told["config"] == {
        "mediaType": "application/vnd.oci.empty.v1+json", "digest": digest_of(EMPTY_CONTENT), "size": 2,
    }  # fmt: skip
    assert told["subject"] == {"mediaType": MANIFEST, "digest": SUBJECT.digest, "size": 5}
    assert (told["artifactType"], told["mediaType"], told["schemaVersion"]) == (SIGNATURE, MANIFEST, 2)


def test_annotations_of_a_subject_are_left_out() -> None:
    noted = Descriptor(MANIFEST, SUBJECT.digest, 5, {"org.opencontainers.image.ref.name": "12"})
    assert Artifact(SIGNATURE, CONTENT, noted).as_bytes() == Artifact(SIGNATURE, CONTENT, SUBJECT).as_bytes()


@pytest.mark.parametrize(
    "change",
    [
        {"artifactType": SIGNATURE},
        {"layers": []},
        {"layers": [{}]},
        {"layers": "x"},
        {"subject": 7},
        {"schemaVersion": 1},
    ],
)
def test_others_are_refused(change: dict[str, object]) -> None:
    told = {**json.loads(Artifact(ALIASES, CONTENT).as_bytes()), **change}
    with pytest.raises(TransferError, match="^x: "):
        read_artifact(json.dumps(told).encode(), artifact_type=ALIASES, where="x")
