# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.catalog_options import (
    CATALOG_DEFAULTS,
    CATALOG_OPTIONS,
)
from ansible_collections.imageops.fleet.plugins.module_utils._errors import InvalidOption
from ansible_collections.imageops.fleet.plugins.module_utils._operations.catalog_access import access_of
from ansible_collections.imageops.fleet.plugins.module_utils._registry.interface import StoreAccess


def given(**changed: Any) -> dict[str, Any]:
    return {**dict.fromkeys(CATALOG_OPTIONS), **CATALOG_DEFAULTS, **changed}


def test_defaults() -> None:
    assert access_of(given()) == StoreAccess()


def test_all_options(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text("x")
    found = access_of(
        given(
            url_username="u",
            url_password="p",
            ca_path=str(ca),
            validate_certs=False,
            plain_http=True,
            idle_timeout=5,
            mirrors=["https://mirror.example:5000/", "dir:/srv/images"],
        )
    )
    mirrors = ("https://mirror.example:5000", "dir:/srv/images")
    assert found == StoreAccess("u", "p", str(ca), False, True, 5.0, mirrors)
    assert "'p'" not in repr(found)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"idle_timeout": 0}, "idle_timeout: 0 seconds"),
        ({"idle_timeout": 99999999999}, "idle_timeout: 99999999999 seconds can't be used"),
        ({"url_password": "p"}, "url_password: a password without url_username"),
        ({"url_username": "a:b"}, "url_username: a name with a colon"),
        ({"ca_path": "/nowhere/ca.pem"}, "ca_path: /nowhere/ca.pem is no file"),
        ({"mirrors": ["mirror.example"]}, "mirrors: 'mirror.example' is no place of a mirror"),
        ({"mirrors": ["https://u:p@mirror.example"]}, "mirrors: "),
    ],
)
def test_refusals(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        access_of(given(**changed))
