"""What a disk refuses to write, in one line with what helps; what killed processes leave behind."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

REMEDIES = {
    errno.ENOSPC: "free space there",
    errno.EDQUOT: "free space there, or ask for a larger quota",
    errno.EFBIG: "raise the limit on the size of a file (ulimit -f)",
    errno.EROFS: "permit writing there",
    errno.EACCES: "permit writing there",
    errno.EPERM: "permit writing there",
    errno.ENOENT: "its folder is gone, put it back",
    errno.ENOTDIR: "its folder is a file",
    errno.EEXIST: "its folder is a file",
}
"""By the system's number of an error: what a user can do."""


def unwritable(path: str | os.PathLike, error: Exception) -> str:
    """That a file cannot be written, why, and what helps, in one line."""
    number, why = getattr(error, "errno", None), getattr(error, "strerror", None) or str(error)
    if number is None and (found := re.search(r"os_error_code='(\d+)'", why)):  # tensorstore's
        number = int(found[1])
        why = os.strerror(number)
    why = " ".join(why.split())[:200] or type(error).__name__
    return f"{path}: cannot be written ({why}); {REMEDIES.get(number, 'check the disk')}"


def is_alive(pid: int) -> bool:
    """Whether a process of this machine has the number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # of another user
        pass
    return True


def leftovers(path: Path) -> list[Path]:
    """Temporary files of a file whose process has ended."""
    ours = re.compile(re.escape(path.name) + r"\.(\d+)-\d+\.partial")
    names = os.listdir(path.parent) if path.parent.is_dir() else []
    found = ((path.with_name(name), ours.fullmatch(name)) for name in names)
    return [left for left, match in found if match and not is_alive(int(match[1]))]
