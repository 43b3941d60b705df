# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disk that is captured: of a stopped VM, of a running one as it is at one moment, or of another machine over SSH."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from shlex import quote
from typing import Any

from .._commands import Commands
from .._errors import EngineError, InvalidOption, MissingLibrary, NotFound, TransferError
from .._formats.raw_writer import write_raw
from .._jobs.progress import Progress
from .._qemu.engine import said_on, start_engine
from .._transfer.sparse import SparseWriter
from .build_kinds import BuildBase
from .image_publish_vm import source_of_vm
from .operation import Tools
from .pacing import paced
from .pull_reader import pull_backup
from .pull_source import Source
from .vm_clone_still import Still

STOPPED, RUNNING, SSH = "stopped VM", "running VM", "ssh"
_NAME = re.compile(r"[A-Za-z0-9_:\[][A-Za-z0-9_.:\[\]%-]{0,254}")
_PIECE = 1 << 20
_SIZE_SECONDS = 120.0


def read_source(params: Mapping[str, Any], tools: Tools) -> BuildBase:
    """What is captured; raises what speaks against it."""
    if bool(params["vm"]) == bool(params["ssh"]):
        raise InvalidOption("vm: say what is captured, by either vm or ssh.")
    return _by_ssh(params) if params["ssh"] else _by_vm(params, tools)


def _by_vm(params: Mapping[str, Any], tools: Tools) -> BuildBase:
    # UEFI variables are no part of a disk.
    disks, vm = source_of_vm({**params, "layout": "containerdisk"}, tools)
    wanted = params["disk"] or (disks[0].name if disks else "")
    chosen = next((disk for disk in disks if disk.name == wanted), None)
    if chosen is None:
        known = ", ".join(disk.name for disk in disks) or "none"
        raise InvalidOption(f"disk: {vm.name} has no disk {wanted or 'at all'}; it has: {known}.")
    declared = {"vm": vm.name, "uuid": vm.uuid, "disk": chosen.name, "shown": f"{chosen.name} of the VM {vm.name}"}
    named = {"vm": vm.name, "disk": chosen.name}
    if vm.running:
        told = {"vm": vm.name, "uuid": vm.uuid, "uri": vm.uri, "hold": vm.hold, "disk": chosen.name}
        # The guest writes all the time: what was captured once isn't captured again by itself.
        return BuildBase(RUNNING, {"kind": "vm", **declared}, {"kind": RUNNING, **told}, {"kind": RUNNING, **named})
    told = {"path": chosen.path, "format": chosen.format, "files": chosen.files, "allowed": chosen.backing}
    files = [one["path"] for one in chosen.files]
    return BuildBase(
        STOPPED,
        {"kind": "vm", **declared},
        {"kind": STOPPED, **told},
        {"kind": STOPPED, **named, "path": chosen.path},
        files=files,
    )


def _by_ssh(params: Mapping[str, Any]) -> BuildBase:
    given = params["ssh"]
    for option in ("host", "user"):
        if given[option] and not _NAME.fullmatch(given[option]):
            raise InvalidOption(f"ssh: '{given[option][:80]}' can't be a {option}; give a plain name or address.")
    if not os.path.isabs(given["disk"]) or not given["disk"].isprintable():
        raise InvalidOption(f"ssh: '{given['disk'][:80]}' is not the absolute path of a disk, such as /dev/vda.")
    for option in ("key", "known_hosts"):
        if given[option] and not os.path.isfile(given[option]):
            raise NotFound(f"ssh: there is no {given[option]} on this host; give the right path as {option}.")
    if not 0 < given["port"] < 1 << 16:
        raise InvalidOption(f"ssh: {given['port']} is no port.")
    if shutil.which("ssh") is None:
        raise MissingLibrary(
            "The program 'ssh' is not installed on this host; install the package openssh-client (Debian's name)."
        )
    if params["quiesce"]:
        raise InvalidOption("quiesce: only a running VM's file systems can be held still; leave it out.")
    shown = f"{given['disk']} of {given['host']}"
    declared = {"kind": "ssh", "host": given["host"], "path": given["disk"], "shown": shown}
    source = {"kind": SSH, "host": given["host"], "disk": given["disk"]}
    return BuildBase(SSH, declared, {**dict(given), "kind": SSH}, source)


def bring(params: Mapping[str, Any], disk: str, progress: Progress, lock: int) -> None:
    """Write what is captured to the new raw file `disk`, unless it is read where it is."""
    if params["base"]["kind"] == RUNNING:
        _from_running(params, disk, progress)
    if params["base"]["kind"] == SSH:
        _from_ssh(params, disk, progress, lock)


def _new(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _from_running(params: Mapping[str, Any], disk: str, progress: Progress) -> None:
    told, tools = params["base"], Tools(version=params["version"])
    handle = _new(disk)
    try:
        progress.phase("begin the backup")
        source = Source(told["vm"], told["uri"])
        still = Still(source, told["hold"], tools)
        with pull_backup(source, [told["disk"]], tools=tools, around=still.held()) as contents:
            content = contents[told["disk"]]
            progress.phase("read", total=content.size)
            report = paced(progress, params["bandwidth"], fault="capture:while-reading")
            write_raw(content, handle, report=report)
    finally:
        os.close(handle)
        tools.close()


def ssh_command(told: Mapping[str, Any], command: str) -> list[str]:
    """The command that runs `command` on the other machine, which must be known by its key."""
    options = ["BatchMode=yes", "StrictHostKeyChecking=yes", "ServerAliveInterval=15", "ServerAliveCountMax=8"]
    options += [f"UserKnownHostsFile={told['known_hosts']}"] if told["known_hosts"] else []
    options += ["IdentitiesOnly=yes"] if told["key"] else []
    words = [word for option in options for word in ("-o", option)]
    key = ["-i", told["key"]] if told["key"] else []
    user = ["-l", told["user"]] if told["user"] else []
    sudo = "sudo -n " if told["sudo"] else ""
    return ["ssh", "-T", *words, *key, *user, "-p", str(told["port"]), "--", told["host"], f"{sudo}{command}"]


def _from_ssh(params: Mapping[str, Any], disk: str, progress: Progress, lock: int) -> None:
    told = params["base"]
    where, name = f"{told['disk']} of {told['host']}", quote(told["disk"])
    progress.phase("connect")
    said = Commands().output(ssh_command(told, f"blockdev --getsize64 {name}"), timeout=_SIZE_SECONDS)
    if not said.strip().isdigit():
        raise EngineError(f"ssh: {told['host']} did not tell the size of {told['disk']}.")
    size = int(said)
    progress.phase("read", total=size)
    report = paced(progress, params["bandwidth"], fault="capture:while-reading")
    handle = _new(disk)
    try:
        with tempfile.TemporaryFile() as stderr:
            argv = ssh_command(told, f"dd if={name} bs=1M status=none")
            with start_engine(argv, stdout=subprocess.PIPE, stderr=stderr, pass_fds=(lock,)) as process:
                try:
                    writer = SparseWriter(handle)
                    while process.stdout and writer.position <= size and (piece := process.stdout.read(_PIECE)):
                        writer.write(piece)
                        report(writer.position, len(piece))
                except BaseException:
                    process.kill()
                    raise
            if process.returncode or writer.position != size:
                why = said_on(stderr).strip().splitlines()
                raise TransferError(
                    f"ssh: {where} has {size} bytes, and {writer.position} came: {why[-1] if why else 'the connection ended'}"
                )
        writer.sync()
    finally:
        os.close(handle)
