# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A QMP server over a unix socket that pretends to be a VM with disks, and just enough of qemu.qmp to talk with it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

GREETING = {"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 0}, "package": ""}, "capabilities": []}}
PPM = b"P6\n2 1\n255\n" + bytes(range(6))


class ExecuteError(Exception):
    pass


class QMPError(Exception):
    pass


class Client:
    """qemu.qmp.QMPClient, as far as it is used."""

    def __init__(self, name: str) -> None:
        self.runstate = "running"
        self._number = 0

    async def connect(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        self._socket = connected
        self._reader, self._writer = await asyncio.open_unix_connection(sock=connected)
        if "QMP" not in await self._read():
            raise QMPError("no greeting")
        await self.execute("qmp_capabilities", {})

    async def _read(self) -> dict[str, Any]:
        line = await self._reader.readline()
        if not line:
            raise EOFError
        try:
            return dict(json.loads(line))
        except ValueError:
            raise QMPError("no JSON") from None

    async def execute(self, command: str, arguments: dict[str, Any]) -> Any:
        self._writer.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        answer = await self._read()
        if "error" in answer:
            raise ExecuteError(answer["error"])
        return answer["return"]

    def send_fd_scm(self, fd: int) -> None:
        with socket.socket(fileno=os.dup(self._socket.fileno())) as own:
            own.sendmsg([b" "], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("@i", fd))])

    async def disconnect(self) -> None:
        self._writer.close()


LIBRARY = SimpleNamespace(
    QMPClient=Client, ExecuteError=ExecuteError, QMPError=QMPError, Runstate=SimpleNamespace(RUNNING="running")
)


class Refusal(Exception):
    pass


class Machine:
    """Listens at a socket, one client at a time; a graph of nodes that are files, and jobs that end at once."""

    def __init__(self, path: Path, disks: dict[str, list[Path]], *, format: str = "qcow2", name: str = "web") -> None:
        self.status, self.name, self.format = "running", name, format
        self.path = str(path)
        self.layers = {target: [str(layer) for layer in layers] for target, layers in disks.items()}
        self.points: dict[str, list[str]] = {target: [] for target in disks}
        self.nodes: dict[str, str] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.fail: dict[str, str] = {}
        self.exports: dict[str, str] = {}
        self.server: socket.socket | None = None
        self.said: list[str] = []
        self.png = True
        self._fds: list[int] = []
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(self.path)
        self._listening.listen(4)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop listening."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                client = self._listening.accept()[0]
            except OSError:
                return
            with client, contextlib.suppress(OSError):
                self._talk(client)

    def _talk(self, client: socket.socket) -> None:
        client.sendall(json.dumps(GREETING).encode() + b"\n")
        waiting = b""
        while True:
            data, fds, _flags, _address = socket.recv_fds(client, 1 << 16, 1)
            if not data:
                return
            self._fds += fds
            waiting += data
            while b"\n" in waiting:
                line, _newline, waiting = waiting.partition(b"\n")
                asked = json.loads(line)
                client.sendall(json.dumps(self._answer(asked["execute"], asked["arguments"])).encode() + b"\n")
                if asked["execute"] == "quit":
                    self.end()
                    return

    def _answer(self, command: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if not command.startswith("query-"):
            self.said.append(command)
        if command in self.fail:
            return {"error": self.fail[command]}
        try:
            return {"return": getattr(self, "do_" + command.replace("-", "_"), lambda **_: {})(**arguments)}
        except Refusal as error:
            return {"error": str(error)}

    def do_query_status(self) -> Any:
        return {"status": self.status}

    def do_query_name(self) -> Any:
        return {"name": self.name} if self.name else {}

    def do_query_uuid(self) -> Any:
        return {"UUID": "00000000-0000-0000-0000-000000000001"}

    def do_query_version(self) -> Any:
        return GREETING["QMP"]["version"]

    def do_query_kvm(self) -> Any:
        return {"enabled": False, "present": True}

    def do_query_memory_size_summary(self) -> Any:
        return {"base-memory": 64 << 20, "plugged-memory": 1 << 20}

    def do_query_cpus_fast(self) -> Any:
        return [{}, {}]

    def do_query_balloon(self) -> Any:
        raise Refusal("No balloon device has been activated")

    def do_stop(self) -> Any:
        self.status = "paused"

    def do_cont(self) -> Any:
        self.status = "running"

    def do_system_powerdown(self) -> Any:
        self.status = "shutdown"

    def do_query_block(self) -> Any:
        found: list[dict[str, Any]] = [{"device": "cd0", "removable": True}]
        for target, layers in self.layers.items():
            image: dict[str, Any] | None = None
            for layer in reversed(layers):
                below = {"backing-image": image} if image else {}
                format = self.format if layer == layers[-1] else "qcow2"
                image = {"filename": layer, "format": format, "virtual-size": 1 << 20, **below}
            assert image
            image["snapshots"] = [{"name": name, "date-sec": 5, "vm-state-size": 9} for name in self.points[target]]
            medium = {"node-name": f"#{layers[0]}", "ro": False, "image": image}
            found.append({"device": "", "qdev": f"/machine/peripheral/{target}/virtio-backend", "inserted": medium})
        return found

    def do_query_named_block_nodes(self, flat: bool) -> Any:
        opened = [
            {"node-name": f"#{layer}", "file": layer, "drv": self.format if layer == layers[-1] else "qcow2"}
            for layers in self.layers.values()
            for layer in layers
            if layer not in self.nodes.values()
        ]
        return [*opened, *({"node-name": name, "file": path, "drv": "qcow2"} for name, path in self.nodes.items())]

    def do_blockdev_create(self, **asked: Any) -> Any:
        options = asked["options"]
        if options["driver"] == "file":
            Path(options["filename"]).write_bytes(b"")
        else:
            Path(self.nodes[options["file"]]).write_bytes(options["backing-file"].encode())
        self._job(asked["job-id"], "create")

    def do_blockdev_add(self, **asked: Any) -> Any:
        if asked["driver"] == "file":
            self.nodes[asked["node-name"]] = asked["filename"]
        else:
            self.nodes[asked["node-name"]] = self.nodes.pop(asked["file"])

    def do_blockdev_del(self, **asked: Any) -> Any:
        if asked["node-name"] in {*self.jobs, *self.exports}:
            raise Refusal("Node is in use")
        del self.nodes[asked["node-name"]]

    def do_transaction(self, actions: list[dict[str, Any]]) -> Any:
        for action in actions:
            if action["type"] == "blockdev-backup":
                self._disk(action["data"]["device"])
                self._job(action["data"]["job-id"], "backup")
                self.jobs[action["data"]["job-id"]]["status"] = "running"
                continue
            layers = self._disk(action["data"]["node"])
            layers.insert(0, self.nodes[action["data"]["overlay"]])

    def do_block_commit(self, **asked: Any) -> Any:
        layers = self._disk(asked["device"])
        below = next(number for number, layer in enumerate(layers) if asked["base-node"] in self._names(layer))
        layers.pop(below - 1)
        self._job(asked["job-id"], "commit")
        if "top-node" not in asked:
            self.jobs[asked["job-id"]]["status"] = "ready"

    def do_job_complete(self, **asked: Any) -> Any:
        self.jobs[asked["id"]]["status"] = "concluded"

    def do_snapshot_save(self, **asked: Any) -> Any:
        for layers, points in zip(self.layers.values(), self.points.values()):
            if f"#{layers[0]}" in asked["devices"]:
                points.append(asked["tag"])
        self._job(asked["job-id"], "snapshot-save")

    def do_snapshot_load(self, **asked: Any) -> Any:
        self._job(asked["job-id"], "snapshot-load")

    def do_snapshot_delete(self, **asked: Any) -> Any:
        for points in self.points.values():
            points.remove(asked["tag"])
        self._job(asked["job-id"], "snapshot-delete")

    def do_query_jobs(self) -> Any:
        return list(self.jobs.values())

    def do_job_cancel(self, **asked: Any) -> Any:
        del self.jobs[asked["id"]]

    def do_nbd_server_start(self, **asked: Any) -> Any:
        if self.server:
            raise Refusal("NBD server already running")
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(asked["addr"]["data"]["path"])
        self.server.listen(4)

    def do_nbd_server_stop(self) -> Any:
        assert self.server
        self.server.close()
        self.server = None
        self.exports.clear()

    def do_block_export_add(self, **asked: Any) -> Any:
        self.exports[asked["id"]] = asked["name"]

    def do_query_block_exports(self) -> Any:
        return [{"id": identity, "type": "nbd"} for identity in self.exports]

    def do_job_dismiss(self, **asked: Any) -> Any:
        del self.jobs[asked["id"]]

    def do_add_fd(self, **asked: Any) -> Any:
        return {"fdset-id": 3, "fd": self._fds[-1]}

    def do_screendump(self, **asked: Any) -> Any:
        if "format" in asked and not self.png:
            raise Refusal("Parameter 'format' is unexpected")
        with os.fdopen(self._fds.pop(), "wb") as stream:
            stream.write(PPM)

    def _job(self, identity: str, kind: str) -> None:
        wrong = self.fail.get(f"job {kind}")
        self.jobs[identity] = {
            "id": identity,
            "type": kind,
            "status": "concluded",
            **({"error": wrong} if wrong else {}),
        }

    def _names(self, layer: str) -> set[str]:
        return {f"#{layer}", *(name for name, path in self.nodes.items() if path == layer)}

    def _disk(self, node: str) -> list[str]:
        return next(layers for layers in self.layers.values() if node in self._names(layers[0]))


class Export:
    """A connection to an export of the machine (transfer/nbd.NbdClient); all are full of x."""

    size = 1 << 20

    def read(self, offset: int, length: int) -> bytearray:
        return bytearray(b"x" * length)

    def extents(self, offset: int, length: int) -> list[tuple[int, bool]]:
        return [(length, False)]

    def close(self) -> None:
        pass
