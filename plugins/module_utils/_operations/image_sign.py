# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures of images made and removed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from .._catalog.digest import Descriptor
from .._catalog.reference import parse_reference
from .._catalog.signature import payload, read_signature, signature_artifact
from .._errors import InvalidOption
from .._faults import fault_point
from .._plan import KNOWN_AFTER, Plan, Step
from .._registry.artifacts import write_artifact
from .._registry.interface import Store
from .claims import claim_name
from .image_signature import Signature, signatures_of
from .image_stores import image_of, require_writable
from .operation import Operation, Tools
from .ssh_keygen import SshKeygen

PRESENT, ABSENT = "present", "absent"


def plan_sign(params: dict[str, Any], tools: Tools) -> Plan:
    """Plan for one image; raises InvalidOption, NotFound, Unsupported."""
    _require_paths(params)
    reference, store = image_of(params, tools)
    require_writable(store, option="image")
    subject = store.resolve(reference.version)
    signing = _Signing(store, subject, params, SshKeygen(tools.commands))
    again = claim_name(f"{signing.subject} with the key {signing.key}", tools, option="image", says=params["state"])
    plan = signing.plan_present() if params["state"] == PRESENT else signing.plan_absent()
    # Two tags may name one image: what the earlier item does is seen when it is done.
    return replace(plan, steps=(), provisional=True) if again else plan


def _require_paths(params: dict[str, Any]) -> None:
    if not params["key"]:
        raise InvalidOption("key: this is the file with the key that signs; give it.")
    for option in ("key", "agent_socket"):
        if params[option] and not os.path.isabs(params[option]):
            raise InvalidOption(f"{option}: '{params[option]}' is no absolute path.")
    if params["agent_socket"] and params["passphrase"]:
        raise InvalidOption(
            "passphrase: the key is held by an agent, which has no use for it; leave out one of the two."
        )


class _Signing:
    def __init__(self, store: Store, subject: Descriptor, params: dict[str, Any], keygen: SshKeygen) -> None:
        self._store = store
        self._subject = subject
        self._params = params
        self._keygen = keygen
        self.key = keygen.fingerprint(params["key"])
        self._found = signatures_of(store, subject.digest)

    @property
    def subject(self) -> str:
        """How messages name the image that is meant, whatever its tags."""
        return f"{self._store.where}@{self._subject.digest}"

    def plan_present(self) -> Plan:
        if any(self._counts(each) for each in self._found):
            return self._plan(self._found)
        # Signing changes nothing yet, and what speaks against it is told before anything is.
        text = payload(self._subject.digest)
        armoured = self._keygen.sign(
            self._params["key"],
            text,
            agent=self._params["agent_socket"] or "",
            passphrase=self._params["passphrase"] or "",
        )
        made = Signature(KNOWN_AFTER, armoured, read_signature(armoured, where=self._params["key"]))
        step = Step(f"sign {self._params['image']} with {made.key.fingerprint}", lambda: self._write(armoured))
        return self._plan([*self._found, made], step)

    def _counts(self, signature: Signature) -> bool:
        """Whether it is one by this key, and of this image: anybody can write a fingerprint."""
        return signature.key.fingerprint == self.key and self._keygen.is_true(
            signature.armoured, payload(self._subject.digest)
        )

    def _write(self, armoured: bytes) -> None:
        with self._store.publishing():
            # Meanwhile it may have been pruned.
            self._store.resolve(self._subject.digest)
            fault_point("sign:before-signature")
            write_artifact(self._store, signature_artifact(armoured, self._subject), armoured)

    def plan_absent(self) -> Plan:
        own = [each for each in self._found if each.key.fingerprint == self.key]
        steps = (Step(f"remove the signature of {self._params['image']} by {self.key}", lambda: self._remove(own)),)
        return self._plan([each for each in self._found if each not in own], *(steps if own else ()))

    def _remove(self, signatures: Iterable[Signature]) -> None:
        with self._store.publishing():
            for signature in signatures:
                fault_point("sign:before-removal")
                self._store.remove_manifest(signature.digest)

    def _plan(self, after: Iterable[Signature], *steps: Step) -> Plan:
        return Plan(
            item=self.subject,
            before=self._facts(self._found),
            after=self._facts(after),
            observe=lambda: self._facts(signatures_of(self._store, self._subject.digest)),
            steps=steps,
        )

    def _facts(self, signatures: Iterable[Signature]) -> dict[str, Any]:
        return {
            "image": self._params["image"],
            "digest": self._subject.digest,
            "key": self.key,
            "signatures": [each.as_dict() for each in signatures],
        }


def locks(params: dict[str, Any], tools: Tools) -> Iterable[str]:
    """Two tasks of this host never sign in one repository at once: a second one finds the signature of the first."""
    return [f"signatures:{parse_reference(params['image'], option='image').catalog}"]


OPERATION = Operation(plan=plan_sign, result="images", locks=locks)
