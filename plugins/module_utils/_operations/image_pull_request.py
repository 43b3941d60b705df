# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pull is asked to do, in values that a job can carry."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Callable

from .._catalog.reference import Reference, parse_reference
from .._errors import InvalidOption
from .._files import fingerprint, partial_path, real_path, require_folder
from .._jobs.launch import Job
from .._registry.interface import StoreAccess
from .catalog_access import access_of
from .catalog_jobs import access_params, access_secrets, job_access
from .image_pull_signed import signature_mark
from .long_work import bandwidth_of, check_timeout

KIND = "pull"
# In `seeds`: what this host holds.
AUTO = "auto"
DEEP = "deep"
_TOKEN = "token"
# Base images are read by every VM.
MODE = 0o644
MOST_CONNECTIONS = 32


@dataclass(frozen=True)
class PullRequest:
    """One disk of an image into one file; plain values only, but for `reference` and `access`.

    `digest` is the image's, resolved. `disk` names the disk in it, empty for the only one. `seeds` are files to look in for blocks,
    beside those that this host holds when `held` is on. `peers` are the servers of other hosts; `share` says how this host's server is
    known to them, and where it listens.
    """

    reference: Reference
    digest: str
    disk: str
    dest: str
    format: str
    access: StoreAccess
    held: bool
    seeds: list[str]
    trust_seeds: bool
    verify: str
    force: bool
    owner: str | None
    group: str | None
    mode: Any
    bandwidth: int | None
    connections: int
    signature: dict[str, Any] | None = None
    search_paths: list[str] = field(default_factory=list)
    peers: list[str] = field(default_factory=list)
    share: dict[str, Any] = field(default_factory=dict)
    token: str = field(default="", repr=False)

    @property
    def shown(self) -> str:
        """How messages name the image."""
        return str(self.reference)

    def identity(self, disk: str) -> dict[str, Any]:
        """What a pull must have in common with an interrupted one to go on with what that wrote."""
        return {"digest": self.digest, "disk": disk, "format": self.format}

    @property
    def partial(self) -> str:
        return partial_path(self.dest)

    def job(self, version: str, *, entry: Callable[[], str] | None = None) -> Job:
        """The job that does it; equal requests give equal jobs. `entry` names its work when that isn't the usual one."""
        found = fingerprint(self.dest)
        hidden = ("reference", "access", "token")
        params = {
            **{name: value for name, value in asdict(self).items() if name not in hidden},
            "reference": str(self.reference),
            "access": access_params(self.access),
            "dest_before": found.as_dict() if found else None,
            "tool": f"imageops.fleet {version}",
            "signed": signature_mark(self.signature),
        }
        secrets = {**access_secrets(self.access), **({_TOKEN: self.token} if self.token else {})}
        return Job(KIND, self.dest, params, entry or _entry, secrets=secrets)


def _entry() -> str:
    from . import image_pull_job

    return image_pull_job.__name__


def request_of_job(params: Mapping[str, Any]) -> PullRequest:
    """The request that a job's params describe."""
    names = PullRequest.__dataclass_fields__
    plain = {name: params[name] for name in names if name in params and name not in ("reference", "access")}
    return PullRequest(
        **plain,
        reference=parse_reference(params["reference"], option="image"),
        access=job_access(params),
        token=params.get("secrets", {}).get(_TOKEN, ""),
    )


def read_request(params: dict[str, Any]) -> PullRequest:
    """Check what one expanded item was given; raises InvalidOption or NotFound."""
    check_timeout(params)
    if not 1 <= params["connections"] <= MOST_CONNECTIONS:
        raise InvalidOption(
            f"connections: {params['connections']} is not between 1 and {MOST_CONNECTIONS}; give such a number."
        )
    if params["trust_seeds"] and params["require_signature"]:
        raise InvalidOption(
            "trust_seeds: with require_signature all that the new file holds must be compared with what was signed; leave trust_seeds out."
        )
    dest = real_path(params["dest"])
    require_folder(dest, option="dest")
    if os.path.exists(dest) and not os.path.isfile(dest):
        raise InvalidOption(
            f"dest: {dest} is no regular file; give the path of a file, or of a folder with a slash behind it."
        )
    return PullRequest(
        reference=parse_reference(params["image"], option="image"),
        digest=params["digest"],
        disk=params["disk"] or "",
        dest=dest,
        format=params["format"],
        access=access_of(params),
        held=AUTO in params["seeds"],
        seeds=[_seed(path) for path in params["seeds"] if path != AUTO],
        trust_seeds=params["trust_seeds"],
        verify=params["verify"],
        force=params["force"],
        owner=params["owner"],
        group=params["group"],
        mode=params["mode"],
        bandwidth=bandwidth_of(params),
        connections=params["connections"],
        signature=params["require_signature"],
        search_paths=list(params["search_paths"] or ()),
        **_sharing(params),
    )


def _sharing(params: dict[str, Any]) -> dict[str, Any]:
    """Which hosts hand on to each other."""
    share, peers = params["share"], params["peers"] or []
    if not share and not peers:
        return {}
    from .image_pull_peers import peer_url

    found = [peer_url(peer, option="peers") for peer in peers]
    if not share:
        raise InvalidOption("peers: a host that takes from others hands on too; give 'share'.")
    own = peer_url(share["url"], option="share")
    told = {"url": own, "port": share["port"], "address": share["address"], "linger": share["linger"]}
    return {"peers": [peer for peer in found if peer != own], "share": told, "token": share["token"] or ""}


def _seed(path: str) -> str:
    if not os.path.isabs(path):
        raise InvalidOption(f"seeds: '{path[:200]}' is neither '{AUTO}' nor an absolute path; give such ones.")
    if not os.path.isfile(path):
        raise InvalidOption(f"seeds: {path} is no file on this host; leave it out, or give its right path.")
    return real_path(path)
