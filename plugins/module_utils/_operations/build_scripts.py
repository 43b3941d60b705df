# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the steps of a recipe do in the guest: shell scripts and the files that they read, the same for every engine.

A guest's /run is a file system in memory while it is worked on. Scripts and small files lie there, secrets nowhere else.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from shlex import quote
from typing import Any, Callable

from .build_steps import GROW, Step

RUN = "/run/imageops"
# What is too large for memory; removed at the end.
ROOM = "/.imageops-build"
PACKAGES = f"{RUN}/packages"
_MOST_IN_MEMORY = 1 << 20


@dataclass(frozen=True)
class GuestFile:
    """A file that a script reads: `content`, or what `source` names on the host, a folder as an archive."""

    path: str
    content: bytes = field(default=b"", repr=False)
    source: str = ""


@dataclass(frozen=True)
class GuestScript:
    """One step: `title` is what people see of it, `network` whether it may reach others."""

    title: str
    text: str
    files: Sequence[GuestFile] = ()
    network: bool = False


_NO_MANAGER = "else echo 'no package manager that is known here (apt, dnf, yum, zypper, apk, pacman)' >&2; exit 1; fi"
_APT = "export DEBIAN_FRONTEND=noninteractive; apt-get -q update; apt-get -q -y -o Dpkg::Options::=--force-confold"


def _managers(apt: str, dnf: str, zypper: str, apk: str, pacman: str) -> str:
    return f"""if command -v apt-get >/dev/null; then {apt}
elif command -v dnf >/dev/null; then dnf -y {dnf}
elif command -v yum >/dev/null; then yum -y {dnf}
elif command -v zypper >/dev/null; then zypper --non-interactive {zypper}
elif command -v apk >/dev/null; then apk {apk}
elif command -v pacman >/dev/null; then pacman --noconfirm {pacman}
{_NO_MANAGER}
"""


def _packages(names: list[str]) -> str:
    words = " ".join(map(quote, names))
    return _managers(
        f"{_APT} install {words}",
        f"install {words}",
        f"install {words}",
        f"add --no-cache {words}",
        f"-Sy --needed {words}",
    )


def _remove_packages(names: list[str]) -> str:
    words = " ".join(map(quote, names))
    apt = f"DEBIAN_FRONTEND=noninteractive apt-get -q -y purge --autoremove {words}"
    return _managers(apt, f"remove {words}", f"remove {words}", f"del {words}", f"-Rs {words}")


def _upgrade() -> str:
    return _managers(f"{_APT} dist-upgrade", "upgrade", "update", "upgrade --no-cache", "-Syu")


def _ownership(value: Mapping[str, Any]) -> str:
    """The words for install(1)."""
    given = {"-o": value["owner"], "-g": value["group"]}
    return "".join(f" {word} {quote(name)}" for word, name in given.items() if name)


def _install(value: Mapping[str, Any], source: str) -> str:
    folder = os.path.dirname(value["dest"])
    mode = value["mode"] or "0644"
    return f"mkdir -p {quote(folder)}\ninstall -m {mode}{_ownership(value)} {source} {quote(value['dest'])}\n"


def _unpack(value: Mapping[str, Any], source: str) -> str:
    dest = quote(value["dest"])
    whose = f"{value['owner'] or ''}{':' + value['group'] if value['group'] else ''}"
    chown = f"chown -R {quote(whose)} {dest}\n" if whose else ""
    return f"mkdir -p {dest}\ntar -x --no-same-owner -f {source} -C {dest}\n{chown}"


_USER = r"""if id -u {name} >/dev/null 2>&1; then :
elif command -v useradd >/dev/null; then useradd -m{options} {name}
else adduser -D{options} {name}; fi
"""
_SHELL = r"""if command -v usermod >/dev/null; then usermod -s {shell} {name}
elif [ "$(grep ^{name}: /etc/passwd | cut -d: -f7)" != {shell} ]; then
  echo 'the guest has no usermod, so the shell of a user that was there stays' >&2; exit 1
fi
"""


def _user(value: Mapping[str, Any], secret: str) -> str:
    name = quote(value["name"])
    options = "".join(
        f" {word} {quote(str(value[option]))}"
        for word, option in (("-u", "uid"), ("-s", "shell"))
        if value[option] is not None
    )
    lines = [_USER.format(name=name, options=options)]
    lines += [_SHELL.format(shell=quote(value["shell"]), name=name)] if value["shell"] else []
    for group in value["groups"]:
        member = f"if command -v usermod >/dev/null; then usermod -a -G {quote(group)} {name}; else addgroup {name} {quote(group)}; fi"
        lines.append(f"{member}\n")
    if secret:
        lines.append(f"chpasswd{' -e' if value['password_hash'] else ''} <{secret}\n")
    if value["sudo"]:
        file = f"/etc/sudoers.d/{value['name'].replace('.', '_')}"
        lines.append(
            f"mkdir -p /etc/sudoers.d\n(umask 227; echo {quote(value['name'] + ' ALL=(ALL) NOPASSWD: ALL')} >{quote(file)})\n"
        )
    return "".join(lines)


_SSH_KEY = r"""entry=$(grep ^{name}: /etc/passwd) || {{ echo 'there is no user '{name} >&2; exit 1; }}
home=$(echo "$entry" | cut -d: -f6)
ids=$(echo "$entry" | cut -d: -f3,4)
mkdir -p "$home/.ssh"
touch "$home/.ssh/authorized_keys"
while read -r key; do
  grep -qxF -e "$key" "$home/.ssh/authorized_keys" || echo "$key" >>"$home/.ssh/authorized_keys"
done <{file}
chmod 700 "$home/.ssh"
chmod 600 "$home/.ssh/authorized_keys"
chown -R "$ids" "$home/.ssh"
"""
_SERVICE = r"""if command -v systemctl >/dev/null; then systemctl {systemd} {name}
elif command -v rc-update >/dev/null; then rc-update {openrc}
else echo 'neither systemd nor OpenRC is in the guest' >&2; exit 1; fi
"""
_TIMEZONE = r"""[ -e /usr/share/zoneinfo/{zone} ] || {{ echo 'the guest does not know the time zone '{zone}'; install tzdata' >&2; exit 1; }}
ln -sf /usr/share/zoneinfo/{zone} /etc/localtime
if [ -e /etc/timezone ] || [ -e /etc/debian_version ]; then echo {zone} >/etc/timezone; fi
"""
_HOSTNAME = r"""old=$(cat /etc/hostname 2>/dev/null || :)
echo {name} >/etc/hostname
if [ -n "$old" ] && [ -e /etc/hosts ]; then sed -i "/^127\.0\.1\.1[[:space:]]/s/.*/127.0.1.1 {name}/" /etc/hosts; fi
"""
_SSHD = r"""if [ -d /etc/ssh/sshd_config.d ]; then echo '{line}' >/etc/ssh/sshd_config.d/00-imageops-{name}.conf
elif [ -e /etc/ssh/sshd_config ]; then sed -i '1i {line}' /etc/ssh/sshd_config; fi
"""
_HARDENING = {
    "no_core_dumps": "mkdir -p /etc/security/limits.d\necho '* hard core 0' >/etc/security/limits.d/60-imageops.conf\n",
    "root_locked": "passwd -l root\n",
    "ssh_no_passwords": _SSHD.format(line="PasswordAuthentication no", name="passwords"),
    "ssh_no_root": _SSHD.format(line="PermitRootLogin no", name="root"),
    "sysctl": "mkdir -p /etc/sysctl.d\n"
    r"printf '%s\n' kernel.dmesg_restrict=1 kernel.kptr_restrict=2 fs.protected_fifos=2 fs.protected_regular=2 net.ipv4.conf.all.rp_filter=1 "
    "net.ipv4.conf.all.accept_redirects=0 net.ipv6.conf.all.accept_redirects=0 >/etc/sysctl.d/60-imageops.conf\n",
    "umask": "mkdir -p /etc/profile.d\necho 'umask 027' >/etc/profile.d/imageops-umask.sh\n",
}
_SYSTEMD = {"enabled": "enable", "disabled": "disable", "masked": "mask"}


class Scripts:
    """Makes the scripts of a recipe; `secrets` are the texts that its steps name."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._secrets = secrets
        self._files: list[GuestFile] = []
        self._number = 0

    def of(self, steps: Sequence[Step]) -> list[GuestScript]:
        """The scripts in their order; what grows isn't done in the guest."""
        made = []
        for step in steps:
            ((kind, value),) = step.items()
            if kind == GROW:
                continue
            self._files = []
            title, text = _MAKERS[kind](self, value)
            network = kind in ("packages", "upgrade") or (kind == "run" and value["network"])
            made.append(GuestScript(title, text, self._files, network))
        return made

    def _file(self, content: bytes) -> str:
        """The name in the guest of a small file."""
        self._number += 1
        path = f"{RUN}/file{self._number}"
        self._files.append(GuestFile(path, content))
        return path

    def _source(self, path: str) -> str:
        """The name in the guest of what lies on the host."""
        self._number += 1
        large = os.path.isdir(path) or os.stat(path).st_size > _MOST_IN_MEMORY
        name = f"{ROOM if large else RUN}/file{self._number}"
        self._files.append(GuestFile(name, source=path))
        return name

    def packages(self, value: Any) -> tuple[str, str]:
        return f"install {', '.join(value)}", _packages(value)

    def remove_packages(self, value: Any) -> tuple[str, str]:
        return f"remove {', '.join(value)}", _remove_packages(value)

    def upgrade(self, value: Any) -> tuple[str, str]:
        return "upgrade all packages", _upgrade()

    def copy(self, value: Any) -> tuple[str, str]:
        name = self._source(value["src"])
        place = _unpack if os.path.isdir(value["src"]) else _install
        return f"copy {value['src']} to {value['dest']}", f"{place(value, name)}rm {name}\n"

    def write(self, value: Any) -> tuple[str, str]:
        text = self._secrets[value["secret"]] if value["secret"] else value["content"]
        name = self._file(text.encode())
        mode = value["mode"] or ("0600" if value["secret"] else "0644")
        return f"write {value['dest']}", _install({**value, "mode": mode}, name)

    def delete(self, value: Any) -> tuple[str, str]:
        return f"delete {', '.join(value)}", f"rm -rf -- {' '.join(map(quote, value))}\n"

    def user(self, value: Any) -> tuple[str, str]:
        secret = value["password"] or value["password_hash"]
        name = self._file(f"{value['name']}:{self._secrets[secret]}\n".encode()) if secret else ""
        return f"user {value['name']}", _user(value, name)

    def ssh_key(self, value: Any) -> tuple[str, str]:
        name = self._file("".join(f"{key}\n" for key in value["keys"]).encode())
        return f"SSH keys of {value['user']}", _SSH_KEY.format(name=quote(value["user"]), file=name)

    def run(self, value: Any) -> tuple[str, str]:
        first = next(line.strip() for line in value["script"].splitlines() if line.strip())
        return f"run {first[:60]}", value["script"]

    def service(self, value: Any) -> tuple[str, str]:
        name = quote(value["name"])
        openrc = f"add {name} default" if value["state"] == "enabled" else f"del {name}"
        return f"service {value['name']} {value['state']}", _SERVICE.format(
            systemd=_SYSTEMD[value["state"]], name=name, openrc=openrc
        )

    def timezone(self, value: Any) -> tuple[str, str]:
        return f"time zone {value}", _TIMEZONE.format(zone=value)

    def hostname(self, value: Any) -> tuple[str, str]:
        return f"host name {value}", _HOSTNAME.format(name=value)

    def harden(self, value: Any) -> tuple[str, str]:
        return f"harden {', '.join(value)}", "".join(_HARDENING[name] for name in value)


_MAKERS: dict[str, Callable[[Scripts, Any], tuple[str, str]]] = {
    "packages": Scripts.packages,
    "remove_packages": Scripts.remove_packages,
    "upgrade": Scripts.upgrade,
    "copy": Scripts.copy,
    "write": Scripts.write,
    "delete": Scripts.delete,
    "user": Scripts.user,
    "ssh_key": Scripts.ssh_key,
    "run": Scripts.run,
    "service": Scripts.service,
    "timezone": Scripts.timezone,
    "hostname": Scripts.hostname,
    "harden": Scripts.harden,
}

# Services must not start in a guest that doesn't run (Debian's policy-rc.d).
_BEGIN = rf"""mkdir -p {ROOM}
if command -v dpkg >/dev/null && [ ! -e /usr/sbin/policy-rc.d ]; then
  printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
  chmod 755 /usr/sbin/policy-rc.d
  : >{RUN}/policy
fi
"""
_END = rf"""rm -rf {ROOM}
if [ -e {RUN}/policy ]; then rm -f /usr/sbin/policy-rc.d; fi
if grep -qsE '^SELINUX=(enforcing|permissive)' /etc/selinux/config; then touch /.autorelabel; fi
"""
_LIST = rf"""{{
if command -v dpkg-query >/dev/null; then
  dpkg-query -W -f 'deb\t${{Package}}\t${{Version}}\t${{Architecture}}\t${{db:Status-Status}}\n'
elif command -v rpm >/dev/null; then
  rpm -qa --qf 'rpm\t%{{NAME}}\t%{{EVR}}\t%{{ARCH}}\tinstalled\n'
elif [ -e /lib/apk/db/installed ]; then
  awk -F: -v OFS='\t' '/^P:/ {{name = $2}} /^V:/ {{version = $2}} /^A:/ {{print "apk", name, version, $2, "installed"}}' /lib/apk/db/installed
elif command -v pacman >/dev/null; then
  pacman -Q | while read -r name version; do printf 'alpm\t%s\t%s\t\tinstalled\n' "$name" "$version"; done
fi
if [ -e /etc/os-release ]; then sed 's/^/os\t/' /etc/os-release; fi
}} >{PACKAGES}
"""

BEGIN = GuestScript("begin", _BEGIN)
LIST = GuestScript("list the packages", _LIST)
END = GuestScript("end", _END)
