# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import InvalidOption, Unsupported
from ansible_collections.imageops.fleet.plugins.module_utils._qemu import options

GIB = 1 << 30


@pytest.mark.parametrize(
    ("format", "given", "typed", "text"),
    [
        ("raw", {"preallocation": False}, {"preallocation": "off"}, ["-o", "preallocation=off"]),
        ("raw", {}, {}, []),
        ("qcow2", {"cluster_size": "128K"}, {"cluster_size": 131072}, ["-o", "cluster_size=131072"]),
        ("qcow2", {"compat": 1.1, "lazy_refcounts": "yes"}, {"compat": "1.1", "lazy_refcounts": True},
         ["-o", "compat=1.1,lazy_refcounts=on"]),
        ("qcow2", {"compat": 0.10}, {"compat": "0.10"}, ["-o", "compat=0.10"]),
        ("qcow2", {"compression_type": None}, {}, []),
        ("vmdk", {"adapter_type": "lsilogic", "hwversion": 11}, {"adapter_type": "lsilogic", "hwversion": 11},
         ["-o", "adapter_type=lsilogic,hwversion=11"]),
        ("vpc", {}, {}, ["-o", "force_size=on"]),
        ("vhd", {"size_rule": "chs", "subformat": "fixed"}, {"size_rule": "chs", "subformat": "fixed"},
         ["-o", "subformat=fixed"]),
        ("vhdx", {"block_size": 0, "log_size": "2M"}, {"block_size": 0, "log_size": 2 << 20},
         ["-o", "block_size=0,log_size=2097152"]),
        ("vhdx", {"block_state_zero": False}, {"block_state_zero": False}, ["-o", "block_state_zero=off"]),
        ("vmdk", {"compat6": True, "zeroed_grain": True}, {"compat6": True, "zeroed_grain": True},
         ["-o", "compat6=on,zeroed_grain=on"]),
        ("vmdk", {"subformat": "twoGbMaxExtentFlat", "toolsversion": 0},
         {"subformat": "twoGbMaxExtentFlat", "toolsversion": 0}, ["-o", "subformat=twoGbMaxExtentFlat,toolsversion=0"]),
        ("vdi", {"static": True}, {"static": True}, ["-o", "static=on"]),
    ],
)  # fmt: skip
def test_given_options_become_typed_values_and_engine_text(
    format: str, given: dict[str, Any], typed: dict[str, Any], text: list[str]
) -> None:
    values = options.parse_options(format, given)
    assert values == typed
    assert options.engine_arguments(format, values) == text


@pytest.mark.parametrize(
    ("format", "given", "words"),
    [
        ("qcow2", {"cluster": 1}, ["options.cluster", "no such option", "cluster_size", "refcount_bits"]),
        ("qcow2", {"cluster_size": "100K"}, ["options.cluster_size", "'100K'", "power of two from 512 B to 2 MiB"]),
        ("qcow2", {"cluster_size": "4M"}, ["512 B to 2 MiB"]),
        ("qcow2", {"refcount_bits": "many"}, ["options.refcount_bits", "'many'", "a power of two from 1 to 64"]),
        ("qcow2", {"compression_type": "lz4"}, ["'lz4'", "zlib or zstd"]),
        ("qcow2", {"lazy_refcounts": "perhaps"}, ["'perhaps'", "true or false"]),
        ("qcow2", {"compat": "0.10", "compression_type": "zstd"}, ["compression_type", "compat '1.1'"]),
        ("qcow2", {"extended_l2": True, "cluster_size": "8K"}, ["extended_l2", "16 KiB"]),
        ("raw", {"preallocation": "metadata"}, ["off, falloc or full"]),
        ("vmdk", {"subformat": "flat"}, ["'flat'", "monolithicSparse, streamOptimized, monolithicFlat"]),
        ("vmdk", {"compat6": True, "hwversion": 11}, ["compat6", "hwversion"]),
        ("vmdk", {"zeroed_grain": True, "subformat": "monolithicFlat"}, ["zeroed_grain", "no grains"]),
        ("vmdk", {"toolsversion": -1}, ["toolsversion", "-1"]),
        ("vmdk", {"backing_file": "x"}, ["backing_file", "delta link"]),
        ("qcow2", {"data_file": "x.raw"}, ["options.data_file: can't be used here", "no step"]),
        ("vhd", {"force_size": True}, ["size_rule"]),
        ("vmdk", {"adapter_type": "pvscsi"}, ["ide, lsilogic, buslogic or legacyESX"]),
        ("vhdx", {"log_size": "1.5M"}, ["a multiple of 1 MiB"]),
        ("floppy", {}, ["'floppy'"]),
    ],
)
def test_a_wrong_option_is_one_sentence_with_what_is_allowed(
    format: str, given: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(InvalidOption) as caught:
        options.parse_options(format, given)
    assert not [word for word in words if word not in str(caught.value)]
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize("subformat", ["streamOptimized", *options.SEVERAL_FILES])
def test_an_empty_disk_that_only_a_conversion_makes_is_refused(subformat: str) -> None:
    values = options.parse_options("vmdk", {"subformat": subformat})
    assert options.several_files(values) is (subformat != "streamOptimized")
    with pytest.raises(InvalidOption, match="disk_convert"):
        options.creatable("vmdk", values)


@pytest.mark.parametrize(
    ("format", "size", "values", "wanted"),
    [
        ("raw", 1000, {}, 1024),
        ("qcow2", GIB, {}, GIB),
        ("vhd", GIB + 1, {}, GIB + 512),
        ("vhd", GIB + 1, {"size_rule": "mib"}, GIB + (1 << 20)),
        ("vhd", 10 << 20, {"size_rule": "chs"}, 10514432),
        ("vhd", 2040 * GIB, {"size_rule": "mib"}, 2040 * GIB),
    ],
)
def test_sizes_are_what_the_format_makes_of_them(format: str, size: int, values: dict[str, Any], wanted: int) -> None:
    assert options.virtual_size(format, size, values) == wanted


@pytest.mark.parametrize(
    ("format", "size", "values", "words"),
    [
        ("vhd", 2041 * GIB, {}, "2190433320960 bytes"),
        ("qcow2", 129 * GIB, {"cluster_size": 512}, r"128 GiB\) at most"),
        ("qcow2", 65 << 40, {}, r"64 TiB\) at most"),
        ("raw", 0, {}, "above 0"),
    ],
)
def test_sizes_that_no_disk_of_the_format_can_have(format: str, size: int, values: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidOption, match=words):
        options.virtual_size(format, size, values)


@pytest.mark.parametrize(
    ("values", "full"),
    [({}, False), ({"preallocation": "metadata"}, False), ({"preallocation": "falloc"}, True),
     ({"subformat": "fixed"}, True), ({"static": True}, True), ({"static": False}, False)],
)  # fmt: skip
def test_which_options_take_the_whole_space(values: dict[str, Any], full: bool) -> None:
    assert options.takes_full_space(values) is full


@pytest.mark.parametrize("format", options.TABLES)
def test_defaults_are_values_that_may_be_given(format: str) -> None:
    defaults = options.completed(format, {})
    assert options.parse_options(format, defaults) == defaults


@pytest.mark.parametrize(
    ("format", "given", "since"),
    [("qcow2", {"extended_l2": True}, (5, 2)), ("qcow2", {"compression_type": "zstd"}, (5, 1)),
     ("vmdk", {"toolsversion": 1}, (6, 2))],
)  # fmt: skip
def test_an_option_that_qemu_does_not_have_yet(format: str, given: dict[str, Any], since: tuple[int, int]) -> None:
    values = options.parse_options(format, given)
    options.require_version(values, lambda: (*since, 0))
    with pytest.raises(Unsupported, match=rf"needs QEMU {since[0]}\.{since[1]} or newer, this host has 4\.2\.1"):
        options.require_version(values, lambda: (4, 2, 1))


def test_the_version_is_asked_for_only_when_it_matters() -> None:
    def asked() -> tuple[int, ...]:
        raise RuntimeError

    options.require_version(options.parse_options("qcow2", {"extended_l2": False, "cluster_size": "64K"}), asked)
    options.require_version(options.parse_options("qcow2", {"compression_type": "zlib"}), asked)
