# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A list of checksums counts only when gpgv says that its signature is right; here gpgv is a script that compares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import MissingLibrary, UnsafeImage
from ansible_collections.imageops.fleet.plugins.module_utils._operations.build_fetch import require_signed

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
