# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Types a command on a guest's serial console, as a person would, and prints what the guest answers.

console.py DOMAIN COMMAND
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
import tty

PROMPT = b"guest# "
BEGIN, END = b"--begin--", b"--end--"


def read(terminal: int, *, until: bytes, seconds: float) -> bytes:
    """What comes within `seconds`, or up to and with `until`."""
    heard = b""
    deadline = time.monotonic() + seconds
    while until not in heard and time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.1)[0]:
            heard += os.read(terminal, 65536)
    return heard


def main() -> int:
    domain, command = sys.argv[1:]
    path = subprocess.check_output(["virsh", "--connect", "qemu:///system", "ttyconsole", domain], text=True).strip()
    terminal = os.open(path, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(terminal)
    # QEMU looks only once a second whether somebody has opened its terminal.
    for _turn in range(400):
        os.write(terminal, b"\n")
        if PROMPT in read(terminal, until=PROMPT, seconds=1.5):
            break
    else:
        print(f"{domain} shows no prompt on {path}", file=sys.stderr)
        return 1
    read(terminal, until=b"\0", seconds=0.5)
    # The marks are put together by the guest's shell, so the echo of what was typed does not hold them.
    os.write(terminal, f"echo --be''gin--; {command}; echo --en''d--\n".encode())
    heard = read(terminal, until=END, seconds=600)
    print(heard.partition(BEGIN)[2].partition(END)[0].decode(errors="replace").strip())
    return 0 if END in heard else 1


if __name__ == "__main__":
    sys.exit(main())
