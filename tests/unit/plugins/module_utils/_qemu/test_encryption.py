# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import InvalidOption
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.encryption import (
    encryption_arguments,
    parse_encryption,
)


@pytest.mark.parametrize(
    ("format", "given", "argv"),
    [
        ("luks", {}, []),
        ("luks", {"iter_time": "50", "cipher_alg": "aes-128"}, ["-o", "iter-time=50,cipher-alg=aes-128"]),
        ("qcow2", {"hash_alg": "sha512"}, ["-o", "encrypt.hash-alg=sha512"]),
        ("qcow2", {"ivgen_alg": "essiv"}, ["-o", "encrypt.ivgen-alg=essiv,encrypt.ivgen-hash-alg=sha256"]),
        ("luks", {"cluster_size": 5, "iter_time": None}, []),
    ],
)
def test_options_as_qemu_wants_them(format: str, given: dict[str, Any], argv: list[str]) -> None:
    assert encryption_arguments(format, parse_encryption(given)) == argv


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"cipher_alg": "rot13"}, "options.cipher_alg: 'rot13' is not allowed"),
        ({"iter_time": 9}, "options.iter_time: '9' is not allowed"),
        ({"iter_time": True}, "options.iter_time: 'True' is not allowed; use a whole number"),
    ],
)
def test_what_is_no_option(given: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidOption, match=words):
        parse_encryption(given)
