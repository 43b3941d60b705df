# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work of a conversion from a URL, as the host helper does it: download, prove, inspect; publish as it is, or convert."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from .._commands import Commands
from .._errors import Conflict, EngineError, named
from .._faults import fault_point
from .._files import fingerprint
from .._formats.reader import MAX_VIRTUAL_SIZE
from .._jobs.clock import Clock
from .._jobs.progress import Progress
from .._jobs.worker import run_job
from .._qemu.image import QemuImg
from .._qemu.node import Image, is_block_device
from .._records import Record
from .._transfer.checksum import parse_checksum
from .._transfer.download import Download, Downloaded, Wanted
from .._transfer.url import RemoteUrl, parse_url
from . import convert_job
from .convert_copy import suits
from .convert_place import FilePlace
from .convert_request import ConvertRequest, read_request
from .fetch_source import access_of, open_source, resolve
from .job_proxies import use_proxies
from .operation import Tools


def fetch(params: dict[str, Any], progress: Progress, lock: int) -> dict[str, Any]:
    """Make the image that `params` (FetchRequest.job) describes; facts for the task's result.

    What a broken connection left is kept for the next run, and what came whole for a task with other options; nothing else.
    """
    secrets = params.get("secrets", {})
    use_proxies(secrets)
    url = parse_url(params["url"], option="src")
    download = _download(params, url, secrets, progress)
    progress.phase("connect")
    done = download.run()
    with download.used_up(), named(params["staging"], url.shown):
        _require_same_destination(params)
        fault_point("fetch:before-inspect")
        facts = _finish(params, url, done, progress, lock)
    told = {"size": done.size, "resumed": done.resumed, "compression": done.compression}
    return {**facts, "checksum": done.checksum, "download": told}


def _download(params: dict[str, Any], url: RemoteUrl, secrets: dict[str, str], progress: Progress) -> Download:
    headers = json.loads(secrets.get("headers", "{}"))
    access, clock = access_of(params, headers=headers, password=secrets.get("password", "")), Clock()
    checksum = resolve(parse_checksum(params["checksum"]) if params["checksum"] else None, url, access)
    wanted = Wanted(url.shown, url.identity, checksum, MAX_VIRTUAL_SIZE, params["bandwidth"])
    source = open_source(url, access, clock, proven=checksum is not None)

    def begun(total: int) -> None:
        progress.phase("download", total=total)

    return Download(wanted, source, params["staging"], clock=clock, begun=begun, report=progress.update)


def _require_same_destination(params: dict[str, Any]) -> None:
    found = fingerprint(params["dest"])
    if not is_block_device(params["dest"]) and (found.as_dict() if found else None) != params["dest_before"]:
        raise Conflict(
            f"dest: {params['dest']} was changed by somebody else during the download; it was left as it is now."
        )


def _finish(params: dict[str, Any], url: RemoteUrl, done: Downloaded, progress: Progress, lock: int) -> dict[str, Any]:
    """From here on what came is an image, inspected before anything else reads it."""
    secrets = params.get("secrets", {})
    given = {"src": params["staging"], "dest": params["dest"], "force": True, "timeout": 0}
    hidden = {"passphrase": secrets.get("target"), "src_passphrase": secrets.get("source")}
    lease = {"on_interrupt": "detach", "lease_timeout": 60}
    request = read_request({**params["options"], **given, **hidden, **lease}, Tools(version=params["version"]))
    _require_telling(params, url, request)
    made_from = _made_from(url, done, request)
    job = request.job(params["version"])
    if _is_it(request, job.params):
        return _publish(request, {**job.params, "dest_before": params["dest_before"]}, made_from, progress)
    recorded = {**job.params, "made_from": made_from}
    return convert_job.convert({**recorded, **({"secrets": job.secrets} if job.secrets else {})}, progress, lock)


def _require_telling(params: dict[str, Any], url: RemoteUrl, request: ConvertRequest) -> None:
    """Anything can be a raw disk, also a page that says that there is no such file."""
    if request.source.format == "raw" and not params["checksum"] and not params["options"]["src_format"]:
        raise Conflict(
            f"src: what {url.shown} holds has no signature of a disk format; it may be an archive or a page of words. Declare "
            f"'src_format: raw', or give its checksum."
        )


def _made_from(url: RemoteUrl, done: Downloaded, request: ConvertRequest) -> dict[str, Any]:
    """The source as the record keeps it."""
    kept = {**url.identity, "checksum": done.checksum, "format": request.source.format, **done.validators}
    return {**kept, "size": done.size, "compression": done.compression}


def _is_it(request: ConvertRequest, params: dict[str, Any]) -> bool:
    """Whether the file that came is the image that is asked for, so that nothing has to be converted."""
    source, target = request.source, request.target
    if request.on_device or params["method"] != "auto" or request.sparse_size is not None:
        return False
    if target.declared:
        return suits({**params, "bandwidth": None}, source)
    facts = source.chain[0].facts
    whole = len(source.chain) == 1 and not (facts.dirty or facts.corrupt or facts.snapshots or facts.bitmaps)
    return whole and source.format == target.format and not facts.encryption and source.virtual_size % 512 == 0


def _publish(
    request: ConvertRequest, params: dict[str, Any], made_from: dict[str, Any], progress: Progress
) -> dict[str, Any]:
    """The very file that came gets the name."""
    place, path = FilePlace(params), request.source.path
    progress.phase("verify")
    if params["verify"] == "deep" and QemuImg(Commands()).check(Image(path, request.format)).corrupt:
        raise EngineError(f"{path} was thrown away: qemu-img check calls it corrupt.")
    progress.phase("publish")
    progress.leaves(place.path)
    os.replace(path, place.path)
    record = Record(
        operation="convert",
        format=request.format,
        virtual_size=request.source.virtual_size,
        source=made_from,
        options=params["declared"],
        tool=params["tool"],
    )
    try:
        place.publish(record)
    finally:
        place.discard()
    return {"verify": params["verify"], "method": "download"}


def main() -> int:
    """Entry of the host helper: do the job whose folder is the first argument; the exit code."""
    return run_job(sys.argv[1], fetch)
