# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A list of checksums counts only when gpgv says that its signature is right; here gpgv is a script that compares."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import Conflict, MissingLibrary, UnsafeImage
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.clock import Clock
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.progress import Progress
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.state import JobState
from ansible_collections.imageops.fleet.plugins.module_utils._operations import build_fetch
from ansible_collections.imageops.fleet.plugins.module_utils._operations.build_fetch import (
    _checksum,
    fetched,
    require_signed,
)
from ansible_collections.imageops.fleet.plugins.module_utils._transfer.http import Access
from ansible_collections.imageops.fleet.plugins.module_utils._transfer.url import RemoteUrl, parse_url
from ansible_collections.imageops.fleet.tests.unit.web_server import serving

GPGV = r"""#!/bin/sh
[ "$1 $2" = "--keyring KEYRING" ] || exit 3
[ "$(cat "$3")" = "signed $(cat "$4")" ] || { echo 'gpgv: BAD signature' >&2; exit 1; }
"""


@pytest.fixture
def keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    path = tmp_path / "keyring.gpg"
    path.touch()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/gpgv").write_text(GPGV.replace("KEYRING", str(path)))
    (tmp_path / "bin/gpgv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    return str(path)


def test_a_right_signature_is_believed(keyring: str) -> None:
    require_signed(b"list", b"signed list", keyring, "https://a/SHA256SUMS")


def test_a_wrong_one_is_refused_with_gpgvs_words(keyring: str) -> None:
    with pytest.raises(UnsafeImage, match="signature of https://a/SHA256SUMS is not by a key in .*BAD signature"):
        require_signed(b"another list", b"signed list", keyring, "https://a/SHA256SUMS")


def test_without_gpgv_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(MissingLibrary, match="install the package gpgv"):
        require_signed(b"list", b"x", "/keyring", "list")


def test_the_sources_password_is_for_its_own_server_only(keyring: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, str] = {}

    def read(client: Any, url: RemoteUrl, *, most: int) -> bytes:
        asked[url.shown] = client.access.password
        return b"signed list" if url.path.endswith(".gpg") else b"list"

    monkeypatch.setattr(build_fetch, "read_small", read)
    monkeypatch.setattr(build_fetch, "HttpClient", lambda access: SimpleNamespace(access=access))
    monkeypatch.setattr(build_fetch, "find_checksum", lambda text, **told: text)
    access = Access(password="hidden", username="one")
    for host in ("images", "other"):
        told = {
            "checksum": f"sha256:https://{host}.example/SUMS",
            "signature": f"https://{host}.example/SUMS.gpg",
            "keyring": keyring,
        }
        _checksum(told, parse_url("https://images.example/a.qcow2", option="base.url"), access)
    assert asked == {
        "https://images.example/SUMS": "hidden", "https://images.example/SUMS.gpg": "hidden",
        "https://other.example/SUMS": "", "https://other.example/SUMS.gpg": "",
    }  # fmt: skip


@pytest.mark.usefixtures("state_dir")
def test_errors_name_the_url(tmp_path: Path) -> None:
    content = bytes(1 << 20)
    with serving(files={"/a": content}) as site:
        base = {
            "url": site.url("/a"), "format": "qcow2", "signature": "",
            "checksum": f"sha256:{hashlib.sha256(content).hexdigest()}",
        }  # fmt: skip
        access = {"idle_timeout": 120, "validate_certs": True, "ca_path": None}
        params = {"base": base, "access": access, "bandwidth": None}
        progress = Progress(JobState("build-x", "build", "r"), Clock())
        with pytest.raises(Conflict) as caught, fetched(params, str(tmp_path / ".hidden"), progress):
            pass
    assert site.url("/a") in str(caught.value)
    assert ".hidden" not in str(caught.value)
    assert not (tmp_path / ".hidden").exists()
