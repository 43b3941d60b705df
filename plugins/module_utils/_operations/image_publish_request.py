# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a publish is asked to do, in values that a job can carry."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .._catalog.image import MOST_DISKS
from .._catalog.reference import Reference, parse_reference
from .._catalog.tags import require_version_tag
from .._errors import InvalidOption, Unsupported
from .._jobs.launch import Job
from .._qemu.found import found_options
from .._qemu.options import TABLES
from .._records import read_record
from .._registry.interface import StoreAccess
from .catalog_access import access_of
from .catalog_jobs import access_params, access_secrets, job_access
from .convert_images import needs_passphrase
from .inspection import Inspected, inspect
from .long_work import bandwidth_of, check_timeout

KIND = "publish"
IMAGE, CONTAINERDISK = "image", "containerdisk"
_MOST_LEVEL = 19
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class SourceDisk:
    """A disk to publish; plain values only.

    `files` are path and fingerprint of its chain's files, itself first; none of a disk that a running VM writes to.
    """

    name: str
    path: str
    format: str
    files: list[dict[str, Any]]
    options: dict[str, Any] = field(default_factory=dict)
    digest: str = ""

    @property
    def backing(self) -> list[str]:
        return [one["path"] for one in self.files[1:]]


@dataclass(frozen=True)
class SourceVariables:
    """The file with the VM's UEFI variables; `made` is its fingerprint, nothing of one that a running VM writes to."""

    path: str
    format: str
    secure_boot: bool
    made: dict[str, Any]


@dataclass(frozen=True)
class SourceVm:
    """The VM that is published, and the description of it that goes into the image. `hold` is how long it may be frozen, in seconds.

    `warnings` say what of it isn't published.
    """

    name: str
    uri: str
    uuid: str
    running: bool
    hold: int
    description: dict[str, Any]
    variables: SourceVariables | None = None
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def of_job(cls, told: Mapping[str, Any]) -> SourceVm:
        """The VM that a job's params describe."""
        variables = SourceVariables(**told["variables"]) if told["variables"] else None
        return cls(**{**told, "variables": variables})


@dataclass(frozen=True)
class PublishRequest:
    """One image to publish."""

    reference: Reference
    access: StoreAccess
    disks: list[SourceDisk]
    vm: SourceVm | None
    labels: dict[str, str]
    os: dict[str, Any]
    tags: list[str]
    aliases: list[str]
    base: list[str]
    move_tag: bool
    level: int
    layout: str
    bandwidth: int | None

    @property
    def shown(self) -> str:
        """How messages name the image."""
        return str(self.reference)

    @property
    def runs(self) -> bool:
        """Whether a guest writes to the disks, so that only reading them tells what is in them."""
        return self.vm is not None and self.vm.running

    @property
    def meaning(self) -> dict[str, Any]:
        """What makes the image what it is: equal ones give equal images."""
        return {
            "disks": [asdict(disk) for disk in self.disks],
            "vm": self.vm.description if self.vm else {},
            "variables": asdict(self.vm.variables) if self.vm and self.vm.variables else {},
            "labels": self.labels,
            "os": self.os,
            "layout": self.layout,
        }

    def job(self, version: str) -> Job:
        """The job that does it; equal requests give equal jobs."""
        params = {
            **{name: value for name, value in asdict(self).items() if name not in ("reference", "access")},
            "reference": self.shown,
            "access": access_params(self.access),
            "version": version,
        }
        return Job(KIND, self.shown, params, _entry, secrets=access_secrets(self.access))


def _entry() -> str:
    from . import image_publish_job

    return image_publish_job.__name__


def request_of_job(params: Mapping[str, Any]) -> PublishRequest:
    """The request that a job's params describe."""
    plain = {name: params[name] for name in PublishRequest.__dataclass_fields__}
    return PublishRequest(
        **{
            **plain,
            "reference": parse_reference(params["reference"], option="image"),
            "access": job_access(params),
            "disks": [SourceDisk(**disk) for disk in params["disks"]],
            "vm": SourceVm.of_job(params["vm"]) if params["vm"] else None,
        }
    )


def named_image(params: Mapping[str, Any]) -> Reference:
    """The reference that is published; raises InvalidOption unless it has a tag that people may give."""
    reference = parse_reference(params["image"], option="image")
    if reference.digest or not reference.tag:
        raise InvalidOption(
            f"image: {params['image']} needs a tag, and no digest, since that comes of what is published; write {reference.catalog}:TAG."
        )
    require_version_tag(reference.tag, option="image")
    return reference


def check_params(params: Mapping[str, Any]) -> None:
    """Raise InvalidOption for what can be said without looking at anything."""
    check_timeout(dict(params))
    if bool(params["disks"]) == bool(params["vm"]):
        raise InvalidOption(f"disks: say what {params['image']} is made from, by either disks or vm.")
    if params["quiesce"] and not params["vm"]:
        raise InvalidOption("quiesce: only a running VM's file systems can be held still; give vm.")
    if not 1 <= params["compression_level"] <= _MOST_LEVEL:
        raise InvalidOption(
            f"compression_level: {params['compression_level']} is not between 1 and {_MOST_LEVEL}; give such a number."
        )
    if params["layout"] == CONTAINERDISK and (params["base"] or params["os"]):
        raise InvalidOption("layout: a containerDisk has no blocks and no facts of ours; leave out base and os.")


def read_request(
    params: dict[str, Any], reference: Reference, disks: list[SourceDisk], vm: SourceVm | None
) -> PublishRequest:
    """Put together what one item was given; raises InvalidOption."""
    require_disks(disks, layout=params["layout"])
    tags, aliases = _tags(params, "tags", reference), _tags(params, "aliases", reference)
    if set(tags) & set(aliases):
        raise InvalidOption("aliases: a tag is in both tags and aliases; give it in one of them.")
    return PublishRequest(
        reference=reference,
        access=access_of(params),
        disks=disks,
        vm=vm,
        labels=_labels(params),
        os=params["os"] or {},
        tags=tags,
        aliases=aliases,
        base=_base(params),
        move_tag=params["move_tag"],
        level=params["compression_level"],
        layout=params["layout"],
        bandwidth=bandwidth_of(params),
    )


def _labels(params: Mapping[str, Any]) -> dict[str, str]:
    found = params["labels"] or {}
    for name, value in found.items():
        if value is None:
            raise InvalidOption(f"labels: '{str(name)[:80]}' has no value; give a text, or leave it out.")
    return {str(name): _text(value) for name, value in found.items()}


def _base(params: Mapping[str, Any]) -> list[str]:
    found = list(params["base"] or ())
    if "" in found:
        raise InvalidOption("base: an empty text is no version; give tags or digests, or leave it out.")
    return found


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _tags(params: Mapping[str, Any], option: str, reference: Reference) -> list[str]:
    found = list(dict.fromkeys(params[option] or ()))
    for tag in found:
        require_version_tag(tag, option=option)
        if parse_reference(f"dir:/x:{tag}", option=option).tag != tag or tag == reference.tag:
            raise InvalidOption(
                f"{option}: '{tag[:80]}' is the image's own tag, or can't be one; give others, of letters, digits, '.', '_' and '-'."
            )
    return found


def require_disks(disks: list[SourceDisk], *, layout: str) -> None:
    """Raise InvalidOption for too many disks, and for names that are none or not unique."""
    names = [disk.name for disk in disks]
    for name in names:
        if not _NAME.fullmatch(name) or names.count(name) > 1:
            raise InvalidOption(
                f"disks: the name '{name[:80]}' is given twice, or is none; give each disk its own, of letters, digits, '.', '_' and '-'."
            )
    most = 1 if layout == CONTAINERDISK else MOST_DISKS
    if not 0 < len(disks) <= most:
        raise InvalidOption(
            f"disks: an image of the layout {layout} has 1 to {most} disks, and {len(disks)} are given."
        )


def disk_of_file(given: Mapping[str, Any], number: int) -> SourceDisk:
    """A disk in a file, inspected; raises what inspect() raises, or Unsupported."""
    image = inspect(given["path"], declared=given["format"], backing=given["backing"] or (), option="disks")
    return source_disk(given["name"] or f"vd{_LETTERS[number % 26]}", image)


def source_disk(name: str, image: Inspected) -> SourceDisk:
    """What is published of an inspected image; raises Unsupported for an encrypted one."""
    if needs_passphrase(image):
        raise Unsupported(
            f"disks: {image.path} is encrypted, and an image holds what the guest sees; decrypt it with imageops.fleet.disk_convert first."
        )
    table = TABLES.get(image.format, {})
    found = found_options(image.chain[0].facts).items()
    options = {key: value for key, value in found if key in table and value is not None}
    record = read_record(image.path)
    return SourceDisk(name, image.path, image.format, image.identity(), options, record.digest if record else "")
