# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backing chain that shall be changed: read by our parsers, refused unless every layer can be handled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._errors import Conflict, UnsafeImage, Unsupported
from .._files import real_path, require_regular
from .._formats.chain import BACKING, IMAGE, Link, backing_path, inspect_chain
from .._formats.facts import Finding
from .._formats.safety import verdict
from .._qemu.image import Image
from .disk_chain_request import Backing, ChainRequest
from .inspection import Inspected, inspect_named, recorded_backing

# What an unsafe rebase is the cure for: the header names a file that is gone, or names it badly.
_CURED = (
    "backing-missing",
    "backing-file",
    "backing-format-missing",
    "backing-format-unknown",
    "backing-protocol",
    "chain-loop",
)


def read_chain(request: ChainRequest) -> list[Link]:
    """The layers from the image down to its base; raises NotFound, UnsafeImage, Conflict or Unsupported."""
    require_regular(request.path, option="path")
    links = inspect_chain(request.path)
    below = request.backing
    allowed = {*request.allowed, *recorded_backing([link.real_path for link in links])}
    _refuse(links, allowed, cured=_cured(links[0], below))
    layers = [link for link in links if link.role in (IMAGE, BACKING)]
    if len(layers) != len(links):
        raise Unsupported(
            f"path: the chain of {request.path} keeps guest data in {links[-1].real_path} besides its layers, and such chains "
            f"aren't changed; convert the image with imageops.fleet.disk_convert."
        )
    _require_handled(layers)
    return layers


def _cured(top: Link, below: Backing | None) -> Sequence[str]:
    """The rules that don't count: of the header alone is read what an unsafe rebase replaces."""
    if below is None:
        return ()
    if below.unsafe:
        return _CURED
    named = top.facts.backing
    same = named is not None and named.format is None and _leads_to(top, below.path)
    # The caller says which format the file has that the header already names.
    return ("backing-format-missing", "backing-file") if same and below.format else ()


def _leads_to(top: Link, path: str) -> bool:
    named = top.facts.backing
    return named is not None and real_path(backing_path(top.path, named.name)) == path


def _refuse(links: Sequence[Link], allowed: set[str], *, cured: Sequence[str]) -> None:
    top = links[0].path
    wrong: list[tuple[str, Finding]] = [
        (where, found)
        for where, found in verdict(links, allowed_backing=allowed).refusals
        if not (where == top and found.rule in cured)
    ]
    if cured and "backing-missing" in cured:
        wrong = [(where, found) for where, found in wrong if where == top]
    if not wrong:
        return
    rules = {found.rule for _where, found in wrong}
    way = " Name these files in 'chain' if it may use them." if "backing-file" in rules else ""
    if "backing-missing" in rules:
        way += " To name another backing file without reading the old one, give 'backing' with 'unsafe: true'."
    raise UnsafeImage(
        f"path: the chain of {top} is not safe to change: {' '.join(found.message for _where, found in wrong)}{way}",
        findings=[found.__dict__ for _where, found in wrong],
    )


def _require_handled(layers: Sequence[Link]) -> None:
    top = layers[0]
    if top.facts.format != "qcow2":
        raise Unsupported(
            f"path: {top.real_path} is a {top.facts.format} image, and only chains of qcow2 overlays are changed; convert it with "
            f"imageops.fleet.disk_convert."
        )
    for layer in layers:
        if layer.facts.encryption:
            raise Unsupported(
                f"path: the layer {layer.real_path} is encrypted ({layer.facts.encryption}), and such chains aren't changed; "
                f"convert the image with imageops.fleet.disk_convert."
            )
    if top.facts.snapshots:
        names = ", ".join(snapshot.name for snapshot in top.facts.snapshots[:5])
        raise Unsupported(
            f"path: {top.real_path} holds internal snapshots ({names}), which read from the backing file too and would be "
            f"spoiled; delete them first (imageops.fleet.disk_snapshot)."
        )


def read_backing(declared: Backing, path: str) -> Inspected:
    """The declared backing file of `path`; its format is declared, in our record, or told by its own signature."""
    found = inspect_named(
        declared.path,
        declared=declared.format,
        backing=declared.chain,
        option="backing.path",
        named_by="backing.format",
    )
    if path in found.files:
        raise Conflict(f"backing.path: {declared.path} rests on {path} itself; give another path.")
    return found


def images_of(layers: Sequence[Link]) -> list[Image]:
    """The layers for an engine, each with the format that was inspected."""
    return [Image(layer.real_path, layer.facts.format) for layer in layers]


def shown(layers: Sequence[Link]) -> list[dict[str, Any]]:
    """A chain as results show it."""
    return [
        {
            "path": layer.real_path,
            "format": layer.facts.format,
            "virtual_size": layer.facts.virtual_size,
            "allocated_size": layer.allocated_size,
        }
        for layer in layers
    ]
