# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import (
    Conflict,
    ImageOpsError,
    NoSpace,
    named,
    system_error,
)


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), NoSpace, "/x/y: No space left on device."),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), NoSpace, "Disk quota exceeded."),
        (
            PermissionError(errno.EACCES, "Permission denied", "/x"),
            ImageOpsError,
            "/x: Permission denied; let the task run as a user who may, or give another path.",
        ),
        (PermissionError(errno.EACCES, "Permission denied"), ImageOpsError, "Permission denied."),
        (PermissionError(errno.EACCES, "No; do this", "/x"), ImageOpsError, "/x: No; do this."),
        (
            OSError(errno.ELOOP, "Too many levels of symbolic links", "/x"),
            ImageOpsError,
            "/x: Too many levels of symbolic links; its links lead in a circle, so give another path.",
        ),
        (OSError("odd"), ImageOpsError, "odd."),
        (OSError(), ImageOpsError, "OSError."),
    ],
)
def test_system_errors_become_one_sentence(error: OSError, kind: type, text: str) -> None:
    ours = system_error(error)
    assert ours.__class__ is kind
    assert str(ours) == text


def test_details_are_kept() -> None:
    assert ImageOpsError("no", path="/x").details == {"path": "/x"}


def test_what_users_know_is_named() -> None:
    with pytest.raises(Conflict) as caught, named("/srv/.disk.hidden", "https://a/disk"):
        raise Conflict("/srv/.disk.hidden is damaged.", findings=[])
    assert str(caught.value) == "https://a/disk is damaged."
    assert caught.value.details == {"findings": []}
