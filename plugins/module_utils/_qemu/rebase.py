# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The calls of qemu-img that put an image onto another backing file; every one names all formats."""

from __future__ import annotations

import os

from .block_graph import pseudo_name
from .image import PROGRAM, Image, takes_direct_io
from .option import joined


def header_arguments(image: Image, *, backing: Image | None, name: str = "") -> list[str]:
    """The command that only writes the backing file into the header, as `name`; no file is read. None leaves no backing."""
    below = ["-b", name or backing.path, "-F", backing.driver] if backing else ["-b", ""]
    return [PROGRAM, "rebase", "-q", "-u", "-f", image.driver, *below, image.path]


def differences_arguments(image: Image, *, backing: Image, rate_limit: int | None = None) -> list[str]:
    """The command that copies into `image` whatever its backing chain and the new `backing` differ in, then names that one.

    qemu-img's rebase knows no limit of its own, so writes go through a throttle node; `rate_limit` is in bytes a second.
    """
    cache = "none" if takes_direct_io(os.path.dirname(image.path)) else "writeback"
    below = ["-b", backing.path, "-F", backing.driver]
    argv = [PROGRAM, "rebase", "-p", "-t", cache, "-T", "writeback", *below]
    if not rate_limit:
        return [*argv, "-f", image.driver, image.path]
    node = joined(
        [
            ("driver", image.driver),
            ("file.driver", "throttle"),
            ("file.throttle-group", "limit"),
            ("file.file.driver", "file"),
            ("file.file.filename", image.path),
        ]
    )
    limit = f"throttle-group,id=limit,x-bps-write={rate_limit}"
    return [*argv, "--object", limit, "--image-opts", str(node)]


def compare_arguments(one: list[Image], other: list[Image]) -> list[str]:
    """The command that compares what guests see in two chains, given from the top down; no header's name is followed."""
    return [PROGRAM, "compare", "-p", pseudo_name(one), pseudo_name(other)]


def repair_arguments(image: Image) -> list[str]:
    """The command that frees clusters that nothing refers to; it changes nothing that a guest sees."""
    return [PROGRAM, "check", "-q", "-r", "leaks", "-f", image.driver, image.path]


def commit_arguments(image: Image) -> list[str]:
    """The command that brings what `image` holds into its backing file; `image` stays as it is."""
    return [PROGRAM, "commit", "-q", "-d", "-t", "writeback", "-f", image.driver, image.path]
