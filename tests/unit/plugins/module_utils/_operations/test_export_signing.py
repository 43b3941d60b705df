# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import InvalidOption, MissingLibrary
from ansible_collections.imageops.fleet.plugins.module_utils._operations import usage_domains
from ansible_collections.imageops.fleet.plugins.module_utils._operations.image_export import plan_export
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.tests.unit.export_params import params_of


@pytest.fixture(autouse=True)
def no_libvirt(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_domains, "LIBVIRT_SIGNS", ())


@pytest.fixture
def signer(tmp_path: Path) -> Path:
    """A folder with a certificate, its key, the same key encrypted, another key, and a disk."""
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=release", "-keyout", "key"]
    other = ["openssl", "genpkey", "-algorithm", "RSA", "-out", "other"]
    locked = ["openssl", "pkey", "-in", "key", "-aes256", "-passout", "pass:secret", "-out", "locked"]
    for argv in ([*new, "-out", "certificate"], other, locked):
        subprocess.run(argv, cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "disk").write_bytes(b"\1" * 65536)
    return tmp_path


def plan(signer: Path, **given: str) -> Any:
    paths = {name: str(signer / path) for name, path in given.items()}
    return plan_export(params_of(signer / "web.ova", "ova", signer / "disk", **paths), Tools())


def test_certificate_and_key_that_belong_together(signer: Path) -> None:
    assert plan(signer, certificate="certificate", private_key="key").changed


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"certificate": "disk", "private_key": "key"}, "certificate: .* holds no certificate in PEM form"),
        ({"certificate": "certificate", "private_key": "other"}, "private_key: .*/other is not the key of"),
        ({"certificate": "certificate", "private_key": "locked"}, "private_key: .*/locked can't be read .* isn't encrypted"),
        ({"certificate": "certificate", "private_key": "disk"}, "private_key: .*/disk can't be read"),
    ],
)  # fmt: skip
def test_what_could_not_sign_is_refused_before_the_disks_are_written(
    signer: Path, given: dict[str, str], says: str
) -> None:
    with pytest.raises(InvalidOption, match=f"^{says}"):
        plan(signer, **given)


def test_without_openssl(signer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(signer))
    with pytest.raises(MissingLibrary, match="'openssl' is not installed"):
        plan(signer, certificate="certificate", private_key="key")
