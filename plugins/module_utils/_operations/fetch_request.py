# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a conversion from a URL is asked to do: a conversion of a file that is still to come, and where that comes from."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import Any

from .._errors import InvalidOption, Unsupported
from .._files import fingerprint, partial_path, real_path, state_dir
from .._jobs.launch import Job
from .._qemu.node import is_block_device
from .._transfer.checksum import WEAK, Asked, Checksum, parse_checksum
from .._transfer.http import Access
from .._transfer.url import RemoteUrl, parse_url
from .convert_request import ACCESS, OVERLAY, ConvertRequest, read_request
from .fetch_source import access_of, resolve
from .job_proxies import proxies_secret
from .operation import Tools

# Options of the task that say nothing of the image, or are secrets and travel as such.
_LEFT_OUT = (
    "src",
    "dest",
    "disks",
    "checksum",
    "timeout",
    "on_interrupt",
    "lease_timeout",
    "force",
    "passphrase",
    "src_passphrase",
    "url_username",
    "url_password",
    "headers",
    "ca_path",
    "validate_certs",
    "idle_timeout",
)
_MOST_NAME = 255


@dataclass(frozen=True)
class FetchRequest:
    """`conversion` is of the file `staging`, which the download makes."""

    conversion: ConvertRequest
    url: RemoteUrl
    asked: Asked | None
    staging: str
    access: Access
    params: dict[str, Any]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know of a download."""
        if self.asked is None:
            return (
                f"src: no checksum is given for {self.url.shown}, so nothing proves that what came is what was published.",
            )
        if self.asked.algorithm in WEAK:
            return (
                f"checksum: {self.asked.algorithm} shows accidents only; a stranger can make another file with the same digest.",
            )
        return ()

    def checksum(self) -> Checksum | None:
        """The checksum that the file must have, read from a list where it stands in one; None when none is asked for."""
        return resolve(self.asked, self.url, self.access)

    def job(self, version: str) -> Job:
        """The job that does it; equal requests give equal jobs."""
        found = fingerprint(self.conversion.dest)
        params = {
            "url": self.url.text,
            "checksum": self.params["checksum"],
            "idle_timeout": self.params["idle_timeout"],
            "validate_certs": self.params["validate_certs"],
            "ca_path": self.params["ca_path"],
            "username": self.params["url_username"],
            "staging": self.staging,
            "dest": self.conversion.dest,
            "dest_before": None if is_block_device(self.conversion.dest) or found is None else found.as_dict(),
            "bandwidth": self.conversion.bandwidth,
            "options": {name: value for name, value in self.params.items() if name not in _LEFT_OUT},
            "version": version,
        }
        return Job("convert", self.conversion.dest, params, _entry, secrets=self._secrets())

    def _secrets(self) -> dict[str, str]:
        """What the job must not find in a file."""
        found = {"headers": json.dumps(dict(self.access.headers)), "password": self.access.password}
        given = {name: text for name, text in found.items() if text not in ("", "{}")}
        return {**self.conversion.secrets, **given, **proxies_secret()}


def _entry() -> str:
    from . import fetch_job

    return fetch_job.__name__


def read_fetch_request(params: dict[str, Any], tools: Tools) -> FetchRequest:
    """Check all that one conversion from a URL was given, without asking the network; raises like `read_request`."""
    url = parse_url(params["src"], option="src")
    if params["method"] == OVERLAY:
        raise InvalidOption(
            "method: an overlay needs a source that stays where it is, and a URL's is not on this host; use 'auto'."
        )
    asked = parse_checksum(params["checksum"]) if params["checksum"] is not None else None
    access = access_of(params, headers=_headers(params["headers"]), password=params["url_password"] or "")
    _check_access(params, url)
    if not params["dest"]:
        raise InvalidOption("dest: none is given; give the path of the image to make.")
    staging = _staging(real_path(params["dest"]))
    known = Tools(commands=tools.commands, clock=tools.clock, version=tools.version)
    known.forecast[real_path(staging)] = {"format": params["src_format"] or "raw", "virtual_size": 0}
    # What proves and opens the published file is no business of the conversion.
    local = dict.fromkeys(("checksum", *ACCESS))
    conversion = read_request({**params, **local, "src": staging}, known)
    return FetchRequest(conversion, url, asked, staging, access, params)


def _headers(given: dict[str, Any] | None) -> dict[str, str]:
    found = {str(name): str(value) for name, value in (given or {}).items()}
    for name, value in found.items():
        if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum() or not value.isprintable():
            raise InvalidOption(f"headers: '{name[:80]}' or its value holds characters that no header has.")
    return found


def _check_access(params: dict[str, Any], url: RemoteUrl) -> None:
    if params["url_password"] and not params["url_username"]:
        raise InvalidOption("url_password: a password without url_username can't be used; give both.")
    if url.is_nbd and (params["url_username"] or params["headers"]):
        raise Unsupported(f"src: {url.shown}: NBD knows neither users nor headers; leave url_username and headers out.")


def _staging(dest: str) -> str:
    """Where the download lies until it is the image or is converted: beside `dest`, as on a device there is no room for it."""
    if is_block_device(dest):
        return os.path.join(state_dir("downloads"), hashlib.sha256(os.fsencode(dest)).hexdigest()[:32])
    path = partial_path(dest, suffix="-download")
    if len(os.fsencode(os.path.basename(path))) > _MOST_NAME:
        raise InvalidOption(
            f"dest: the file name of {dest} is too long for the download beside it; give a shorter one."
        )
    return path
