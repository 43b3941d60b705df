# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import EngineError, InvalidOption
from ansible_collections.imageops.fleet.plugins.module_utils._operations.convert_images import (
    needs_passphrase,
    source_image,
    told_clearly,
)
from ansible_collections.imageops.fleet.plugins.module_utils._operations.inspection import Inspected, Pins, inspect
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.node import Image


def made(*argv: object) -> None:
    subprocess.run(["qemu-img", "create", "-q", *map(str, argv)], check=True)


@pytest.fixture
def chain(tmp_path: Path) -> Inspected:
    made("-f", "raw", tmp_path / "base", "1M")
    made("-f", "qcow2", "-F", "raw", "-b", "base", tmp_path / "top")
    return inspect(str(tmp_path / "top"), declared="qcow2", backing=[str(tmp_path / "base")])


def test_what_is_not_held_is_opened_by_path(chain: Inspected) -> None:
    assert source_image(chain, passphrase=None) == Image(chain.path, "qcow2")


def test_a_held_chain_is_given_layer_by_layer(chain: Inspected) -> None:
    held = replace(chain, pinned={chain.files[0]: 7, chain.files[1]: 8})
    base = Image(chain.files[1], "raw", descriptor=8)
    assert source_image(held, passphrase="x") == Image(chain.path, "qcow2", descriptor=7, backing=base)


def test_a_data_file_is_given_too(tmp_path: Path) -> None:
    made("-f", "qcow2", "-o", f"data_file={tmp_path}/data", tmp_path / "top", "1M")
    found = inspect(str(tmp_path / "top"), declared="qcow2", backing=[str(tmp_path / "data")])
    held = replace(found, pinned={str(tmp_path / "top"): 7, str(tmp_path / "data"): 8})
    image = source_image(held, passphrase=None)
    assert image.data_file == Image(str(tmp_path / "data"), "raw", descriptor=8)


def test_vmdk_of_several_files_is_opened_by_path(tmp_path: Path) -> None:
    made("-f", "vmdk", "-o", "subformat=monolithicFlat", tmp_path / "d.vmdk", "1M")
    found = inspect(str(tmp_path / "d.vmdk"), declared="vmdk", backing=[str(tmp_path / "d-flat.vmdk")])
    assert source_image(replace(found, pinned={"x": 1}), passphrase=None).plain


def test_pins_hold_what_was_read(tmp_path: Path) -> None:
    made("-f", "qcow2", tmp_path / "a", "1M")
    pins = Pins()
    inspect(str(tmp_path / "a"), declared="qcow2", opener=pins.open)
    (tmp_path / "a").unlink()
    with open(f"/proc/self/fd/{pins.handles[str(tmp_path / 'a')]}", "rb") as stream:
        assert stream.read(4) == b"QFI\xfb"
    pins.close()
    assert not pins.handles


def test_errors_name_files() -> None:
    source = Image("/src", "qcow2", descriptor=7, backing=Image("/base", "raw", descriptor=77))
    with pytest.raises(EngineError, match=r"^cannot read /base and /src$"), told_clearly(source, "/t"):
        raise EngineError("cannot read /proc/self/fd/77 and /proc/self/fd/7", stderr="")


@pytest.mark.parametrize(
    ("phrase", "said", "words"),
    [
        ("x", "driver=luks,file.filename=/proc/self/fd/7", "^src_passphrase: it does not open /src"),
        ("x", "driver=luks,file.filename=/t", "^passphrase: it does not open /t"),
        (None, "driver=luks", "^passphrase: it does not open /t"),
    ],
)
def test_a_wrong_passphrase_is_the_options_error(phrase: str | None, said: str, words: str) -> None:
    text = f"Could not open '{said}': Invalid password, cannot unlock any keyslot"
    with pytest.raises(InvalidOption, match=words), told_clearly(Image("/src", "luks", passphrase=phrase), "/t"):
        raise EngineError(text, stderr=text)


def test_encrypted_is_what_is_encrypted_by_its_format(chain: Inspected) -> None:
    assert not needs_passphrase(chain)
    facts = replace(chain.chain[1].facts, encryption="luks")
    assert needs_passphrase(replace(chain, chain=(chain.chain[0], replace(chain.chain[1], facts=facts))))
