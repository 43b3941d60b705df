# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a check of an image is asked to do: options checked, images inspected, damage told from danger."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import Any

from .._errors import InvalidOption, Unsupported
from .._files import real_path, require_regular
from .._formats.chain import Link, inspect_chain, open_image
from .._formats.facts import Finding
from .._formats.names import canonical_format
from .._formats.qcow2_header import read_header
from .._formats.reader import Reader
from .._formats.safety import verdict
from .._jobs.launch import Job
from .._jobs.state import digest
from .inspection import Inspected, identity_of, inspect, recorded_backing
from .long_work import bandwidth_of, check_timeout

# The kind of the jobs that read.
READ = "read"
# What a broken image shows; none of it lets an engine open another file, as long as the header names none.
_DAMAGE = ("truncated", "shared-table", "table-bounds", "table-overlap")
_FLAGGED = "corrupt"
_DATA_FILE = 4


@dataclass(frozen=True)
class CheckRequest:
    """The image, and what else is read. `damage` is what our parser found broken."""

    image: Inspected
    damage: tuple[Finding, ...]
    findings: tuple[Finding, ...]
    other: Inspected | None
    params: dict[str, Any]

    @property
    def flagged(self) -> bool:
        """Whether the image says of itself that it is corrupt, or that it was not closed."""
        facts = self.image.chain[0].facts
        return facts.corrupt or facts.dirty

    @property
    def reads_content(self) -> bool:
        return bool(self.other or self.params["checksum"])

    @property
    def needs_nbd(self) -> bool:
        """Whether the content is another one than the file's, or the place of a difference is to be found."""
        return self.other is not None or self.image.format != "raw"

    def read_job(self) -> Job:
        """The job that compares and computes; equal requests of unchanged files give equal jobs."""
        params = {
            "image": _described(self.image),
            "other": _described(self.other) if self.other else None,
            "checksum": self.params["checksum"],
            "bandwidth": bandwidth_of(self.params),
        }
        return Job(READ, self.image.path, params, _read_entry, question=question_of(self.params))


def question_of(params: dict[str, Any]) -> str:
    """What tells the questions about one image's content apart, by the options alone; empty when its content isn't asked about."""
    if params["repair"] != "none" or not (params["compare_to"] or params["checksum"]):
        return ""
    other = real_path(params["compare_to"]) if params["compare_to"] else None
    asked = ("format", "compare_format", "checksum", "bandwidth")
    return digest({"compare_to": other, **{name: params[name] for name in asked}})


def _read_entry() -> str:
    from . import disk_check_read_job

    return disk_check_read_job.__name__


def read_request(params: dict[str, Any]) -> CheckRequest:
    """Check the options and inspect; raises InvalidOption, NotFound, Conflict or UnsafeImage."""
    _check_options(params)
    image, damage = _tolerant(params)
    other = None
    if params["compare_to"]:
        other = inspect(
            params["compare_to"],
            declared=params["compare_format"],
            backing=params["compare_backing"] or (),
            option="compare_to",
        )
    request = CheckRequest(image, damage, image.chain[0].facts.findings, other, params)
    if request.reads_content:
        _require_readable(request)
    return request


def _check_options(params: dict[str, Any]) -> None:
    for option in ("path", "compare_to"):
        if params[option] and not os.path.isabs(params[option]):
            raise InvalidOption(
                f"{option}: '{params[option]}' is not an absolute path; give one that starts with a slash."
            )
    check_timeout(params)
    for option in ("compare_format", "compare_backing", "strict", "require_equal"):
        if params[option] and not params["compare_to"]:
            raise InvalidOption(
                f"{option}: says how to compare, and 'compare_to' names nothing to compare with; give it."
            )
    if params["repair"] != "none" and (params["compare_to"] or params["checksum"]):
        raise InvalidOption(
            f"repair: '{params['repair']}' can't be combined with 'compare_to' or 'checksum'; use two tasks."
        )
    if params["backup"] is not None and params["repair"] == "none":
        raise InvalidOption("backup: nothing is repaired, so nothing is kept; give 'repair' too.")
    _check_expected(params)


def _check_expected(params: dict[str, Any]) -> None:
    expected, algorithm = params["expect"], params["checksum"]
    if expected is None:
        return
    if not algorithm:
        raise InvalidOption("expect: says what the checksum shall be, and 'checksum' names no algorithm; give it.")
    digits = hashlib.new(algorithm).digest_size * 2
    if len(expected) != digits or set(expected.lower()) - set("0123456789abcdef"):
        raise InvalidOption(f"expect: '{expected}' is no {algorithm} checksum; give its {digits} hexadecimal digits.")


def _tolerant(params: dict[str, Any]) -> tuple[Inspected, tuple[Finding, ...]]:
    """The image, and what is broken in it; raises as `inspect` does for all that isn't mere damage."""
    backing = params["backing"] or ()
    real = real_path(params["path"])
    require_regular(real, option="path")
    declared = canonical_format(params["format"]) if params["format"] else None
    chain = inspect_chain(real, declared=declared)
    allowed = {real_path(name) for name in backing} | recorded_backing([link.real_path for link in chain])
    refused = verdict(chain, allowed_backing=allowed).refusals
    damage = tuple(found for where, found in refused if where == chain[0].path and _is_damage(found, chain[0]))
    if not damage or len(damage) < len(refused):
        return inspect(params["path"], declared=params["format"], backing=backing), ()
    facts, files = chain[0].facts, tuple(link.real_path for link in chain)
    return Inspected(real, facts.format, facts.virtual_size, files, tuple(chain), tuple(identity_of(files))), damage


def _is_damage(found: Finding, link: Link) -> bool:
    return found.rule == _FLAGGED or (found.rule in _DAMAGE and link.facts.format == "qcow2" and _stands_alone(link))


def _stands_alone(link: Link) -> bool:
    """Whether the header names no other file; asked of the header itself, since damage may have ended the parser early."""
    with open_image(link.real_path) as image:
        header = read_header(Reader(image.stream, image.size))
    return not header.backing_offset and not header.incompatible & _DATA_FILE


def _require_readable(request: CheckRequest) -> None:
    """Raise for content that can't be read, or that would not be what a guest sees."""
    if request.damage:
        inspect(request.params["path"], declared=request.params["format"], backing=request.params["backing"] or ())
    for image, option in ((request.image, "path"), (request.other, "compare_to")):
        if image and any(link.facts.encryption for link in image.chain):
            raise Unsupported(
                f"{option}: {image.path} is encrypted, and the content of such images can't be read here."
            )


def _described(image: Inspected) -> dict[str, Any]:
    """An image as a job gets it."""
    return {
        "path": image.path,
        "format": image.format,
        "size": image.virtual_size,
        "backing": sorted(image.files[1:]),
        "files": image.identity(),
    }
