# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chains: whatever happens, a guest sees in the image what it saw, or in the file that it was committed into."""

from __future__ import annotations

import os
from typing import Any, ClassVar

from processes import run
from scenario import NEW, OLD, Scenario, checked, random_bytes, same_content

_FILES = ("base.raw", "low", "high", "top", "other")
_UP = ("chain:before-copy", "chain:copied", "chain:before-header", "chain:header-written")
_ANEW = ("chain:before-rewrite", "chain:written-anew", "chain:before-publish")
_DOWN = ("chain:before-commit", "chain:committed", "chain:before-record", "chain:before-removal")


class Chain(Scenario):
    """A base, two layers, the image, another base."""

    module = "disk_chain"
    kind = "chain"
    more: ClassVar[dict[str, Any]] = {}
    written, result, format = "top", "top", "qcow2"
    # Which file the image rests on when all is done; nothing when it is flat.
    rests_on = ""
    replaceable = False
    in_place = True

    @property
    def target(self) -> str:
        return self.path(self.written)

    @property
    def options(self) -> dict[str, Any]:
        return {"path": self.path("top"), "chain": [self.path(name) for name in _FILES if name != "top"], **self.more}

    def prepare(self) -> None:
        master, disk = self.room.master, self.room.disk
        piece = f"{self.room.temp}/piece"

        def write(name: str, *commands: str) -> None:
            random_bytes(piece, 2)
            said = run("qemu-io", "-f", "qcow2", *(word for one in commands for word in ("-c", one)), f"{disk}/{name}")
            if "fail" in (said.stdout + said.stderr).lower():
                raise RuntimeError(said.stdout + said.stderr)

        def layer(name: str, below: str, format: str, *size: str) -> None:
            run(
                "qemu-img",
                "create",
                "-q",
                "-f",
                "qcow2",
                "-b",
                f"{disk}/{below}",
                "-F",
                format,
                f"{disk}/{name}",
                *size,
            )

        random_bytes(f"{disk}/base.raw", 10)
        layer("low", "base.raw", "raw", "10M")
        write("low", f"write -s {piece} 1M 2M", "write -z 5M 1M")
        layer("high", "low", "qcow2", "14M")
        write("high", f"write -s {piece} 2M 2M", f"write -s {piece} 10M 2M")
        layer("top", "high", "qcow2")
        write("top", f"write -s {piece} 3M 2M", f"write -s {piece} 11M 2M")
        run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", f"{disk}/base.raw", f"{disk}/other")
        write("other", f"write -s {piece} 7M 2M")
        run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", f"{disk}/top", f"{master}/seen.raw")
        for name in _FILES:
            os.rename(f"{disk}/{name}", f"{master}/{name}")

    def fresh(self) -> None:
        self.room.empty(self.room.disk)
        self.room.copy(*_FILES)

    def look(self) -> str:
        if os.path.exists(self.path("top")):
            if not self._reads("top", "qcow2"):
                return "another content"
            wrong = checked(self.path("top"), leaks=True)
            return wrong or (NEW if self.is_done() else OLD)
        if self.result == "top":
            return "the image is gone"
        if not self._reads(self.result, self.format):
            return "the image is gone, and its content not below"
        return NEW if self.is_done() else OLD

    def is_done(self) -> bool:
        """Whether the image rests on the right file."""
        info = run("qemu-img", "info", "-f", "qcow2", self.path("top")).stdout
        named = [
            line.split(": ", 1)[1].split(" (actual")[0]
            for line in info.splitlines()
            if line.startswith("backing file:")
        ]
        return named == ([self.path(self.rests_on)] if self.rests_on else [])

    def _reads(self, name: str, format: str) -> bool:
        return same_content(self.path(name), format, f"{self.room.master}/seen.raw")

    def problems(self) -> str:
        return checked(self.path(self.result)) if self.format == "qcow2" else ""


class Flatten(Chain):
    """All layers are copied up."""

    name = "chain: flatten"
    points = _UP
    more: ClassVar[dict[str, Any]] = {"depth": 1}

    @property
    def source(self) -> str:  # type: ignore[override]
        return self.path("base.raw")


class Shorten(Chain):
    """The layers between are copied up."""

    name = "chain: shorten"
    variant = True
    points = _UP
    more: ClassVar[dict[str, Any]] = {"depth": 2}
    rests_on = "base.raw"


class Rewrite(Chain):
    """A flat image takes the place of the overlay."""

    name = "chain: rewrite"
    points = _ANEW
    more: ClassVar[dict[str, Any]] = {"depth": 1, "rewrite": True}
    in_place = False

    @property
    def source(self) -> str:  # type: ignore[override]
        return self.path("base.raw")


class Rebase(Chain):
    """Onto another base, with the same content."""

    name = "chain: rebase"
    points = _ANEW
    rests_on = "other"
    in_place = False

    @property
    def options(self) -> dict[str, Any]:
        return {**super().options, "backing": {"path": self.path("other"), "format": "qcow2"}}


class Commit(Chain):
    """Down into the base, which grows; the layers go."""

    name = "chain: commit"
    points = ("chain:before-growth", *_DOWN, "chain:layer-removed")
    written, result, format = "base.raw", "base.raw", "raw"

    @property
    def options(self) -> dict[str, Any]:
        return {**super().options, "commit": {"into": self.path("base.raw")}}

    def is_done(self) -> bool:
        return not any(os.path.exists(self.path(name)) for name in ("low", "high", "top"))


class CommitKept(Chain):
    """Down into the lowest layer; an empty overlay stays."""

    name = "chain: commit, kept"
    variant = True
    points = (*_DOWN, "chain:before-growth", "chain:before-publish")
    written = "low"
    rests_on = "low"

    @property
    def options(self) -> dict[str, Any]:
        return {**super().options, "commit": {"into": self.path("low"), "keep": True}}

    def is_done(self) -> bool:
        return super().is_done() and not os.path.exists(self.path("high"))


SCENARIOS = (Flatten, Shorten, Rewrite, Rebase, Commit, CommitKept)
