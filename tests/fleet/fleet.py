# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo fleet: two hypervisor hosts (systemd, sshd, libvirtd, QEMU) in containers, reached over SSH as any host.

Everything lives under .build/fleet of this tree; `down` leaves nothing behind.
"""

from __future__ import annotations

import argparse
import ipaddress
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from images import RECIPES, Recipe, build
from podman import Podman, free_subnet

BASE = Path(__file__).resolve().parents[2] / ".build" / "fleet"
KEY = BASE / "id_ed25519"
KNOWN_HOSTS = BASE / "known_hosts"
INVENTORY = BASE / "inventory.yml"
# More hosts, for measurements only.
MORE_INVENTORY = BASE / "more.yml"
MORE_KNOWN_HOSTS = BASE / "more_known_hosts"
MOST_MORE, FIRST_MORE = 32, 101
# A host without lists of packages, whose folder looks as new as the host: apt's module would think that they have just been fetched.
FORGET_LISTS = "ls /var/lib/apt/lists/*_Packages* >/dev/null 2>&1 || touch -d @0 /var/lib/apt/lists"
BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
# QEMU's files: not on the container's layered root, but on this machine's own file system.
VOLUMES = ("/var/lib/libvirt", "/var/lib/imageops", "/var/tmp")

INVENTORY_HEAD = """\
# Written by tests/fleet/fleet; fleet down removes it.
{group}:
  vars:
    ansible_user: root
    ansible_python_interpreter: /usr/bin/python3
    ansible_ssh_pipelining: true
    ansible_ssh_private_key_file: {key}
    ansible_ssh_common_args: >-
      -o UserKnownHostsFile={known_hosts} -o StrictHostKeyChecking=yes -o IdentitiesOnly=yes
      -o ControlMaster=auto -o ControlPersist=120s
  hosts:
"""


def say(text: str) -> None:
    print(f"fleet: {text}", flush=True)


def make_key() -> None:
    if not KEY.exists():
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "imageops demo fleet", "-f", str(KEY)]
        subprocess.run(command, check=True)


def make_network(podman: Podman) -> None:
    if not podman.succeeds("network", "exists", "fleet"):
        podman.call("network", "create", "--subnet", str(free_subnet(podman.identity)), "--disable-dns", "fleet")
        podman.name_bridge("fleet")


def address(podman: Podman, host: str) -> str:
    template = '{{(index .NetworkSettings.Networks "fleet").IPAddress}}'
    return podman.call("inspect", "--type", "container", "--format", template, host).strip()


def import_image(podman: Podman, recipe: Recipe) -> None:
    if not podman.succeeds("image", "exists", recipe.tag):
        podman.call("import", "--quiet", str(recipe.archive(BASE / "images")), recipe.tag)


def start(podman: Podman, recipe: Recipe) -> None:
    podman.succeeds("rm", "-fv", "-t", "5", recipe.host)  # one that stopped, after a reboot for instance
    volumes = [word for path in VOLUMES for word in ("-v", path)]
    subnet = ipaddress.IPv4Network(
        podman.call("network", "inspect", "fleet", "--format", "{{(index .Subnets 0).Subnet}}").strip()
    )
    address = subnet[recipe.number]
    # A host that is made anew has the address of the old one; with another MAC nobody would find it for a quarter of a minute.
    mac = f"02:42:{address.packed.hex(':')}"
    place = ("--hostname", recipe.host, "--network", "fleet", "--ip", str(address), "--mac-address", mac)
    podman.call(
        "run",
        "-d",
        "--privileged",
        "--systemd=always",
        "--name",
        recipe.host,
        *place,
        *volumes,
        recipe.tag,
        "/sbin/init",
    )


def wait_booted(podman: Podman, host: str, timeout: float = 600) -> None:
    deadline = time.monotonic() + timeout
    ready = "systemctl is-active -q ssh.service && systemctl is-active -q libvirtd.socket"
    while not podman.succeeds("exec", host, "sh", "-c", ready):
        if time.monotonic() > deadline:
            failed = podman.call("exec", host, "systemctl", "--no-pager", "list-units", "--failed", "--no-legend")
            raise SystemExit(f"fleet: {host} did not start within {timeout:.0f} s. Failed units: {failed or 'none'}")
        time.sleep(0.3)


def admit(podman: Podman, host: str) -> str:
    """Let our key in; returns the known_hosts line, read inside the host and not over the network."""
    public = KEY.with_suffix(".pub").read_text()
    podman.inside(host, "install", "-D", "-m", "0600", "/dev/stdin", "/root/.ssh/authorized_keys", stdin=public)
    if BUNDLE.exists():  # whom this machine trusts (an authority of the site, say), the hosts trust
        podman.inside(host, "sh", "-c", f"cat > {BUNDLE}", stdin=BUNDLE.read_text())
    podman.inside(host, "sh", "-c", FORGET_LISTS)
    host_key = podman.inside(host, "cat", "/etc/ssh/ssh_host_ed25519_key.pub").split()
    return f"{address(podman, host)} {host_key[0]} {host_key[1]}\n"


def write_access(
    podman: Podman,
    recipes: Sequence[Recipe] = RECIPES,
    *,
    group: str = "hypervisors",
    inventory: Path = INVENTORY,
    known_hosts: Path = KNOWN_HOSTS,
) -> None:
    known_hosts.write_text("".join(admit(podman, recipe.host) for recipe in recipes))
    hosts = "".join(f"    {r.host}:\n      ansible_host: {address(podman, r.host)}\n" for r in recipes)
    inventory.write_text(INVENTORY_HEAD.format(group=group, key=KEY, known_hosts=known_hosts) + hosts)


def make_images(podman: Podman, recipes: Sequence[Recipe] = RECIPES) -> None:
    started = time.monotonic()
    missing = [recipe for recipe in recipes if not recipe.archive(BASE / "images").exists()]
    if missing:
        say("making the hosts' file systems from Debian packages, about a minute")
    for archive in build(missing, BASE / "images", podman.sudo):
        say(f"made {archive.name} ({archive.stat().st_size >> 20} MiB, {time.monotonic() - started:.0f} s)")


def running(podman: Podman, recipe: Recipe) -> bool:
    """A host that runs an older recipe keeps running: it may hold somebody's VMs."""
    # ps without -a lists what runs
    image = podman.call("ps", "--filter", f"name=^{recipe.host}$", "--format", "{{.Image}}").strip()
    if image not in ("", recipe.tag):
        say(f"{recipe.host} runs an older image than tests/fleet describes; 'down', then 'up' renews it")
    return bool(image)


def up(podman: Podman) -> None:
    podman.prepare()
    wanted = [recipe for recipe in RECIPES if not running(podman, recipe)]
    make_images(podman, wanted)
    make_key()
    make_network(podman)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda recipe: import_image(podman, recipe), wanted))
    for recipe in wanted:
        start(podman, recipe)
    for recipe in RECIPES:
        wait_booted(podman, recipe.host)
    if wanted or not INVENTORY.exists():
        write_access(podman)
    say(f"started {' and '.join(recipe.host for recipe in wanted)}" if wanted else "already up, nothing to do")


def more_hosts(number: int) -> list[Recipe]:
    """Hosts like the first one, with names and addresses of their own."""
    first = RECIPES[0]
    return [replace(first, host=f"more{n + 1}", number=FIRST_MORE + n, image=first.host) for n in range(number)]


def more(podman: Podman, number: int) -> None:
    """Just so many hosts beside the two, in an inventory of their own; none with 0."""
    for stale in more_hosts(MOST_MORE)[number:]:
        if podman.succeeds("container", "exists", stale.host):
            podman.call("rm", "-fv", "-t", "5", stale.host)
    wanted = more_hosts(number)
    if not wanted:
        MORE_INVENTORY.unlink(missing_ok=True)
        MORE_KNOWN_HOSTS.unlink(missing_ok=True)
        return
    for recipe in wanted:
        if not running(podman, recipe):
            start(podman, recipe)
    for recipe in wanted:
        wait_booted(podman, recipe.host)
    write_access(podman, wanted, group="more_hosts", inventory=MORE_INVENTORY, known_hosts=MORE_KNOWN_HOSTS)
    say(f"{number} more hosts are up: {MORE_INVENTORY}")


def ssh_argv(podman: Podman, host: str, command: list[str]) -> list[str]:
    options = [f"UserKnownHostsFile={KNOWN_HOSTS}", "IdentitiesOnly=yes", "BatchMode=yes", "ConnectTimeout=10"]
    words = [word for option in options for word in ("-o", option)]
    return ["ssh", "-i", str(KEY), *words, f"root@{address(podman, host)}", *command]


def ssh(podman: Podman, host: str, command: list[str]) -> None:
    argv = ssh_argv(podman, host, command)
    os.execvp(argv[0], argv)


def status(podman: Podman) -> None:
    if not INVENTORY.exists():
        raise SystemExit("fleet: not up; start it with tests/fleet/fleet up")
    probe = (
        ". /etc/os-release; echo \"$PRETTY_NAME\"; virsh version --daemon | awk '/^Using library|^Running hypervisor/ {print $NF}';"
        " test -c /dev/kvm && echo KVM || echo TCG; virsh list --all --name | grep -c . || true"
    )
    print(f"{'host':8}{'address':16}{'system':34}{'libvirt':10}{'QEMU':10}{'accel':7}{'VMs'}")
    for recipe in RECIPES:
        where = address(podman, recipe.host)
        system, libvirt, qemu, accel, count = subprocess.check_output(
            ssh_argv(podman, recipe.host, [probe]), text=True
        ).split("\n")[:5]
        print(f"{recipe.host:8}{where:16}{system:34}{libvirt:10}{qemu:10}{accel:7}{count}")
    print(f"inventory: {INVENTORY}")


def down(podman: Podman, keep_images: bool) -> None:
    podman.remove_all()
    kept = BASE / "images"
    if not keep_images:
        subprocess.run([*podman.sudo, "rm", "-rf", str(BASE)], check=True)
    elif BASE.exists():
        for path in set(BASE.iterdir()) - {kept, BASE / "guest"}:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    say("down, its images are kept for the next start" if keep_images else "down, nothing is left of it")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start what is not running; safe to run again")
    commands.add_parser("status", help="what runs where")
    commands.add_parser("images", help="only make the hosts' file systems")
    login = commands.add_parser("ssh", help="run a command on a host, or log in")
    login.add_argument("host", choices=[recipe.host for recipe in RECIPES])
    login.add_argument("words", nargs=argparse.REMAINDER, metavar="command")
    beside = commands.add_parser(
        "more", help="start more hosts beside a fleet that is up, for measurements; 0 removes them"
    )
    beside.add_argument("number", type=int, choices=range(MOST_MORE + 1), metavar="number")
    remove = commands.add_parser("down", help="remove containers, images, network, storage and keys")
    remove.add_argument("--keep-images", action="store_true", help="keep the built file systems for a quick start")
    options = parser.parse_args()
    podman = Podman(BASE)
    if options.command == "down":
        down(podman, options.keep_images)
    elif options.command == "more":
        more(podman, options.number)
    elif options.command == "ssh":
        ssh(podman, options.host, options.words)
    else:
        {"up": up, "status": status, "images": make_images}[options.command](podman)
    return 0


if __name__ == "__main__":
    sys.exit(main())
