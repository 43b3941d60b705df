# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A base that is fetched from a web server: its checksum from a list whose signature is proven, the file, and its inspection."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .._errors import EngineError, InvalidOption, MissingLibrary, UnsafeImage, named
from .._faults import fault_point
from .._formats.reader import MAX_VIRTUAL_SIZE
from .._jobs.clock import Clock
from .._jobs.progress import Progress
from .._transfer.checksum import Checksum, parse_checksum
from .._transfer.checksum_list import MOST_BYTES, find_checksum
from .._transfer.download import Download, Wanted
from .._transfer.http import Access, HttpClient
from .._transfer.http_stream import read_small
from .._transfer.url import RemoteUrl, parse_url
from .build_kinds import require_plain
from .fetch_source import access_beside, access_of, open_source, resolve
from .inspection import Inspected, inspect

_MOST_SIGNATURE = 1 << 20


@contextmanager
def fetched(params: Mapping[str, Any], staging: str, progress: Progress) -> Iterator[Inspected]:
    """The file that came, inspected, for the time of the block; what a broken connection left is kept for the next run."""
    told, secrets = params["base"], params.get("secrets", {})
    url = parse_url(told["url"], option="base.url")
    access = access_of(dict(params["access"]), headers={}, password=secrets.get("password", ""))
    progress.phase("connect")
    checksum = _checksum(told, url, access)
    wanted = Wanted(url.shown, url.identity, checksum, MAX_VIRTUAL_SIZE, params["bandwidth"])
    clock = Clock()

    def begun(total: int) -> None:
        progress.phase("download", total=total)

    source = open_source(url, access, clock, proven=True)
    download = Download(wanted, source, staging, clock=clock, begun=begun, report=progress.update)
    download.run()
    fault_point("build:fetched")
    with download.used_up(), named(staging, url.shown):
        image = inspect(staging, declared=told["format"], option="base")
        require_plain(image)
        yield image


def _checksum(told: Mapping[str, Any], url: RemoteUrl, access: Access) -> Checksum:
    """The checksum of the file; of a signed list only what its signature is for counts."""
    asked = parse_checksum(told["checksum"], option="base.checksum")
    if not told["signature"]:
        found = resolve(asked, url, access)
        if found is None:
            raise InvalidOption("base: no checksum is given; give one.")
        return found
    if asked.url is None:
        with open(asked.path, "rb") as stream:
            data = stream.read(MOST_BYTES)
        where = asked.path
    else:
        data = read_small(HttpClient(access_beside(asked.url, url, access)), asked.url, most=MOST_BYTES)
        where = asked.url.shown
    signed = parse_url(told["signature"], option="base.signature")
    signature = read_small(HttpClient(access_beside(signed, url, access)), signed, most=_MOST_SIGNATURE)
    require_signed(data, signature, told["keyring"], where)
    return find_checksum(data.decode("utf-8", "replace"), algorithm=asked.algorithm, source=url, where=where)


def require_signed(data: bytes, signature: bytes, keyring: str, where: str) -> None:
    """Raise UnsafeImage unless the OpenPGP `signature` is one of `data` by a key in `keyring`; MissingLibrary without gpgv."""
    program = shutil.which("gpgv")
    if program is None:
        raise MissingLibrary(
            "The program 'gpgv' is not installed on this host; install the package gpgv (Debian's name)."
        )
    with tempfile.TemporaryDirectory() as folder:
        names = []
        for name, content in (("signature", signature), ("data", data)):
            names.append(os.path.join(folder, name))
            with open(names[-1], "wb") as stream:
                stream.write(content)
        argv = [program, "--keyring", os.path.abspath(keyring), *names]
        done = subprocess.run(argv, capture_output=True, stdin=subprocess.DEVNULL, timeout=60, check=False)
    if done.returncode == 2 and b"keydb" in done.stderr.lower():
        raise EngineError(f"gpgv can't read the keyring {keyring}.")
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise UnsafeImage(
            f"base: the signature of {where} is not by a key in {keyring}, so nothing of it is believed: {said[-1] if said else 'gpgv refused it'}"
        )
