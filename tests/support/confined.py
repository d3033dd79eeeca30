"""Becomes a command under what a unit of systemd's forbids it: no new privileges, no memory that is writable and
executable, and no system calls beyond the filter's: ``python confined.py CALLS COMMAND...``, CALLS a file of names.

A call that is refused answers EPERM, as SystemCallErrorNumber=EPERM says.
"""

import ctypes
import errno
import os
import sys
from pathlib import Path

_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_MDWE = 65
_PR_MDWE_REFUSE_EXEC_GAIN = 1
_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_UNKNOWN = -1


def forbid_privileges_and_written_code() -> None:
    library = ctypes.CDLL(None, use_errno=True)
    arguments = [(_PR_SET_NO_NEW_PRIVS, 1)]
    if tuple(int(part) for part in os.uname().release.split(".")[:2]) >= (6, 3):
        arguments.append((_PR_SET_MDWE, _PR_MDWE_REFUSE_EXEC_GAIN))
    for option, value in arguments:
        zero = ctypes.c_ulong(0)
        if library.prctl(option, ctypes.c_ulong(value), zero, zero, zero):
            raise OSError(ctypes.get_errno(), f"prctl {option}")


def allow_only(calls: list[str]) -> None:
    seccomp = ctypes.CDLL("libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(ctypes.c_uint32(_ERRNO | errno.EPERM)))
    for name in calls:
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number == _UNKNOWN:
            continue  # of another machine, or newer than the library
        rule = (context, ctypes.c_uint32(_ALLOW), ctypes.c_int(number), ctypes.c_uint(0))
        if code := seccomp.seccomp_rule_add(*rule):
            raise OSError(-code, f"rule for {name}")
    if code := seccomp.seccomp_load(context):
        raise OSError(-code, "the filter")


if __name__ == "__main__":
    names = Path(sys.argv[1]).read_text().split()
    forbid_privileges_and_written_code()
    allow_only(names)
    os.execvp(sys.argv[2], sys.argv[2:])
