# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a build is asked to do, in values that a job can carry and a record can keep."""

from __future__ import annotations

import glob
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Callable

from .._catalog.canonical_json import canonical_json
from .._errors import Conflict, InvalidOption
from .._files import fingerprint, partial_path, real_path
from .._formats.chain import inspect_chain
from .._jobs.launch import Job
from .._qemu.options import virtual_size
from .._records import Record, read_record, untouched
from .._sizes import parse_size
from .build_generalise import chosen
from .build_kinds import TREES, BuildBase
from .build_steps import GROW, Steps, read_steps
from .job_proxies import proxies_secret
from .long_work import bandwidth_of, check_timeout
from .operation import Tools

KIND = "build"
AUTO, GUESTFS, CHROOT = "auto", "guestfs", "chroot"
_SCHEMA = 1
_RESOLVER = "/etc/resolv.conf"
# A key of a slow kind, so that who reads a record can't guess a password by it.
_COST = {"n": 1 << 14, "r": 8, "p": 1}
_SALT_BYTES = 16
_SBOM = ".spdx.json"
_DIGITS = 12
_ANY_DIGITS = "[0-9a-f]" * _DIGITS
# A file name has 255 bytes, and the SBOM beside the image is first written under a hidden name.
_MOST_NAME = 255 - len(os.path.basename(partial_path(f"/.{'0' * _DIGITS}{_SBOM}")))


def _entry() -> str:
    from . import image_build_job

    return image_build_job.__name__


@dataclass(frozen=True)
class BuildRequest:
    """One image to build; plain values only. `secrets` are texts by the names that stand for them in the steps.

    `recipe` is the digest of all that makes the image what it is, but for its secrets.
    """

    path: str
    format: str
    base: BuildBase
    steps: Steps
    generalise: list[str]
    size: int | None
    compression: str
    engine: str
    guest_timeout: int
    bandwidth: int | None
    recipe: str
    params: Mapping[str, Any] = field(repr=False)
    kind: str = KIND
    entry: Callable[[], str] = _entry
    again: Callable[[Tools], BuildRequest] | None = None

    @property
    def secrets(self) -> dict[str, str]:
        return self.steps.secrets

    @property
    def before(self) -> dict[str, Any] | None:
        """The fingerprint of what is at the path now."""
        found = fingerprint(self.path)
        return found.as_dict() if found else None

    def job(self, version: str) -> Job:
        """The job that does it; equal requests give equal jobs."""
        params = self.params
        told = {
            "kind": self.kind,
            "path": self.path,
            "format": self.format,
            "base": self.base.told,
            "source": self.base.source,
            "steps": self.steps.steps,
            "generalise": self.generalise,
            "size": self.size,
            "compression": self.compression,
            "engine": self.engine,
            "guest_timeout": self.guest_timeout,
            "bandwidth": self.bandwidth,
            "recipe": self.recipe,
            "before": self.before,
            "owner": params["owner"],
            "group": params["group"],
            "mode": params["mode"],
            "search_paths": list(params["search_paths"] or ()),
            "access": {
                name: params.get(name) for name in ("validate_certs", "ca_path", "idle_timeout", "url_username")
            },
            "version": version,
        }
        password = {"password": params["url_password"]} if params.get("url_password") else {}
        hidden = {"steps": json.dumps(self.secrets)} if self.secrets else {}
        # Each by itself too, since what a job tells is rid of its secrets word by word.
        return Job(
            self.kind, self.path, told, self.entry, secrets={**self.secrets, **hidden, **password, **proxies_secret()}
        )


def check_params(params: Mapping[str, Any]) -> None:
    """Raise InvalidOption for what can be said without looking at anything."""
    if not os.path.isabs(params["path"]):
        raise InvalidOption(f"path: '{params['path']}' is not an absolute path; give one that starts with a slash.")
    if len(os.fsencode(os.path.basename(params["path"]))) > _MOST_NAME:
        raise InvalidOption(
            f"path: the file name of {params['path']} is longer than {_MOST_NAME} bytes, and leaves no room for its SBOM's; give a shorter one."
        )
    if params["guest_timeout"] <= 0:
        raise InvalidOption(f"guest_timeout: {params['guest_timeout']} seconds are no time; give 1 or more.")
    if params.get("base", ()) is None:
        raise InvalidOption(f"base: nothing is given of which {params['path']} could be built; give a base.")
    if params["format"] == "raw" and params["compression"] not in (None, "none"):
        raise InvalidOption("compression: a raw image has none; leave it out, or let the format be qcow2.")
    check_timeout(dict(params))


def read_build(params: Mapping[str, Any], base: BuildBase, **more: Any) -> BuildRequest:
    """Check all that one build was given; raises what speaks against it. `more` are `kind`, `entry` and `again` of an operation."""
    check_params(params)
    steps = read_steps(params["steps"] or ())
    names = chosen(params["generalise"], params["keep"] or ())
    size = _size(params, base, steps)
    _require_fitting(params, base, steps)
    compression = "none" if params["format"] == "raw" else params["compression"] or "zstd"
    recipe = {
        "schema": _SCHEMA,
        "format": params["format"],
        "base": base.declared,
        "steps": steps.steps,
        "generalise": names,
        "size": size,
        "compression": compression,
    }
    return BuildRequest(
        path=real_path(params["path"]),
        format=params["format"],
        base=base,
        steps=steps,
        generalise=names,
        size=size,
        compression=compression,
        engine=params["engine"],
        guest_timeout=params["guest_timeout"],
        bandwidth=bandwidth_of(dict(params)),
        recipe=f"sha256:{hashlib.sha256(canonical_json(recipe)).hexdigest()}",
        params=params,
        **more,
    )


def _require_fitting(params: Mapping[str, Any], base: BuildBase, steps: Steps) -> None:
    """Raise what speaks against the steps or the engine for this kind of base."""
    _require_kept(steps, network=base.kind in TREES)
    if base.kind not in TREES:
        return
    if GROW in steps.kinds():
        raise InvalidOption(
            f"steps: a disk that is made of a base by {base.kind} has its size from the start; leave 'grow' out."
        )
    if params["engine"] == GUESTFS:
        raise InvalidOption(
            f"engine: libguestfs opens disks, and a base by {base.kind} is none yet; let it be 'auto' or 'chroot'."
        )


def _require_kept(steps: Steps, *, network: bool) -> None:
    """Raise InvalidOption for a step whose work an engine would undo: with a network it puts the host's servers of names there, and takes them back."""
    if network or steps.network:
        for number, step in enumerate(steps.steps, start=1):
            ((kind, value),) = step.items()
            if _RESOLVER in (value if kind == "delete" else [value["dest"]] if kind in ("copy", "write") else ()):
                raise InvalidOption(
                    f"steps: step {number} ({kind}): {_RESOLVER} is the host's while an image is built with a network, and the guest's own comes back "
                    f"afterwards; let the guest make it when it starts, or build a second image from this one, without a network."
                )


def _size(params: Mapping[str, Any], base: BuildBase, steps: Steps) -> int | None:
    if not params["size"]:
        if GROW in steps.kinds():
            raise InvalidOption("steps: a partition grows into new room only; give 'size' too.")
        return None
    size = virtual_size(params["format"], parse_size(params["size"], option="size"), {})
    if base.size > size:
        raise InvalidOption(
            f"size: the base has {base.size} bytes, and a disk is never made smaller here; give that or more."
        )
    return size


def secrets_mark(secrets: Mapping[str, str], salt: str) -> str:
    """What tells these secrets from others, and tells nobody what they are; empty when there are none."""
    if not secrets:
        return ""
    text = canonical_json(dict(secrets))
    return hashlib.scrypt(text, salt=bytes.fromhex(salt), maxmem=1 << 26, dklen=32, **_COST).hex()


def new_salt() -> str:
    """A salt for `secrets_mark`."""
    return os.urandom(_SALT_BYTES).hex()


def built(request: BuildRequest) -> Record | None:
    """The record of an image that was made by this very recipe and not written to since, None for any other."""
    record = read_record(request.path)
    if record is None or record.operation != request.kind or not untouched(request.path, record):
        return None
    options = record.options
    if options.get("recipe") != request.recipe:
        return None
    salt = options.get("salt", "")
    if bool(request.secrets) != bool(salt) or (salt and secrets_mark(request.secrets, salt) != options.get("mark")):
        return None
    return record


def require_replaceable(request: BuildRequest) -> None:
    """Raise Conflict for what is at the path and would be lost, unless `force` is given."""
    if request.params["force"] or fingerprint(request.path) is None:
        return
    record = read_record(request.path)
    why = ""
    if record is None:
        why = "was not made by imageops.fleet (it has no record)"
    elif record.operation != request.kind:
        why = f"was made by another operation ({record.operation})"
    elif not untouched(request.path, record):
        why = "was written to since it was made"
    if why:
        raise Conflict(
            f"path: {request.path} exists and {why}, so it is not replaced; give another path, or 'force: true'."
        )


def hidden_files(path: str) -> tuple[str, str, str]:
    """What a build of `path` writes: the new image, the disk that is worked on, a base that is fetched."""
    return partial_path(path), partial_path(path, suffix="-work"), partial_path(path, suffix="-download")


def sbom_path(path: str, data: bytes) -> str:
    """The name of an image's SBOM beside it; another content has another name, so that image and SBOM always agree."""
    return f"{path}.{hashlib.sha256(data).hexdigest()[:_DIGITS]}{_SBOM}"


def half_sboms(path: str) -> list[str]:
    """What a build leaves that is killed while it writes an SBOM."""
    folder, name = os.path.split(path)
    return glob.glob(partial_path(os.path.join(glob.escape(folder), f"{glob.escape(name)}.{_ANY_DIGITS}{_SBOM}")))


def stale_sboms(path: str, keep: str) -> list[str]:
    """SBOMs of images that `path` doesn't name any more; `keep` is the name of the one that belongs to it."""
    found = glob.glob(f"{glob.escape(path)}.{_ANY_DIGITS}{_SBOM}")
    return [name for name in found if os.path.basename(name) != keep]


def facts_of(path: str, record: Record) -> dict[str, Any]:
    """What results tell of an image that was built."""
    options = record.options
    facts = inspect_chain(path)[0].facts
    return {
        "path": path,
        "format": facts.format,
        "virtual_size": facts.virtual_size,
        "allocated_size": os.stat(path).st_blocks * 512,
        "recipe": options.get("recipe", ""),
        "base": record.source,
        "engine": options.get("engine", ""),
        "packages": options.get("packages", 0),
        "sbom": os.path.join(os.path.dirname(path), options["sbom"]) if options.get("sbom") else "",
    }
