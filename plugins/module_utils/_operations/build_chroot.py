# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine without libguestfs: the guest's programs run on the host, in namespaces of their own, with the guest's files as their root.

All mounts are made in a mount namespace that ends with the engine, so nothing of them is left whatever is killed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from shlex import quote

from .._errors import EngineError, MissingLibrary
from .._qemu.talk import Talk

_PROGRAMS = {"unshare": "util-linux", "mount": "mount", "chroot": "coreutils"}
# What is mounted in these, and what runs in them, ends with their first process, and that when we end.
NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private")
_MARK = "imageops-answered"
_FAILED = "imageops-failed"
_QUICK_SECONDS = 600.0
_MOST_WORDS = 4000
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# A link in the guest's tree must not lead a mount to the host's own folders.
_PREPARE = r"""set -e
root={root}
{mounts}
for name in proc sys dev run etc; do
  [ ! -L "$root/$name" ] || {{ echo "/$name of the guest is a symbolic link" >&2; exit 1; }}
  mkdir -p "$root/$name"
done
mount -t proc -o nosuid,noexec,nodev proc "$root/proc"
mount -t sysfs -o ro,nosuid,noexec,nodev sysfs "$root/sys"
mount -t tmpfs -o mode=0755,size=1m,nosuid dev "$root/dev"
for node in null:3 zero:5 full:7 random:8 urandom:9; do mknod -m 0666 "$root/dev/${{node%:*}}" c 1 "${{node#*:}}"; done
mknod -m 0666 "$root/dev/tty" c 5 0
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/0 "$root/dev/stdin"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs -o mode=1777,size=256m,nosuid,nodev shm "$root/dev/shm"
mount -t tmpfs -o mode=0755,size=256m,nosuid,nodev run "$root/run"
mkdir -m 0700 "$root/run/imageops"
set +e
inside() {{ env -i PATH={path} HOME=/root LC_ALL=C TERM=dumb chroot "$root" "$@"; }}
"""
# The host's resolv.conf for the time of the build.
_RESOLVER = r"""inside /bin/sh -c 'if [ -e /etc/resolv.conf ] || [ -L /etc/resolv.conf ]; then mv /etc/resolv.conf /etc/.imageops-resolv.conf; fi
cat >/etc/resolv.conf' </etc/resolv.conf
"""
_NO_RESOLVER = r"""inside /bin/sh -c 'rm -f /etc/resolv.conf
if [ -e /etc/.imageops-resolv.conf ] || [ -L /etc/.imageops-resolv.conf ]; then mv /etc/.imageops-resolv.conf /etc/resolv.conf; fi' </dev/null
"""
# What packages started may still run, and keep the file systems busy. Only the first process of a namespace may do this.
_ALONE = '[ "$$" != 1 ] || kill -KILL -1 2>/dev/null || :'
# Who was killed goes a moment later.
_UNMOUNT = """unmount() {
  for try in 1 2 3 4 5 6 7 8 9 10; do umount "$1" 2>/dev/null && return; sleep 0.5; done
  umount "$1" || exit 1
}
"""


def chroot_obstacle() -> str:
    """Why this engine can't be used on this host; empty when it can."""
    if os.geteuid() != 0:
        return "only root may do it; let the task run with 'become: true'"
    lacking = [name for name in _PROGRAMS if shutil.which(name) is None]
    if lacking:
        return (
            f"{', '.join(lacking)} is not installed (Debian: {', '.join(sorted(_PROGRAMS[name] for name in lacking))})"
        )
    return ""


@dataclass(frozen=True)
class Mount:
    """A file system in the raw file `disk`, from `start` on, and where it belongs in the guest's tree."""

    disk: str
    start: int
    size: int
    point: str

    def command(self, where: str) -> str:
        """How the host's shell mounts it at `where`; the loop device goes with the mount."""
        options = f"loop,offset={self.start},sizelimit={self.size},nodev"
        if self.point != "/":
            # A link on the way must not lead out of the tree.
            real = f'[ "$(readlink -f {quote(where)})" = {quote(where)} ]'
            return f"{real} || {{ echo 'the guest has no plain folder {self.point}' >&2; exit 1; }}\nmount -o {options} {quote(self.disk)} {quote(where)}"
        return f"mount -o {options} {quote(self.disk)} {quote(where)}"


class ChrootSession:
    """The guest's files in the folder `root`, after `mounts` in it; `network` lets scripts reach others."""

    def __init__(
        self,
        root: str,
        *,
        network: bool,
        carried: Collection[int],
        seconds: float,
        watch: Callable[[], None],
        mounts: Sequence[Mount] = (),
    ) -> None:
        obstacle = chroot_obstacle()
        if obstacle:
            raise MissingLibrary(f"engine: chroot can't be used on this host: {obstacle}.")
        self._network, self._seconds = network, seconds
        argv = [*NAMESPACES, "--ipc", "--uts", *([] if network else ["--net"]), "/bin/sh"]
        self._talk = Talk(argv, pass_fds=sorted(carried), watch=watch)
        self._points = [f"{root}{one.point}".rstrip("/") for one in mounts]
        words = [one.command(point) for one, point in zip(mounts, self._points)]
        self._prepare = _PREPARE.format(root=quote(root), path=_PATH, mounts="\n".join(words))

    def start(self) -> None:
        """Mount what programs need."""
        self._talk.tell(f"{self._prepare}{_RESOLVER if self._network else ''}echo {_MARK}\n")
        self._talk.answer(_MARK, seconds=_QUICK_SECONDS)

    def put(self, handle: int, path: str) -> None:
        """Write what `handle` holds to the guest's file `path`."""
        self._do(f"inside /bin/sh -c 'cat >\"$1\"' sh {quote(path)} </dev/fd/{handle}")

    def get(self, path: str, handle: int) -> None:
        """Write the guest's file `path` to `handle`."""
        self._do(f"inside /bin/cat {quote(path)} </dev/null >/dev/fd/{handle}")

    def command(self, command: str) -> None:
        """Run `command` by the guest's shell; raises EngineError with its last words."""
        self._do(f"inside /bin/sh -c {quote(command)} </dev/null >/dev/null", seconds=self._seconds)

    def finish(self) -> None:
        """Unmount what was mounted, and end."""
        if self._network:
            self._do(_NO_RESOLVER.strip())
        self._do(_ALONE)
        self._do(f'{_UNMOUNT}for name in run dev/shm dev/pts dev sys proc; do unmount "$root/$name"; done')
        for point in reversed(self._points):
            # What could not be written is told here only. Of file systems that can't, nothing is given back.
            self._do(
                f"{_UNMOUNT}sync -f {quote(point)} || exit 1\nfstrim {quote(point)} 2>/dev/null || :\nunmount {quote(point)}"
            )
        self._talk.end(seconds=_QUICK_SECONDS)

    def close(self) -> None:
        """End the engine, whatever it does."""
        self._end_first()
        self._talk.close()

    def _end_first(self) -> None:
        """End the first process of the namespaces: unshare ends after it, when all others have ended too."""
        pid = self._talk.pid
        with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{pid}/children") as stream:
            children = stream.read().split()
            for child in children:
                os.kill(int(child), signal.SIGKILL)
            if children:
                self._talk.wait(seconds=_QUICK_SECONDS)

    def _do(self, words: str, *, seconds: float = _QUICK_SECONDS) -> None:
        # Its words go to a file of the engine's own, so that they are those of this command.
        self._talk.tell(
            f"said=$({{ {words}\n}} 2>&1) || {{ printf '%s\\n' \"$said\"; echo {_FAILED}; }}\necho {_MARK}\n"
        )
        said = self._talk.answer(_MARK, seconds=seconds).rstrip()
        if said.endswith(_FAILED):
            raise EngineError(said[: -len(_FAILED)].strip()[-_MOST_WORDS:] or "it failed and said nothing")
