# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An image in a catalog: its manifest (OCI image specification 1.1, manifest.md) and its configuration.

The manifest's layers are the block index, which is all segments of all disks one behind the other, then the packs, and then the UEFI
variables of the VM where it has any. The configuration says where in the block index each segment is, so that a reader fetches just
those that it doesn't have. It stands in an image configuration of OCI (config.md, which leaves further fields to implementations),
since that is what tools such as `skopeo inspect` read; the manifest's artifactType tells what the image is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .._errors import TransferError, Unsupported
from .canonical_json import canonical_json
from .digest import Descriptor, digest_of, is_digest, read_descriptor
from .media_types import BLOCK_INDEX, CONFIG, IMAGE, MANIFEST, MANIFESTS, PACK, VARIABLES
from .segment import BLOCK_SIZE, MOST_SEGMENT, SEGMENT_SIZE

SCHEMA = 1
# Registries limit manifests to 4 MiB.
MOST_MANIFEST = 4 << 20
# Some registries limit layers to about 127. What is no pack is the block index and the UEFI variables.
MOST_LAYERS = 98
MOST_PACKS = MOST_LAYERS - 2
# A reader's objects may take twenty times as much; an image of 64 TiB needs 9 MiB.
MOST_CONFIG = 16 << 20
MOST_DISKS = 64
_MOST_SIZE = 1 << 46
# What a publisher tells freely: so long a text, so deep.
_MOST_TEXT = 255
_MOST_DEPTH = 32
# The field of OCI's configuration that is ours, and what stands in it of what a disk doesn't have.
_OURS = "imageops"
_FOR_TOOLS = {"architecture": "unknown", "os": "unknown", "rootfs": {"type": "layers", "diff_ids": []}}


@dataclass(frozen=True)
class SegmentEntry:
    """A segment in the block index: its number, digest, offset and length there, and how many blocks it names."""

    number: int
    digest: str
    offset: int
    length: int
    blocks: int


@dataclass(frozen=True)
class DiskEntry:
    """A disk of an image.

    `name` is unique in the image (vda, or what the publisher said). `size` is the virtual size in bytes, `content` as
    `segment.content_digest` gives it. `format` and `options` are what the source was, a proposal for those who restore it.
    """

    name: str
    size: int
    content: str
    segments: tuple[SegmentEntry, ...] = ()
    format: str = "qcow2"
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def blocks(self) -> int:
        """How many blocks are other than zeros."""
        return sum(entry.blocks for entry in self.segments)


@dataclass(frozen=True)
class ImageConfig:
    """What an image is beside its blocks. `vm` holds the machine's configuration (`xml`: libvirt's domain XML, and what else is known).

    `created` is RFC 3339 in UTC; `provenance`, `os` and `labels` are told by who publishes and change nothing for a reader.
    """

    disks: tuple[DiskEntry, ...]
    created: str = ""
    tool: str = ""
    vm: Mapping[str, Any] = field(default_factory=dict)
    os: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    def as_bytes(self) -> bytes:
        """The configuration's blob; equal configurations give equal bytes."""
        told = {"created": self.created} if self.created else {}
        return canonical_json({**_FOR_TOOLS, **told, "config": {"Labels": dict(self.labels)}, _OURS: self._described()})

    def _described(self) -> dict[str, Any]:
        return {"schema": SCHEMA, "block_size": BLOCK_SIZE, **asdict(self)}

    def disk(self, name: str) -> DiskEntry | None:
        """The disk of that name."""
        return next((disk for disk in self.disks if disk.name == name), None)


@dataclass(frozen=True)
class ImageManifest:
    """An image of ours as its manifest names it."""

    config: Descriptor
    index: Descriptor
    packs: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict)
    variables: Descriptor | None = None

    @property
    def layers(self) -> tuple[Descriptor, ...]:
        """All that the image is made of, but its configuration."""
        return (self.index, *self.packs, *([self.variables] if self.variables else []))

    def as_bytes(self) -> bytes:
        """The manifest; its sha256 is the image's digest."""
        return canonical_json(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "artifactType": IMAGE,
                "config": self.config.as_dict(),
                "layers": [layer.as_dict() for layer in self.layers],
                "annotations": dict(self.annotations),
            }
        )

    def pack(self, digest: str) -> Descriptor | None:
        """The pack of that digest."""
        return next((pack for pack in self.packs if pack.digest == digest), None)


def config_descriptor(data: bytes) -> Descriptor:
    """What a manifest says of the configuration `data`."""
    return Descriptor(CONFIG, digest_of(data), len(data))


def load_manifest(data: bytes, *, where: str) -> dict[str, Any]:
    """Any manifest or index as JSON; raises TransferError for what is none."""
    found = _loaded(data, most=MOST_MANIFEST, where=where)
    if found.get("schemaVersion") != 2:
        raise TransferError(f"{where}: this is no manifest of OCI's or Docker's second schema.")
    return found


def is_image(manifest: Mapping[str, Any]) -> bool:
    """Whether a manifest is of an image of ours."""
    return manifest.get("artifactType") == IMAGE


def read_manifest(data: bytes, *, where: str) -> ImageManifest:
    """The image's manifest in `data`; raises TransferError, or Unsupported for what is no image of ours."""
    found = load_manifest(data, where=where)
    if found.get("mediaType", MANIFEST) not in MANIFESTS or not is_image(found):
        raise Unsupported(f"{where}: this is no image that imageops.fleet published.")
    layers = found.get("layers")
    if not isinstance(layers, list) or not 1 <= len(layers) <= 4096:
        raise TransferError(f"{where}: the manifest's layers are no list of a sensible length.")
    index, *packs = (read_descriptor(layer, where=where) for layer in layers)
    variables = packs.pop() if packs and packs[-1].media_type == VARIABLES else None
    if index.media_type != BLOCK_INDEX or any(pack.media_type != PACK for pack in packs):
        raise Unsupported(f"{where}: the image has parts that this version doesn't know; use a newer imageops.fleet.")
    annotations = found.get("annotations")
    return ImageManifest(
        read_descriptor(found.get("config"), where=where),
        index,
        tuple(packs),
        {str(key): str(value) for key, value in annotations.items()} if isinstance(annotations, dict) else {},
        variables,
    )


def read_config(data: bytes, *, where: str) -> ImageConfig:
    """The configuration in `data`; raises TransferError, or Unsupported for one of a newer schema."""
    found = _map(_loaded(data, most=MOST_CONFIG, where=where), _OURS, where)
    if found.get("schema") != SCHEMA or found.get("block_size") != BLOCK_SIZE:
        raise Unsupported(
            f"{where}: the image has the schema {_short(found, 'schema')} and blocks of {_short(found, 'block_size')} bytes; this version reads "
            f"{SCHEMA} and {BLOCK_SIZE}. Use a newer imageops.fleet."
        )
    disks = found.get("disks")
    if not isinstance(disks, list) or not 1 <= len(disks) <= MOST_DISKS:
        raise TransferError(f"{where}: the image has no disks, or more than {MOST_DISKS}.")
    entries = tuple(_disk(disk, where) for disk in disks)
    if len({entry.name for entry in entries}) != len(entries):
        raise TransferError(f"{where}: two disks of the image have the same name.")
    return ImageConfig(
        entries,
        created=_short(found, "created"),
        tool=_short(found, "tool"),
        vm=_map(found, "vm", where),
        os=_map(found, "os", where),
        provenance=_map(found, "provenance", where),
        labels={key: str(value) for key, value in _map(found, "labels", where).items()},
    )


def _disk(value: object, where: str) -> DiskEntry:
    if not isinstance(value, dict):
        raise TransferError(f"{where}: a disk of the image is no object.")
    name, size, content = value.get("name"), value.get("size"), value.get("content")
    if not isinstance(name, str) or not 0 < len(name) <= 255 or "/" in name or not name.isprintable():
        raise TransferError(f"{where}: a disk of the image has no name, or one that is no name.")
    if not _is_number(size, most=_MOST_SIZE) or not is_digest(content):
        raise TransferError(f"{where}: the disk {name} has no sensible size, or no digest of its content.")
    segments = value.get("segments")
    if not isinstance(segments, list):
        raise TransferError(f"{where}: the disk {name} has no list of segments.")
    entries = tuple(_segment(segment, where) for segment in segments)
    _require_sound(name, int(str(size)), entries, where)
    return DiskEntry(
        name,
        int(str(size)),
        str(content),
        entries,
        _short({"format": "qcow2", **value}, "format"),
        _map(value, "options", where),
    )


def _segment(value: object, where: str) -> SegmentEntry:
    if not isinstance(value, dict) or not is_digest(value.get("digest")):
        raise TransferError(f"{where}: a segment of the image's block index has no digest.")
    numbers = [value.get(name) for name in ("number", "offset", "length", "blocks")]
    if not all(_is_number(number, most=_MOST_SIZE) for number in numbers):
        raise TransferError(f"{where}: a segment of the image's block index has numbers that are none.")
    number, offset, length, blocks = (int(str(one)) for one in numbers)
    return SegmentEntry(number, str(value["digest"]), offset, length, blocks)


def _require_sound(name: str, size: int, entries: Sequence[SegmentEntry], where: str) -> None:
    last = -1
    for entry in entries:
        if entry.number <= last or entry.number * SEGMENT_SIZE >= size or entry.length > MOST_SEGMENT:
            raise TransferError(
                f"{where}: the segments of the disk {name} don't ascend, leave the disk, or are too long."
            )
        last = entry.number


def _is_number(value: object, *, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def _map(found: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
    value = found.get(name, {})
    if not isinstance(value, dict):
        raise TransferError(f"{where}: '{name}' in the image's configuration is no object.")
    if not _is_flat(value):
        raise TransferError(f"{where}: '{name}' in the image's configuration is nested too deeply.")
    return value


def _is_flat(value: Any) -> bool:
    """Whether those who get it can look into all of it without getting lost."""
    level = [value]
    for _depth in range(_MOST_DEPTH):
        level = [
            one
            for outer in level
            if isinstance(outer, (dict, list))
            for one in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return not level


def _short(found: Mapping[str, Any], name: str) -> str:
    return str(found.get(name, ""))[:_MOST_TEXT]


def _loaded(data: bytes, *, most: int, where: str) -> dict[str, Any]:
    if len(data) > most:
        raise TransferError(f"{where}: it has {len(data)} bytes, and at most {most} are read.")
    try:
        text = data.decode()
        found = json.loads(text)
        if "\\u" in text:
            # Half a character could be told to nobody.
            json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise TransferError(f"{where}: this is not JSON.") from None
    if not isinstance(found, dict):
        raise TransferError(f"{where}: this is no JSON object.")
    return found
