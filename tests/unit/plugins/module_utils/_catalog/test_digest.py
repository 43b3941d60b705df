# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.digest import (
    Descriptor,
    digest_bytes,
    digest_of,
    digest_text,
    is_digest,
    read_descriptor,
)
from ansible_collections.imageops.fleet.plugins.module_utils._errors import TransferError

D = digest_of(b"")


def test_digests() -> None:
    assert D == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert digest_text(digest_bytes(D)) == D
    assert is_digest(D)
    assert not any(map(is_digest, (None, "", D[:-1], D.upper(), f"{D}\n", "sha512:" + "a" * 128)))


def test_a_descriptor_is_read_as_it_was_written() -> None:
    one = Descriptor("a/b", D, 5, {"k": "v"}, "c/d")
    assert read_descriptor(one.as_dict(), where="x") == one
    assert read_descriptor(Descriptor("a/b", D, 0).as_dict(), where="x") == Descriptor("a/b", D, 0)


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {"mediaType": 1, "digest": D, "size": 1},
        {"mediaType": "a/b\r\nX-Other: b", "digest": D, "size": 1},
        {"mediaType": "ä/b", "digest": D, "size": 1},
        {"mediaType": "a/b", "digest": "sha256:1", "size": 1},
        {"mediaType": "a/b", "digest": D, "size": "1"},
        {"mediaType": "a/b", "digest": D, "size": 1 << 60},
        {"mediaType": "a/b", "digest": D, "size": 1, "annotations": {"a": 1}},
        {"mediaType": "a/b", "digest": D, "size": 1, "annotations": [1]},
    ],
)
def test_descriptors_that_are_none(value: object) -> None:
    with pytest.raises(TransferError, match="^x: "):
        read_descriptor(value, where="x")
