# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a whole ansible-playbook takes, from its start to its end: a JSON list of seconds, one for each round."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time


def main() -> int:
    rounds, *command = sys.argv[1:]
    # What is measured within is not a measurement of its own.
    environment = {**os.environ, "IMAGEOPS_BENCH_LOG": os.devnull}
    seconds = []
    for _round in range(int(rounds)):
        began = time.monotonic()
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
        seconds.append(time.monotonic() - began)
    print(json.dumps(seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
