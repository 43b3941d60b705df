# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The place of an image of several files: extents get names of their own, and the descriptor's rename makes them the image."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from .._errors import Conflict, EngineError
from .._faults import fault_point
from .._files import sync_file, sync_folder
from .._formats.chain import inspect_chain
from .._jobs.progress import Progress
from .._records import Record, file_beside, publish_with_record
from .convert_destination import require_same_destination
from .extent_files import new_stem, note, tidy, work_folder
from .ownership import apply_to_new
from .replacing import replacing


class SplitPlace:
    """A descriptor and its extents: written in a hidden folder, the extents first moved out under names that are new.

    The engine's descriptor has the stem of the new names, so what it says of its extents stays true when they are moved.
    """

    existing = False

    def __init__(self, params: dict[str, Any]) -> None:
        self._params = params
        self._dest: str = params["dest"]
        self._stem = new_stem(self._dest)
        self.path = os.path.join(work_folder(self._dest), f"{self._stem}.vmdk")

    def prepare(self, progress: Progress) -> None:
        """Throw away what an earlier run left, and make a folder that nobody else reads."""
        folder = work_folder(self._dest)
        progress.leaves(folder)
        tidy(self._dest)
        fault_point("convert:before-note")
        note(self._dest, stem=self._stem)
        fault_point("convert:after-note")
        os.mkdir(folder, 0o700)

    def beside(self) -> list[str]:
        """The extents that the engine wrote."""
        folder = os.path.dirname(self.path)
        return sorted(os.path.join(folder, name) for name in os.listdir(folder) if name != os.path.basename(self.path))

    def publish(self, record: Record) -> None:
        """Give extents and descriptor owner, mode and names; raises Conflict when somebody else changed `dest`."""
        extents = self.beside()
        self._check_names(extents)
        params = self._params
        for path in (self.path, *extents):
            apply_to_new(path, owner=params["owner"], group=params["group"], mode=params["mode"])
        placed = [self._move(path) for path in extents]
        sync_folder(self._dest)
        whole = replace(record, files=[file_beside(path) for path in placed])
        fault_point("convert:before-publish")
        with replacing(self._dest, params["dest_before"], search_paths=params["search_paths"]):
            require_same_destination(params)
            publish_with_record(self.path, self._dest, whole)
        fault_point("convert:after-publish")
        # Only now the extents of the image that was replaced are nobody's.
        tidy(self._dest)
        fault_point("convert:after-tidy")

    def _check_names(self, extents: list[str]) -> None:
        """The descriptor must name just the files that are moved."""
        named = inspect_chain(self.path, declared="vmdk")[0].facts.extents
        if sorted(str(one.name) for one in named) != [os.path.basename(path) for path in extents]:
            raise EngineError(
                f"The descriptor of {self._dest} names other files than qemu-img made; it was thrown away."
            )

    def _move(self, path: str) -> str:
        """Give a finished extent its name, which nothing has."""
        final = os.path.join(os.path.dirname(self._dest), os.path.basename(path))
        sync_file(path)
        if os.path.lexists(final):
            raise Conflict(f"dest: {final} was made by somebody else in the meantime; it was left as it is.")
        fault_point("convert:before-extent")
        os.rename(path, final)
        fault_point("convert:after-extent")
        return final

    def discard(self) -> None:
        """Leave nothing that no descriptor names."""
        tidy(self._dest)
