# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A podman of the tree's own: storage, networks and locks are separate from any other podman on this machine."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
import subprocess
from pathlib import Path

# Debian 12's podman on cgroup v1 needs runc and cgroupfs; both also work elsewhere. Locks in files, because locks in
# shared memory are numbered for the whole machine.
CONFIGURATION = """\
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=10000:10000"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
tmp_dir = "{run}/tmp"
[network]
network_backend = "netavark"
network_config_dir = "{networks}"
"""


class Podman:
    """Runs podman on the storage under `base`, as root."""

    def __init__(self, base: Path) -> None:
        self.base = base / "podman"
        self.identity = hashlib.sha256(str(self.base).encode()).hexdigest()[:8]
        self.run_directory = Path("/run") / f"imageops-fleet-{self.identity}"
        self.configuration = base / "containers.conf"
        self.sudo = [] if os.geteuid() == 0 else ["sudo"]

    def prepare(self) -> None:
        self.base.mkdir(parents=True, exist_ok=True)
        self.configuration.write_text(CONFIGURATION.format(run=self.run_directory, networks=self.base / "networks"))

    def argv(self, *words: str) -> list[str]:
        environment = ["env", f"CONTAINERS_CONF={self.configuration}"]
        storage = ["--root", str(self.base / "storage"), "--runroot", str(self.run_directory / "run")]
        return [*self.sudo, *environment, "podman", *storage, *words]

    def call(self, *words: str, stdin: str | None = None) -> str:
        done = subprocess.run(self.argv(*words), input=stdin, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"fleet: podman {' '.join(words)} failed: {done.stderr.strip()}")
        return done.stdout

    def succeeds(self, *words: str) -> bool:
        return subprocess.run(self.argv(*words), capture_output=True, check=False).returncode == 0

    def inside(self, host: str, *words: str, stdin: str | None = None) -> str:
        return self.call("exec", "-i", host, *words, stdin=stdin)

    def name_bridge(self, network: str) -> None:
        """Podman 4.3 takes the first free podmanN, which a second tree would take too before either bridge is up."""
        path = self.base / "networks" / f"{network}.json"
        description = json.loads(subprocess.check_output([*self.sudo, "cat", str(path)]))
        description["network_interface"] = f"iof{self.identity}"
        text = json.dumps(description, indent=2)
        subprocess.run([*self.sudo, "tee", str(path)], input=text, text=True, stdout=subprocess.DEVNULL, check=True)

    def remove_all(self) -> None:
        """Containers, images, network, storage: nothing of this podman is left."""
        if self.base.exists():
            for words in (("rm", "-fav", "-t", "5"), ("network", "rm", "-f", "fleet"), ("system", "reset", "-f")):
                self.succeeds(*words)
        paths = [self.base, self.run_directory, self.configuration]
        subprocess.run([*self.sudo, "rm", "-rf", *map(str, paths)], check=True)


def free_subnet(seed: str) -> ipaddress.IPv4Network:
    """A /24 that no route of this machine touches; which one depends on the seed, so that it is stable."""
    routes = subprocess.run(["ip", "-4", "route", "show"], capture_output=True, text=True, check=True).stdout
    words = [word for line in routes.splitlines() for word in line.split()[:1] if word[0].isdigit()]
    taken = [ipaddress.IPv4Network(word, strict=False) for word in words]
    start = int(seed, 16)
    for offset in range(256):
        subnet = ipaddress.IPv4Network(f"10.119.{(start + offset) % 256}.0/24")
        if not any(subnet.overlaps(other) for other in taken):
            return subnet
    raise SystemExit("fleet: no free network between 10.119.0.0/24 and 10.119.255.0/24 on this machine.")
