# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import InvalidOption
from ansible_collections.imageops.fleet.plugins.module_utils._operations.convert_options import (
    read_target,
    same_options,
)


@pytest.mark.parametrize(
    ("format", "given", "passphrase", "declared"),
    [
        ("qcow2", {}, None, {}),
        ("qcow2", {"compress": True}, None, {"compress": True, "compression_type": "zstd"}),
        ("qcow2", {"compress": True, "compat": "v2"}, None, {"compress": True, "compat": "0.10"}),
        ("qcow2", {"iter_time": 10}, "x", {"encryption": "luks", "iter_time": 10}),
        ("luks", {}, "x", {}),
        ("luks", {"cipher_mode": "cbc"}, "x", {"cipher_mode": "cbc"}),
        ("vpc", {"subformat": "fixed"}, None, {"subformat": "fixed"}),
    ],
)
def test_what_the_record_keeps(format: str, given: dict[str, Any], passphrase: str | None, declared: object) -> None:
    before = dict(given)
    assert read_target(format, given, passphrase=passphrase).declared == declared
    assert given == before


@pytest.mark.parametrize(
    ("format", "given", "passphrase", "words"),
    [
        ("raw", {}, "x", "^passphrase: a raw image can't be encrypted"),
        ("luks", {}, None, "^passphrase: none is given, and a luks image needs one"),
        ("qcow2", {"iter_time": 10}, None, "^passphrase: none is given, and options.iter_time has a meaning only"),
        ("qcow2", {}, "", "^passphrase: it is empty"),
        ("qcow2", {"compress": True}, "x", "^options.compress: QEMU can't compress an encrypted image"),
        ("luks", {"cluster_size": 1}, "x", "^options.cluster_size: luks has no such option; it has cipher_alg, "),
        ("raw", {"iter_time": 10}, None, "^options.iter_time: raw has no such option"),
        ("qcow2", {"compres": True}, None, "it has cipher_alg, .* compat, compress, compression_type, .* iter_time, "),
        (
            "vmdk",
            {"hwversion": "abc"},
            None,
            "^options.hwversion: 'abc' is not allowed; use a whole number from 3 to 22",
        ),
        ("qcow2", {"compress": True, "preallocation": "full"}, None, "^options.preallocation: 'full' takes the space"),
        ("qcow2", {"compress": True, "preallocation": "metadata"}, None, "^options.preallocation: 'metadata' takes"),
        ("qcow2", {"compress": True, "compat": 9}, None, "^options.compat: '9' is not allowed"),
    ],
)
def test_what_does_not_go_together(format: str, given: dict[str, Any], passphrase: str | None, words: str) -> None:
    with pytest.raises(InvalidOption, match=words):
        read_target(format, given, passphrase=passphrase)


@pytest.mark.parametrize(
    ("format", "one", "other", "same"),
    [
        ("qcow2", {}, {"cluster_size": 65536, "lazy_refcounts": False, "preallocation": "off"}, True),
        ("qcow2", {}, {"cluster_size": 4096}, False),
        ("qcow2", {}, {"compression_type": "zstd", "compress": True}, False),
        (
            "qcow2",
            {"compress": True, "compat": "0.10"},
            {"compress": True, "compat": "0.10", "compression_type": "zlib"},
            True,
        ),
        ("qcow2", {"encryption": "luks"}, {"encryption": "luks", "iter_time": 2000}, True),
        ("qcow2", {"encryption": "luks"}, {}, False),
        ("luks", {}, {"cipher_alg": "aes-256"}, True),
        ("luks", {}, {"cipher_alg": "aes-128"}, False),
        ("vhd", {}, {"size_rule": "exact", "subformat": "dynamic"}, True),
        ("vhd", {}, {"size_rule": "mib"}, False),
        ("qcow2", {"backing": "/a", "backing_format": "raw"}, {"backing": "/b", "backing_format": "raw"}, False),
    ],
)
def test_what_is_left_out_has_its_default(format: str, one: dict[str, Any], other: dict[str, Any], same: bool) -> None:
    assert [same_options(format, *pair) for pair in ((one, other), (other, one))] == [same, same]
