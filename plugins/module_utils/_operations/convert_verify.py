# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fourth phase of a conversion: the new image is read back before it gets its name."""

from __future__ import annotations

from .._commands import Commands
from .._errors import EngineError
from .._formats.chain import inspect_chain
from .._formats.facts import ImageFacts
from .._formats.safety import verdict
from .._qemu.image import Image, QemuImg
from .convert_work import Work


def verify(work: Work) -> ImageFacts:
    """Format, size and tables by our parser; deep: QEMU's check and every guest byte. Raises EngineError."""
    chain = inspect_chain(work.target.path, declared=work.target.format)
    facts = chain[0].facts
    wrong = [found.message for _where, found in verdict(chain).refusals]
    if facts.format != work.target.format:
        wrong.append(f"its format is {facts.format}.")
    if facts.virtual_size != work.virtual_size:
        wrong.append(f"its virtual size is {facts.virtual_size} bytes, not {work.virtual_size}.")
    if not wrong and work.params["verify"] == "deep":
        wrong = _deep(work)
    if wrong:
        raise EngineError(
            f"The image converted from {work.source.path} is not what was asked for, and was thrown away: "
            + " ".join(wrong)
        )
    return facts


def _deep(work: Work) -> list[str]:
    engine = QemuImg(Commands())
    if engine.check(work.target).corrupt:
        return ["qemu-img check calls it corrupt."]
    if not engine.compare(Image(work.source.path, work.source.format), work.target):
        return ["its content differs from the source's."]
    return []
