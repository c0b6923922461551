"""Runs a command that ends when whoever started it ends, however that happens.

    subprocess.Popen([sys.executable, "-IS", "tests/leash.py", *command], stdin=subprocess.PIPE)

The leash is standard input: the kernel closes it when the test run ends or is killed, also by SIGKILL and also on
systems without a parent-death signal, so no engine is left behind holding a port. Only the standard library, so that it
starts in milliseconds.
"""

import os
import subprocess
import sys
import threading

KILL_AFTER_S = 3


def end_with_parent(process: subprocess.Popen[bytes]) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    process.terminate()
    try:
        process.wait(KILL_AFTER_S)
    except subprocess.TimeoutExpired:
        process.kill()


if __name__ == "__main__":
    command = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    threading.Thread(target=end_with_parent, args=[command], daemon=True).start()
    # A signal's number is negative here; a shell would say 128 + number, and so do we.
    status = command.wait()
    sys.exit(status if status >= 0 else 128 - status)
