# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The creation options of an image that is there, as its own header tells them."""

from __future__ import annotations

from typing import Any

from .._formats.facts import ImageFacts


def found_options(facts: ImageFacts) -> dict[str, Any]:
    """Options by the names that users give them; what a header doesn't hold (preallocation) is left out."""
    reader = _READERS.get(facts.format)
    return reader(facts) if reader else {}


def _qcow2(facts: ImageFacts) -> dict[str, Any]:
    return {
        "cluster_size": facts.cluster_size,
        "compression_type": facts.compression,
        "compat": "0.10" if facts.variant == "v2" else "1.1",
        "lazy_refcounts": facts.header["lazy_refcounts"],
        "refcount_bits": facts.header["refcount_bits"],
        "extended_l2": facts.header["extended_l2"],
    }


def _vmdk(facts: ImageFacts) -> dict[str, Any]:
    told = {
        "subformat": facts.variant,
        "adapter_type": facts.header.get("adapter_type"),
        "hwversion": _number(facts.header.get("hardware_version")),
        "toolsversion": _number(facts.header.get("tools_version")),
    }
    grains = facts.header.get("zeroed_grain")
    return told if grains is None else {**told, "zeroed_grain": grains}


def _number(text: str | None) -> int | str | None:
    """Descriptors hold text; a number where it is one, None where they say nothing."""
    if not text:
        return None
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else text


def _vhd(facts: ImageFacts) -> dict[str, Any]:
    return {"subformat": facts.variant}


def _vhdx(facts: ImageFacts) -> dict[str, Any]:
    return {"subformat": facts.variant, "block_size": facts.cluster_size, "log_size": facts.header["log_length"]}


def _vdi(facts: ImageFacts) -> dict[str, Any]:
    return {"static": facts.variant == "static"}


_READERS = {"qcow2": _qcow2, "vmdk": _vmdk, "vhd": _vhd, "vhdx": _vhdx, "vdi": _vdi}
