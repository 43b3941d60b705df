# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ssh-keygen's signatures. What is secret reaches it through memory that no name leads to."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Iterator

from .._catalog.signature import NAMESPACE
from .._commands import Commands
from .._errors import EngineError, InvalidOption, NotFound

_PROGRAM = "ssh-keygen"
# An agent may ask its user.
_SECONDS = 120.0
_LISTED = re.compile(r"\d+ (\S+) .*\((\S+)\)")


class SshKeygen:
    """Signs and verifies texts in the namespace of images."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    def fingerprint(self, key: str) -> str:
        """The fingerprint of a private or public key in a file; raises NotFound, or InvalidOption for what is no key."""
        if not os.path.isfile(key):
            raise NotFound(f"key: {key} is no file on this host.")
        with _refused(
            f"key: {key} holds no SSH key that ssh-keygen reads without a passphrase; put its public half beside it."
        ):
            listed = self._output([_PROGRAM, "-l", "-f", key])
        found = _LISTED.match(listed.strip())
        if not found:
            raise EngineError(f"{_PROGRAM} told no fingerprint of {key}.", stdout=listed[:2000])
        return found.group(1)

    def sign(self, key: str, text: str, *, agent: str = "", passphrase: str = "") -> bytes:
        """An armoured signature of `text`, by a private key, or by an agent that holds the private half of the public `key`."""
        settings = [f"SSH_AUTH_SOCK={agent}"] if agent else ["-u", "SSH_AUTH_SOCK"]
        way_out = (
            "check the passphrase" if passphrase
            else "check that the agent holds the key" if agent
            else "a key that is locked needs passphrase, and one that an agent holds agent_socket"
        )  # fmt: skip
        with _refused(f"key: {key} could not sign; {way_out}."), _asking(passphrase) as (asking, handles):
            argv = ["env", *settings, *asking, _PROGRAM, "-q", "-Y", "sign", "-n", NAMESPACE, "-f", key]
            return self._output(argv, stdin=text, handles=handles).encode()

    def is_true(self, armoured: bytes, text: str) -> bool:
        """Whether the signature is one of `text`, whoever made it."""
        return self._says_yes(["-Y", "check-novalidate"], armoured, text)

    def principals(self, armoured: bytes, allowed_signers: str) -> list[str]:
        """Whom the file of allowed signers names as owners of the key that made the signature."""
        with _in_memory(armoured, "signature") as (path, handle):
            argv = [_PROGRAM, "-Y", "find-principals", "-s", path, "-f", allowed_signers]
            try:
                found = self._output(argv, handles=(handle,))
            except EngineError:
                return []
        names = [name.strip() for line in found.splitlines() for name in line.split(",")]
        return [name for name in dict.fromkeys(names) if name and not name.startswith("!")]

    def verifies(self, armoured: bytes, text: str, *, allowed_signers: str, identity: str) -> bool:
        """Whether the signature is one of `text` by a key of `identity`."""
        return self._says_yes(["-Y", "verify", "-f", allowed_signers, "-I", identity], armoured, text)

    def _says_yes(self, options: list[str], armoured: bytes, text: str) -> bool:
        with _in_memory(armoured, "signature") as (path, handle):
            try:
                self._output([_PROGRAM, *options, "-n", NAMESPACE, "-s", path], stdin=text, handles=(handle,))
            except EngineError:
                return False
        return True

    def _output(self, argv: list[str], *, stdin: str = "", handles: tuple[int, ...] = ()) -> str:
        return self._commands.output(argv, stdin=stdin, pass_fds=handles, timeout=_SECONDS)


@contextlib.contextmanager
def _in_memory(content: bytes, name: str) -> Iterator[tuple[str, int]]:
    """A file that is in no folder: the path by which a program that inherits the descriptor opens it."""
    handle = os.memfd_create(f"imageops-{name}")
    try:
        os.write(handle, content)
        yield f"/proc/self/fd/{handle}", handle
    finally:
        os.close(handle)


@contextlib.contextmanager
def _asking(passphrase: str) -> Iterator[tuple[list[str], tuple[int, ...]]]:
    """What makes ssh-keygen take the passphrase from us, by the program that it asks for one; without any it asks nobody."""
    if not passphrase:
        yield ["SSH_ASKPASS_REQUIRE=never"], ()
        return
    script = f"#!/bin/sh\nprintf '%s\\n' {shlex.quote(passphrase)}\n".encode()
    with _in_memory(script, "askpass") as (path, handle):
        yield ["SSH_ASKPASS_REQUIRE=force", f"SSH_ASKPASS={path}"], (handle,)


@contextlib.contextmanager
def _refused(sentence: str) -> Iterator[None]:
    try:
        yield
    except EngineError as error:
        raise InvalidOption(f"{sentence} ({error})", **error.details) from None
