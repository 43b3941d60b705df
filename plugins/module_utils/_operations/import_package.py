# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An OVF package, in one archive or in a folder: what its descriptor tells, and whether its files are what it says that they are."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Callable

from .._commands import Commands
from .._errors import Conflict, EngineError, InvalidOption, NotFound, UnsafeImage, Unsupported
from .._portable.iso_reader import is_iso
from .._portable.manifest import parse_manifest
from .._portable.ovf_reader import Package, is_plain_name, read_descriptor
from .import_members import Part, parts_of_iso, parts_of_tar, text_of

_PIECE = 1 << 20
_ISO_HEAD = 34 << 10
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----\r?\n[A-Za-z0-9+/=\r\n]+-----END CERTIFICATE-----")
_SIGNATURE = re.compile(r"(SHA1|SHA256|SHA512)\s?\(([^()]{1,255})\)\s?=\s{0,4}((?:[0-9a-fA-F]{2}){16,4096})\s*")
_LONGEST_LIST = 1000
# All of them are open at once.
_MOST_LISTED = 256


@dataclass(frozen=True)
class OvfSource:
    """An open package: its descriptor's name, what that tells, and every file. `handles` are descriptors by path of the file that holds it."""

    shown: str
    descriptor: str
    package: Package
    parts: Mapping[str, Part]
    handles: Mapping[str, int]

    def part(self, name: str) -> Part:
        """The file called `name`; raises UnsafeImage when the package has none."""
        found = self.parts.get(name)
        if found is None:
            raise UnsafeImage(f"src: the package {self.shown} names {name!a}, and there is no such file.")
        return found

    def text(self, name: str) -> bytes:
        return text_of(self.part(name), self.handles[self.part(name).path], name=name)

    def beside(self, suffix: str) -> str:
        """The name of the manifest or the certificate, which have the descriptor's name; nothing without one."""
        name = self.descriptor[: -len(".ovf")]
        found = [one for one in self.parts if one.lower() == (name + suffix).lower()]
        return found[0] if found else ""


def descriptor_of_folder(folder: str) -> str:
    """The path of a folder's one descriptor; raises InvalidOption, or NotFound without one."""
    names = sorted(os.listdir(folder))[:_LONGEST_LIST]
    found = [name for name in names if name.lower().endswith(".ovf")]
    if not found:
        raise NotFound(
            f"src: there is no descriptor (.ovf) in the folder {folder}; give the path of a package, or of a disk."
        )
    if len(found) > 1:
        raise InvalidOption(
            f"src: there are several descriptors in {folder} ({', '.join(found[:3])}); give the path of one."
        )
    return os.path.join(folder, found[0])


@contextlib.contextmanager
def open_package(path: str) -> Iterator[OvfSource]:
    """The package that is the archive `path`, or belongs to the descriptor `path`; raises what speaks against it."""
    with contextlib.ExitStack() as stack:
        if path.lower().endswith(".ovf"):
            yield _of_files(path, stack)
        else:
            yield _of_archive(path, stack)


def _of_archive(path: str, stack: contextlib.ExitStack) -> OvfSource:
    handle = _open(path, stack)
    parts = parts_of_iso(handle, path) if is_iso(os.pread(handle, _ISO_HEAD, 0)) else parts_of_tar(handle, path)
    found = [name for name in parts if name.lower().endswith(".ovf")]
    if len(found) != 1:
        raise Unsupported(f"src: {path} has {len(found)} descriptors (.ovf), and an OVA has one.")
    text = text_of(parts[found[0]], handle, name=found[0])
    return checked(OvfSource(path, found[0], read_descriptor(text, where=path), parts, {path: handle}))


def _of_files(path: str, stack: contextlib.ExitStack) -> OvfSource:
    folder, name = os.path.split(path)
    handle = _open(path, stack)
    parts, handles = {name: Part(path, 0, os.fstat(handle).st_size)}, {path: handle}
    package = read_descriptor(text_of(parts[name], handle, name=name), where=path)
    base = name[: -len(".ovf")]
    source = OvfSource(path, name, package, parts, handles)

    def add(names: Iterable[str]) -> None:
        for other in names:
            beside = os.path.join(folder, other)
            if is_plain_name(other) and os.path.lexists(beside) and other not in parts:
                handles[beside] = _open(beside, stack)
                parts[other] = Part(beside, 0, os.fstat(handles[beside]).st_size)

    add([*(disk.file for disk in package.disks), f"{base}.mf", f"{base}.cert"])
    if f"{base}.mf" in parts:
        listed = parse_manifest(source.text(f"{base}.mf"), where=path)
        if len(listed) > _MOST_LISTED:
            raise UnsafeImage(f"src: the manifest of {path} lists more than {_MOST_LISTED} files.")
        add(listed)
    return checked(source)


def _open(path: str, stack: contextlib.ExitStack) -> int:
    """A regular file, and no link to one: a package holds its files itself."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if os.path.islink(path):
            raise UnsafeImage(
                f"src: {path} is a link, and a package holds its files itself; put the file there."
            ) from error
        raise
    stack.callback(os.close, handle)
    if not os.path.isfile(f"/proc/self/fd/{handle}"):
        raise UnsafeImage(f"src: {path} is no regular file.")
    return handle


def checked(source: OvfSource) -> OvfSource:
    """Raise UnsafeImage where the descriptor's sizes are not the files'."""
    for disk in source.package.disks:
        size = source.part(disk.file).size
        if disk.file_size not in (-1, size):
            raise UnsafeImage(
                f"src: the descriptor of {source.shown} says that {disk.file!a} has {disk.file_size} bytes, and it has {size}; get the "
                f"package again."
            )
    return source


def verify(source: OvfSource, *, trusted: str | None, report: Callable[[int], None]) -> dict[str, object]:
    """Compare every file with the manifest, and the manifest with its signature; what was proven, for the result.

    Raises UnsafeImage for what differs, and for a manifest that leaves out the descriptor or a disk.
    """
    name = source.beside(".mf")
    if not name:
        if trusted:
            raise UnsafeImage(f"src: {source.shown} has no manifest, so nothing in it is signed.")
        return {"manifest": False, "signed": False}
    text = source.text(name)
    listed = parse_manifest(text, where=source.shown)
    for needed in (source.descriptor, *(disk.file for disk in source.package.disks)):
        if needed not in listed:
            raise UnsafeImage(f"src: the manifest of {source.shown} leaves out {needed!a}, so nothing proves it.")
    signed = _verify_signature(source, name, text, trusted)
    done = 0
    for other, (algorithm, wanted) in listed.items():
        part = source.part(other)
        state = hashlib.new(algorithm)
        for at in range(0, part.size, _PIECE):
            data = os.pread(source.handles[part.path], min(_PIECE, part.size - at), part.offset + at)
            state.update(data)
            done += len(data)
            report(done)
        if state.hexdigest() != wanted:
            raise UnsafeImage(
                f"src: {other!a} in {source.shown} is not what the manifest says ({algorithm} {state.hexdigest()} instead of {wanted}); get "
                f"the package again, or ask who made it."
            )
    return {"manifest": True, "signed": signed}


def _verify_signature(source: OvfSource, name: str, manifest: bytes, trusted: str | None) -> bool:
    certificate = source.beside(".cert")
    if not certificate:
        if trusted:
            raise UnsafeImage(f"src: {source.shown} is not signed, and a signature is asked for.")
        return False
    data = source.text(certificate)
    pem, line = _PEM.search(data), _SIGNATURE.match(data[:16384].decode("latin-1"))
    if pem is None or line is None or line[2] != name:
        raise UnsafeImage(
            f"src: the certificate file of {source.shown} holds no certificate and signature of {name!a}."
        )
    with tempfile.TemporaryDirectory(prefix="imageops-cert-") as folder:
        paths = [os.path.join(folder, one) for one in ("certificate", "key", "signature", "manifest")]
        for path, content in ((paths[0], pem[0] + b"\n"), (paths[2], bytes.fromhex(line[3])), (paths[3], manifest)):
            with open(path, "wb") as stream:
                stream.write(content)
        run = Commands().output
        try:
            with open(paths[1], "w", encoding="ascii") as stream:
                stream.write(run(["openssl", "x509", "-in", paths[0], "-noout", "-pubkey"]))
            run(["openssl", "dgst", f"-{line[1].lower()}", "-verify", paths[1], "-signature", paths[2], paths[3]])
        except EngineError as error:
            raise UnsafeImage(f"src: the signature of {source.shown} does not fit its manifest: {error}") from None
        if trusted:
            nobody = os.path.join(folder, "nobody")
            os.mkdir(nobody)
            # Without that openssl trusts whom the host trusts for web sites too. A certificate that is named needs nobody above it.
            verify = [
                "env",
                f"SSL_CERT_DIR={nobody}",
                "openssl",
                "verify",
                "-partial_chain",
                "-CAfile",
                trusted,
                paths[0],
            ]
            try:
                run(verify)
            except EngineError as error:
                raise Conflict(
                    f"trusted_certificates: {source.shown} is signed by somebody whom {trusted} does not vouch for: {error}"
                ) from None
    return True
