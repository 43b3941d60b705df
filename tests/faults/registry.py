# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A registry of the fault tests on a fleet host: Debian's, with TLS and a password, that can be killed and whose content can be damaged."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from host import Host, expect, wait_for

FOLDER = "/var/tmp/imageops-faults-images"
PORT, LINK_PORT, PEER_PORT, TOKEN_PORT = 5095, 5096, 5097, 5098
USER, PASSWORD = "faults", "only for the tests"
_UNIT, _LINK_UNIT = "imageops-faults-registry", "imageops-faults-link"
_BLOBS = f"{FOLDER}/registry/docker/registry/v2/blobs/sha256"
_ACCESS = {"url_username": USER, "url_password": PASSWORD, "ca_path": f"{FOLDER}/ca.pem"}

# Uploads that are under way outlive a restart by the secret.
_CONFIG = f"""version: 0.1
log: {{level: warn}}
storage:
  filesystem: {{rootdirectory: {FOLDER}/registry}}
  delete: {{enabled: true}}
http:
  addr: :{PORT}
  secret: of the tests
  tls: {{certificate: {FOLDER}/ca.pem, key: {FOLDER}/key.pem}}
auth:
  htpasswd: {{realm: test, path: {FOLDER}/users}}
"""


def access(**more: Any) -> dict[str, Any]:
    """Options of access to the registry."""
    return {**_ACCESS, **more}


def reference(tag: str, *, port: int = PORT) -> str:
    """An image in the registry, as this host reaches it itself."""
    return f"127.0.0.1:{port}/team/disk:{tag}"


def set_up(host: Host) -> None:
    """Make and start it; whatever was there is gone."""
    tear_down(host)
    names = f"subjectAltName=IP:127.0.0.1,IP:{host.address}"
    host.shell(
        f"mkdir -p {FOLDER}; cd {FOLDER}; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout key.pem"
        f" -out ca.pem -days 2 -subj /CN=test -addext {names} 2> /dev/null\n"
        f"echo '{PASSWORD}' | htpasswd -c -B -C 4 -i users {USER} 2> /dev/null\ncat > config.yml << 'END'\n{_CONFIG}END\n"
    )
    for name in ("cut_link.py", "catalog.py", "registry_catalog.py"):
        host.send(Path(__file__).parent / "on_host" / name, f"{FOLDER}/{name}")
    start(host)


def start(host: Host) -> None:
    """Start it; systemd starts it again whenever it dies."""
    host.shell(
        f"systemd-run -q --unit={_UNIT} --collect -p Restart=always -p RestartSec=1 docker-registry serve {FOLDER}/config.yml"
    )
    wait_for(lambda: answers(host), "an answer of the registry")


def answers(host: Host) -> bool:
    """Whether it listens."""
    return bool(host.shell(f"ss -Hltn 'sport = :{PORT}'").strip())


def stop(host: Host) -> None:
    host.shell(f"systemctl stop {_UNIT}.service")


def collect_garbage(host: Host) -> None:
    """Remove what nothing names; the registry is stopped meanwhile."""
    stop(host)
    host.shell(f"docker-registry garbage-collect {FOLDER}/config.yml > /dev/null 2>&1")
    start(host)


def kill(host: Host) -> None:
    """SIGKILL; a second later it is started again."""
    host.shell(f"systemctl kill -s KILL {_UNIT}.service")


def restart(host: Host) -> None:
    host.shell(f"systemctl restart {_UNIT}.service")


def tear_down(host: Host) -> None:
    """Stop and remove all of it."""
    host.shell(
        f"systemctl stop {_UNIT}.service {_LINK_UNIT}.service 2> /dev/null || true; umount {FOLDER}/registry 2> /dev/null || true;"
        f" rm -rf {FOLDER}"
    )


def link(host: Host, which: str, offsets: list[int]) -> None:
    """A link to the registry at LINK_PORT that is cut after so many bytes came from there, or went there, as `which` says."""
    words = " ".join(map(str, offsets))
    host.shell(
        f"systemctl stop {_LINK_UNIT}.service 2> /dev/null || true\n"
        f"systemd-run -q --unit={_LINK_UNIT} --collect python3 {FOLDER}/cut_link.py {LINK_PORT} {PORT} {FOLDER}/link.json {which} {words}\n"
        f"for turn in $(seq 100); do ss -ltn | grep -q ':{LINK_PORT} ' && break; sleep 0.1; done"
    )


def linked(host: Host) -> dict[str, int]:
    """How many bytes came and went through the link, and how often it was cut."""
    found: dict[str, int] = json.loads(host.shell(f"cat {FOLDER}/link.json"))
    return found


def data_of(digest: str) -> str:
    """The file in which the registry keeps a blob."""
    name = digest.partition(":")[2]
    return f"{_BLOBS}/{name[:2]}/{name}/data"


def manifest(host: Host, digest: str) -> dict[str, Any]:
    """A manifest as it lies there."""
    text = host.shell(f"cat {data_of(digest)}")
    expect(f"sha256:{hashlib.sha256(text.encode()).hexdigest()}" == digest, f"the manifest {digest} has another digest")
    found: dict[str, Any] = json.loads(text)
    return found


def packs(host: Host, digest: str) -> list[dict[str, Any]]:
    """The packs of an image, the largest first."""
    found: list[dict[str, Any]] = manifest(host, digest)["layers"][1:]
    return sorted(found, key=lambda layer: int(layer["size"]), reverse=True)
