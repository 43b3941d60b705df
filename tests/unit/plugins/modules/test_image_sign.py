# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.signature import (
    read_signature,
    signature_artifact,
)
from ansible_collections.imageops.fleet.plugins.module_utils._commands import Commands
from ansible_collections.imageops.fleet.plugins.module_utils._errors import InvalidOption, NotFound, UnsafeImage
from ansible_collections.imageops.fleet.plugins.module_utils._operations.image_pull_signed import signature_mark
from ansible_collections.imageops.fleet.plugins.module_utils._operations.image_signature import (
    Signer,
    require_signed,
    signatures_of,
)
from ansible_collections.imageops.fleet.plugins.module_utils._registry.artifacts import write_artifact
from ansible_collections.imageops.fleet.plugins.module_utils._registry.layout import LayoutStore
from ansible_collections.imageops.fleet.tests.unit.plain_images import publish
from ansible_collections.imageops.fleet.tests.unit.run_module import run_module

PASSPHRASE = "it's $a %s secret"


def make_key(folder: Path, name: str, *, passphrase: str = "") -> Path:
    path = folder / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", name, "-f", str(path)], check=True)
    return path


class Signing:
    """A repository with one image, and keys."""

    def __init__(self, folder: Path) -> None:
        self.store = LayoutStore(str(folder / "debian"))
        self.image = f"dir:{folder}/debian:12"
        self.digest = publish(self.store, "12", {0: b"twelve"})
        self.key, self.other = make_key(folder, "release"), make_key(folder, "other")
        self.allowed = folder / "allowed_signers"
        self.allow("release@example.org", self.key)

    def allow(self, principals: str, key: Path, options: str = "") -> None:
        public = key.with_name(f"{key.name}.pub").read_text(encoding="utf-8")
        self.allowed.write_text(f"{principals} {options} {public}", encoding="utf-8")

    def run(self, *, check: bool = False, **options: Any) -> dict[str, Any]:
        return run_module("image_sign", {"image": self.image, "key": str(self.key), **options}, check=check)

    def sign(self, **options: Any) -> dict[str, Any]:
        result = self.run(**options)
        assert not result.get("failed"), result["msg"]
        return dict(result["images"][0])

    def signer(self, identity: str | None = None) -> Signer:
        requirement = {"allowed_signers": str(self.allowed), "identity": identity}
        return require_signed(self.store, self.digest, requirement, Commands())

    def refusal(self, identity: str | None = None) -> str:
        with pytest.raises(UnsafeImage) as caught:
            self.signer(identity)
        return str(caught.value)


@pytest.fixture
def signing(tmp_path: Path, state_dir: Path) -> Signing:
    return Signing(tmp_path)


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Path]:
    socket = tmp_path / "agent.sock"
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and "SSH_AUTH_SOCK" in process.stdout.readline()
        yield socket
        process.terminate()


def test_a_signature_is_made_once(signing: Signing) -> None:
    made = signing.sign()
    assert made["changed"] and made["digest"] == signing.digest
    assert [each["key"] for each in made["signatures"]] == [made["key"]]
    assert made["signatures"][0]["type"] == "ssh-ed25519"
    again = signing.sign()
    assert not again["changed"] and again["signatures"] == made["signatures"]
    assert signing.signer() == Signer("release@example.org", made["key"])
    assert set(signing.store.tags()) == {"12"}


def test_check_mode_tells_who_would_sign(signing: Signing) -> None:
    (entry,) = signing.run(check=True)["images"]
    assert entry["changed"] and entry["signatures"][0]["digest"] == "(known after apply)"
    assert signatures_of(signing.store, signing.digest) == []


def test_two_names_of_an_image_are_signed_once(signing: Signing) -> None:
    descriptor, data = signing.store.manifest("12")
    signing.store.write_manifest(data, descriptor.media_type, tag="latest")
    images = [{"image": signing.image}, {"image": f"{signing.image[:-3]}:latest"}]
    options = {"images": images, "key": str(signing.key)}
    result = run_module("image_sign", options)
    assert [each["changed"] for each in result["images"]] == [True, False]
    assert len(result["images"][1]["signatures"]) == len(signatures_of(signing.store, signing.digest)) == 1
    assert not run_module("image_sign", options)["changed"]
    result = run_module("image_sign", {**options, "state": "absent"})
    assert [each["changed"] for each in result["images"]] == [True, False]
    assert signatures_of(signing.store, signing.digest) == []


@pytest.mark.parametrize("states", [("present", "absent"), ("absent", "present")])
def test_a_signature_is_made_or_removed(signing: Signing, states: tuple[str, str]) -> None:
    images = [{"image": signing.image, "state": state} for state in states]
    result = run_module("image_sign", {"images": images, "key": str(signing.key)})
    assert result["failed"] and "is named twice in the list" in result["msg"] and signing.digest in result["msg"]
    assert signatures_of(signing.store, signing.digest) == []


def test_two_sign_and_one_takes_it_back(signing: Signing) -> None:
    mine = signing.sign()
    assert len(signing.sign(key=str(signing.other))["signatures"]) == 2
    left = signing.sign(key=f"{signing.other}.pub", state="absent")
    assert left["changed"] and left["signatures"] == mine["signatures"]
    assert not signing.sign(key=f"{signing.other}.pub", state="absent")["changed"]


def test_a_key_that_is_locked(signing: Signing, tmp_path: Path) -> None:
    locked = make_key(tmp_path, "locked", passphrase=PASSPHRASE)
    assert signing.sign(key=str(locked), passphrase=PASSPHRASE)["changed"]
    assert not signing.sign(key=str(locked))["changed"]


@pytest.mark.parametrize("options", [{}, {"passphrase": "wrong"}])
def test_a_key_that_stays_locked(signing: Signing, tmp_path: Path, options: dict[str, str]) -> None:
    result = signing.run(key=str(make_key(tmp_path, "locked", passphrase=PASSPHRASE)), **options)
    assert "locked could not sign" in result["msg"] and "passphrase" in result["msg"]
    assert "wrong" not in str(result)
    assert signatures_of(signing.store, signing.digest) == []


def test_a_key_of_an_agent(signing: Signing, agent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
    public = signing.key.with_name("release.pub").rename(signing.key.with_name("public"))
    assert "agent_socket" in signing.run(key=str(public))["msg"]
    assert "check that the agent holds the key" in signing.run(key=str(public), agent_socket=str(agent))["msg"]
    subprocess.run(["ssh-add", "-q", str(signing.key)], check=True)
    assert signing.sign(key=str(public), agent_socket=str(agent))["changed"]
    assert signing.signer().identity == "release@example.org"


def test_who_signed_is_who_was_wanted(signing: Signing) -> None:
    signing.sign()
    assert signing.signer("release@*").identity == "release@example.org"
    assert "as 'ops@*'" in signing.refusal("ops@*")
    signing.allow("*@ops,a@b", signing.key)
    assert signing.signer("jo@ops").identity == "jo@ops"
    assert signing.signer("a@*").identity == "a@b"
    assert signing.refusal("jo@dev")


def test_nobody_is_not_anybody(signing: Signing) -> None:
    """A variable that came out empty must not let everybody of the file sign."""
    signing.sign()
    for ask in (
        signing.signer,
        lambda identity: signature_mark({"allowed_signers": str(signing.allowed), "identity": identity}),
    ):
        with pytest.raises(InvalidOption, match="identity: an empty text names nobody"):
            ask("")
        assert ask(None)


@pytest.mark.parametrize("path", ["", None, "signers"])
def test_a_file_of_allowed_signers_that_is_none(path: str | None) -> None:
    with pytest.raises(
        InvalidOption, match=r"require_signature: allowed_signers: '(signers)?' is no absolute path; give"
    ):
        signature_mark({"allowed_signers": path})


def test_not_signed(signing: Signing) -> None:
    assert "is not signed" in signing.refusal()


def test_signed_by_a_stranger(signing: Signing) -> None:
    stranger = signing.sign(key=str(signing.other))["key"]
    assert f"it was signed by {stranger}" in signing.refusal()
    signing.sign()
    assert signing.signer().identity == "release@example.org"


@pytest.mark.parametrize("options", ['namespaces="git"', 'valid-before="20200101"'])
def test_a_key_for_another_purpose_or_of_another_time(signing: Signing, options: str) -> None:
    signing.sign()
    signing.allow("release@example.org", signing.key, options)
    assert "no valid signature" in signing.refusal()


def test_a_signature_of_another_image(signing: Signing) -> None:
    """Anybody who may push can let a true signature refer to an image that it isn't of."""
    signing.sign()
    (good,) = signatures_of(signing.store, signing.digest)
    evil = publish(signing.store, "evil", {0: b"evil"})
    write_artifact(signing.store, signature_artifact(good.armoured, signing.store.resolve(evil)), good.armoured)
    signing.digest = evil
    assert "no valid signature" in signing.refusal()
    assert signing.sign(image=f"{signing.image[:-3]}:evil")["changed"]
    assert signing.signer().key == good.key.fingerprint


def test_rubbish_among_the_signatures(signing: Signing) -> None:
    for data in (b"rubbish", b"-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----"):
        write_artifact(signing.store, signature_artifact(data, signing.store.resolve("12")), data)
    assert "is not signed" in signing.refusal()
    signing.sign()
    assert signing.signer()


def test_a_signature_that_was_changed(signing: Signing, tmp_path: Path) -> None:
    signing.sign()
    (good,) = signatures_of(signing.store, signing.digest)
    blob = tmp_path / "debian/blobs/sha256"
    (path,) = (each for each in blob.iterdir() if each.read_bytes() == good.armoured)
    path.write_bytes(good.armoured.replace(b"A", b"B"))
    assert "is not signed" in signing.refusal()


def test_a_signature_for_another_purpose(signing: Signing) -> None:
    made = subprocess.run(
        ["ssh-keygen", "-q", "-Y", "sign", "-n", "git", "-f", str(signing.key)],
        input=signing.digest.encode(), capture_output=True, check=True,
    ).stdout  # fmt: skip
    assert read_signature(made, where="x").namespace == "git"
    write_artifact(signing.store, signature_artifact(made, signing.store.resolve("12")), made)
    assert "is not signed" in signing.refusal()


def test_the_file_of_allowed_signers_must_be_there(signing: Signing) -> None:
    with pytest.raises(NotFound, match="there is no file /none on this host"):
        require_signed(signing.store, signing.digest, {"allowed_signers": "/none"}, Commands())
    with pytest.raises(InvalidOption, match="no absolute path"):
        require_signed(signing.store, signing.digest, {"allowed_signers": "none"}, Commands())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key": None}, "key: this is the file with the key"),
        ({"key": "relative"}, "key: 'relative' is no absolute path"),
        ({"key": "/none"}, "key: /none is no file"),
        ({"key": "/etc/passwd"}, "key: /etc/passwd holds no SSH key"),
        ({"agent_socket": "x"}, "agent_socket: 'x' is no absolute path"),
        ({"agent_socket": "/x", "passphrase": "secret"}, "leave out one of the two"),
        ({"image": "debian"}, "image: debian names no registry"),
    ],
)
def test_refusals(signing: Signing, options: dict[str, Any], message: str) -> None:
    result = signing.run(**options)
    assert result["failed"] and message in result["msg"]


def test_what_is_not_there(signing: Signing, tmp_path: Path) -> None:
    assert "has no image '13'" in signing.run(image=f"dir:{tmp_path}/debian:13")["msg"]
