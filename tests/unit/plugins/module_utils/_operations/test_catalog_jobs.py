# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._operations.catalog_jobs import (
    access_params,
    access_secrets,
    job_access,
)
from ansible_collections.imageops.fleet.plugins.module_utils._registry.interface import StoreAccess


def test_access_in_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://u:secret@proxy.example:3128")
    access = StoreAccess("u", "p", "/ca.pem", True, True, 5.0, ("dir:/srv",))
    params, secrets = json.loads(json.dumps({"access": access_params(access)})), access_secrets(access)
    assert "secret" not in str(params) and "'p'" not in str(params)
    monkeypatch.delenv("https_proxy")
    assert job_access({**params, "secrets": secrets}) == access
    assert os.environ["https_proxy"] == "http://u:secret@proxy.example:3128"


def test_a_job_without_secrets() -> None:
    assert job_access({"access": access_params(StoreAccess())}) == StoreAccess()
