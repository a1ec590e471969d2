"""Starts a child process of the supervisor, as an ordinary user if requested; it ends with its parent.

Run as a script, since Python can't do this safely between fork and exec in a process with threads:
``python -IS launch.py SIGNAL PARENT UID GID COMMAND ARGUMENT…`` (UID -1: stay who we are).
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1  # Linux, prctl(2): the signal to get when the parent dies


def main(death_signal: int, parent: int, uid: int, gid: int, command: list[str]) -> None:
    """Become the command."""
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)  # before prctl: a change of user forgets the death signal
        os.umask(0o077)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != parent:  # the parent died before this process could be notified
        sys.exit(1)
    os.execv(command[0], command)


if __name__ == "__main__":
    main(*(int(number) for number in sys.argv[1:5]), sys.argv[5:])  # type: ignore[call-arg, arg-type]
