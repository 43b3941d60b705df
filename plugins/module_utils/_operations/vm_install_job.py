# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work of an installation: a disk under a hidden name, a machine that ends with this process, and at last the disk's name."""

from __future__ import annotations

import contextlib
import glob
import os
import sys
from typing import Any

from .._commands import Commands
from .._errors import Conflict, EngineError, ImageOpsError
from .._faults import fault_point
from .._files import fingerprint, remove
from .._formats.chain import inspect_chain
from .._formats.safety import verdict
from .._hypervisor import install_network
from .._hypervisor.acceleration import Acceleration
from .._hypervisor.connection import Connection
from .._hypervisor.domain import Domain
from .._hypervisor.install_domain import Hardware, Media, engine_owner, install_domain
from .._hypervisor.lifecycle import Lifecycle
from .._jobs.clock import Clock
from .._jobs.progress import Progress
from .._jobs.worker import run_job
from .._qemu.image import Image, QemuImg
from .._records import Record, publish_with_record
from .ownership import apply_to_new
from .replacing import replacing
from .vm_install_answers import FIRMWARE, VOLUME, Answers
from .vm_install_media import (
    fetch,
    hidden,
    hidden_files,
    initrd_tail,
    new_file,
    remove_beside,
    served_folder,
    write_answers,
)
from .vm_install_netboot import SCRIPT, give, write_script
from .vm_install_watch import Watch

_NETWORK = "network"
_CONSOLES = {"x86_64": "ttyS0", "aarch64": "ttyAMA0", "riscv64": "ttyS0", "ppc64le": "hvc0"}
_START = 1 << 16
_DAEMON_SECONDS = 30


def install(params: dict[str, Any], progress: Progress, lock: int) -> dict[str, Any]:
    """Install the disk that `params` (vm_install.job_of_request) describe; facts for the task's result.

    Whatever happens, the name shows the old content or the finished disk, and nothing else stays.
    """
    path = params["path"]
    progress.leaves(*hidden_files(path), served_folder(path))
    work = _Installation(params, progress, lock)
    try:
        work.clear()
        return work.run()
    finally:
        work.clear()
        work.close()


class _Installation:
    def __init__(self, params: dict[str, Any], progress: Progress, lock: int) -> None:
        self._params, self._progress, self._lock = params, progress, lock
        self._path, self._name = params["path"], params["name"]
        self._log = params["machine"]["log"]
        text = params.get("secrets", {}).get("answers")
        self._answers = Answers(params["answers_kind"], text) if text is not None else None
        self._disk = Image(hidden(self._path), params["format"])
        self._clock = Clock()
        self._life: Lifecycle | None = None

    def clear(self) -> None:
        """No machine, no network and no file of this installation."""
        try:
            self._clear_beside()
        finally:
            remove(self._disk.path)

    def _clear_beside(self) -> None:
        """No machine, no network and no file but the disk."""
        self.close()
        try:
            self._end_machine()
        finally:
            remove_beside(self._path)
            # virtlogd keeps some more of what is long, and libvirt has a log of its own.
            own = os.path.join(os.path.dirname(self._log), f"{self._name}.log")
            for path in (found for log in (self._log, own) for found in glob.glob(f"{glob.escape(log)}*")):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)

    def _end_machine(self) -> None:
        """End what a killed run left, which may have been started in another way."""
        with contextlib.closing(self._connected()) as connection:
            domain = connection.domain(self._name)
            if domain is not None:
                with contextlib.suppress(ImageOpsError):
                    domain.destroy()
            install_network.remove(connection, self._name)

    def _connected(self) -> Connection:
        """A connection for tidying; a daemon that was killed is started again in a moment."""
        found: list[Connection] = []

        def attempt() -> bool:
            with contextlib.suppress(EngineError):
                found.append(Connection.open(self._params["uri"]))
            return bool(found)

        self._clock.wait_until(attempt, _DAEMON_SECONDS)
        return found[0] if found else Connection.open(self._params["uri"])

    def close(self) -> None:
        """End the connection that the machine lives on."""
        life, self._life = self._life, None
        if life is not None:
            with contextlib.suppress(ImageOpsError):
                life.close()

    @property
    def _served(self) -> bool:
        return self._params["boot"] == _NETWORK and bool(self._params["kernel"] or self._params["tftp_root"])

    def run(self) -> dict[str, Any]:
        self._progress.phase("prepare")
        self._make_disk()
        media = self._make_media()
        fault_point("install:prepared")
        self._life = life = Lifecycle(self._params["uri"])
        began = self._clock.now()
        if self._served:
            self._serve(life.connection)
            fault_point("install:served")
        self._progress.phase("install")
        watch = Watch(self._name, self._params["finish"], self._log, life, self._progress, self._clock)
        watch.follow(lambda from_disk: self._start(life, media, from_disk), again_from_disk=bool(media.kernel))
        fault_point("install:installed")
        said = watch.tail()
        self.close()
        self._progress.phase("publish")
        self._require_content(said)
        # A further run finds the disk and looks no further, so nothing else may be there when it has its name.
        self._clear_beside()
        self._publish()
        return {"installing": round(self._clock.now() - began, 3), "reboots": watch.reboots}

    def _make_disk(self) -> None:
        fault_point("install:before-disk")
        new_file(self._disk.path).close()
        QemuImg(Commands()).create(self._disk, size=self._params["size"], pass_fds=(self._lock,))
        fault_point("install:disk-made")

    def _make_media(self) -> Media:
        params, answers = self._params, self._answers
        direct, where = params["boot"] == "direct", answers.delivery.where if answers else ""
        medium = hidden(self._path, "answers")
        written = write_answers(answers, medium, self._engine_owner())
        kernel, initrd = (self._boot_file(option) if direct else "" for option in ("kernel", "initrd"))
        cdroms = [params["iso"]] if params["iso"] else []
        return Media(
            disk=self._disk.path,
            driver=self._disk.driver,
            variables=hidden(self._path, "variables"),
            kernel=kernel,
            initrd=initrd,
            arguments=self._arguments() if direct else "",
            cdroms=[*cdroms, *([medium] if written and where == VOLUME else [])],
            netboot=self._name if self._served else "",
            from_network=params["boot"] == _NETWORK,
            firmware_files=((answers.delivery.name, medium),) if answers and written and where == FIRMWARE else (),
        )

    def _engine_owner(self) -> tuple[int, int] | None:
        with contextlib.closing(Connection.open(self._params["uri"])) as connection:
            return engine_owner(connection.capabilities())

    def _boot_file(self, option: str) -> str:
        """The file by which a kernel or initrd is started: its own, or a copy of what can't be used where it is."""
        source = self._params[option]
        more = initrd_tail(self._answers) if option == "initrd" else b""
        if not source or (source.startswith("/") and not more):
            return str(source)
        target = hidden(self._path, option)
        fetch(source, self._params["iso"], target, option=option, more=more)
        return target

    def _arguments(self) -> str:
        """The kernel's: a console that is logged, what the installer needs to find its answers, and the task's own."""
        told = self._params["arguments"].split()
        known = {word.partition("=")[0] for word in told}
        console = _CONSOLES.get(self._params["machine"]["arch"], "")
        words = [f"console={console}"] if console else []
        words += self._answers.delivery.arguments.split() if self._answers else []
        return " ".join([*(word for word in words if word.partition("=")[0] not in known), *told])

    def _serve(self, connection: Connection) -> None:
        """Start the network; its server is the only one who may read the files."""
        params = self._params
        root, file = params["tftp_root"], params["boot_file"]
        if not root:
            root, file = served_folder(self._path), SCRIPT
            os.mkdir(root)
            # The server wants to list it; what is in it only he can read.
            os.chmod(root, 0o755)
            write_script(root, self._arguments(), initrd=bool(params["initrd"]))
            for option, name in (("kernel", "linux"), ("initrd", "initrd")):
                if params[option]:
                    more = initrd_tail(self._answers) if option == "initrd" else b""
                    fetch(params[option], params["iso"], os.path.join(root, name), option=option, more=more)
        bridge = f"ioi{self._name[-10:]}"
        install_network.serve(connection, self._name, bridge=bridge, root=root, file=file, wanted=params["subnet"])
        if not params["tftp_root"]:
            give(root, install_network.server_owner(self._name))

    def _start(self, life: Lifecycle, media: Media, from_disk: bool) -> Domain:
        machine = {**self._params["machine"], "acceleration": Acceleration(**self._params["machine"]["acceleration"])}
        if from_disk:
            media = Media(media.disk, media.driver, media.variables, netboot=media.netboot)
        text = install_domain(self._name, Hardware(**machine), media, reboot_ends=self._params["finish"]["reboot_ends"])
        domain = life.start(text)
        fault_point("install:started")
        return domain

    def _require_content(self, said: list[str]) -> None:
        """Raise EngineError for a disk on which nothing was installed, or whose tables are broken."""
        found = verdict(inspect_chain(self._disk.path, declared=self._disk.format)).refusals
        if found:
            raise EngineError(
                f"The installer left a disk that can't be used: {' '.join(one.message for _path, one in found)}"
            )
        if QemuImg(Commands()).check(self._disk).corrupt:
            raise EngineError("The installer left a disk whose tables are corrupt; run the task again.")
        start = hidden(self._path, "start")
        remove(start)
        Commands().output(
            [
                "qemu-img",
                "dd",
                "-f",
                self._disk.driver,
                "-O",
                "raw",
                f"bs={_START}",
                "count=1",
                f"if={self._disk.path}",
                f"of={start}",
            ]
        )
        with open(start, "rb") as stream:
            if not stream.read(_START).strip(b"\0"):
                raise EngineError(
                    "The installer ended without an error, but it wrote no partition table and no loader; look at its answers. Its console's last "
                    "lines were:\n" + "\n".join(said),
                    console_tail=said,
                )

    def _publish(self) -> None:
        params = self._params
        record = Record(
            operation="install",
            format=params["format"],
            virtual_size=inspect_chain(self._disk.path, declared=self._disk.format)[0].facts.virtual_size,
            source={"media": params["media"]},
            options=params["declared"],
            tool=params["tool"],
        )
        fault_point("install:before-publish")
        found = fingerprint(self._path)
        if (found.as_dict() if found else None) != params["before"]:
            raise Conflict(
                f"path: {self._path} was changed by somebody else during the installation; it was left as it is now."
            )
        with replacing(self._path, params["before"], search_paths=params["search_paths"]):
            apply_to_new(self._disk.path, **params["ownership"])
            publish_with_record(self._disk.path, self._path, record)
        fault_point("install:published")


def main() -> int:
    """Entry of the host helper: do the job whose folder is the first argument; the exit code."""
    return run_job(sys.argv[1], install)
