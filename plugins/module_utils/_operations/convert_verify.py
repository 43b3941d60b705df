# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fourth phase of a conversion: the new image is read back before it gets its name."""

from __future__ import annotations

from dataclasses import replace

from .._commands import Commands
from .._errors import EngineError
from .._formats.chain import Link, inspect_chain
from .._formats.facts import ImageFacts
from .._formats.safety import verdict
from .._qemu.image import QemuImg
from .convert_images import is_encrypted, told_clearly
from .convert_work import Work


def verify(work: Work) -> ImageFacts:
    """Format, size and tables by our parser; deep: QEMU's check and every guest byte. Raises EngineError."""
    chain = inspect_chain(work.target.path, declared=work.target.format)
    below = work.source.files if work.params["method"] == "overlay" else ()
    declared = (*below, *work.place.beside())
    wrong = [found.message for _where, found in verdict(chain, allowed_backing=declared).refusals]
    wrong += _differences(work, chain[0])
    if not wrong and work.params["verify"] == "deep":
        wrong = _deep(work)
    if wrong:
        kept = "must not be used" if work.place.existing else "was thrown away"
        raise EngineError(
            f"The image converted from {work.source.path} is not what was asked for, and {kept}: " + " ".join(wrong)
        )
    return chain[0].facts


def _differences(work: Work, link: Link) -> list[str]:
    facts, size, wrong = link.facts, work.virtual_size, []
    if facts.format != work.target.format:
        wrong.append(f"its format is {facts.format}.")
    # A raw disk on a device has the device's size.
    larger = work.place.existing and facts.format == "raw" and facts.virtual_size > size
    if facts.virtual_size != size and not larger:
        wrong.append(f"its virtual size is {facts.virtual_size} bytes, not {size}.")
    if is_encrypted(link) != (work.params["encryption"] is not None):
        wrong.append(f"it is {'' if is_encrypted(link) else 'not '}encrypted.")
    return wrong


def _deep(work: Work) -> list[str]:
    engine, target = QemuImg(Commands()), work.target
    if work.place.existing and target.format == "raw":
        target = replace(target, length=work.virtual_size)
    if engine.check(target).corrupt:
        return ["qemu-img check calls it corrupt."]
    source = work.source_image
    with told_clearly(source, target.path):
        equal = engine.compare(source, target)
    return [] if equal else ["its content differs from the source's."]
