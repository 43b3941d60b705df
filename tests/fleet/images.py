# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The root file systems of the fleet's hosts: what is in them, and how they are made once and kept."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CUSTOMIZE = Path(__file__).with_name("customize")
# Another mirror than the one that mmdebstrap takes by itself.
MIRROR = os.environ.get("IMAGEOPS_MIRROR", "")

PACKAGES = [
    "acl",
    "apparmor",
    "attr",
    "ca-certificates",
    "dbus",
    "dnsmasq-base",
    "e2fsprogs",
    "gpg",
    "gpg-agent",
    "iproute2",
    "iptables",
    "kmod",
    "libdeflate0",
    "libvirt-clients",
    "libvirt-daemon-config-network",
    "libvirt-daemon-system",
    "nftables",
    "openssh-server",
    "ovmf",
    "procps",
    "python3",
    "python3-apt",
    "python3-libnbd",
    "python3-libvirt",
    "python3-lxml",
    "python3-pip",
    "python3-pycdlib",
    "python3-zstandard",
    "qemu-block-extra",
    "qemu-system-x86",
    "qemu-utils",
    "rsync",
    "sudo",
    "swtpm",
    "swtpm-tools",
    "systemd",
    "systemd-sysv",
    "util-linux",
    "xfsprogs",
    "xz-utils",
    "zstd",
]

# libguestfs and the kernel that it starts are on one of the hosts only: what needs them is tested there, and doing without them on
# the other one.
MORE_PACKAGES = {"bookworm": ["guestfish", "guestfs-tools", "linux-image-cloud-amd64"], "trixie": ["python3-isal"]}

# Documentation is half of a minimal system and nobody reads it here.
DPKG_OPTIONS = (
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/doc/*",
    "path-exclude=/usr/share/locale/*",
    "force-unsafe-io",
)


def sources_of(suite: str) -> list[str]:
    """Package sources for mmdebstrap; without any it takes Debian's own of the suite."""
    if not MIRROR:
        return []
    return [
        f"deb {MIRROR}/debian {suite} main",
        f"deb {MIRROR}/debian {suite}-updates main",
        f"deb {MIRROR}/debian-security {suite}-security main",
    ]


@dataclass(frozen=True)
class Recipe:
    """One host's root file system; `image` is the host that it is made for, where another one shares it."""

    host: str
    suite: str
    number: int  # last part of its address
    image: str = ""

    @property
    def sources(self) -> list[str]:
        return sources_of(self.suite)

    @property
    def packages(self) -> list[str]:
        """What is installed besides the minimal system."""
        return [*PACKAGES, *MORE_PACKAGES.get(self.suite, [])]

    @property
    def digest(self) -> str:
        parts = [self.suite, *self.sources, *self.packages, *DPKG_OPTIONS, CUSTOMIZE.read_text()]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]

    @property
    def tag(self) -> str:
        return f"localhost/{self.image or self.host}:{self.digest}"

    def archive(self, directory: Path) -> Path:
        return directory / f"{self.host}-{self.digest}.tar"

    def command(self, target: Path) -> list[str]:
        return [
            "mmdebstrap", "--quiet", "--variant=minbase", "--format=tar",
            f"--include={','.join(self.packages)}",
            *(f"--dpkgopt={option}" for option in DPKG_OPTIONS),
            f"--customize-hook={CUSTOMIZE}",
            self.suite, str(target), *self.sources,
        ]  # fmt: skip


RECIPES = (Recipe("deb12", "bookworm", 12), Recipe("deb13", "trixie", 13))


def build(recipes: Sequence[Recipe], directory: Path, sudo: list[str]) -> list[Path]:
    """Make the archives of these hosts at the same time; those of older recipes go. Returns what was made."""
    directory.mkdir(parents=True, exist_ok=True)
    running = []
    for recipe in recipes:
        for stale in directory.glob(f"{recipe.host}-*"):
            subprocess.run([*sudo, "rm", "-f", str(stale)], check=True)
        archive = recipe.archive(directory)
        partial = archive.with_suffix(".partial.tar")
        running.append((archive, partial, subprocess.Popen([*sudo, *recipe.command(partial)])))
    failed = [archive.name for archive, _partial, process in running if process.wait() != 0]
    if failed:
        raise SystemExit(f"fleet: mmdebstrap could not make {', '.join(failed)}; its messages are above.")
    for archive, partial, _process in running:
        subprocess.run([*sudo, "mv", str(partial), str(archive)], check=True)
    return [archive for archive, _partial, _process in running]
