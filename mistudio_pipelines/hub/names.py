"""Local names for remote files: made here, never taken from outside.

What does not belong here: folders (`store/layout.py`).
"""

from __future__ import annotations

import hashlib
import re

_HASH_CHARACTERS = 24
_LONGEST_TAIL = 100


def local_name(path: str, content: str) -> str:
    """A safe file name for a remote file: the same for the same content and tail, else different.

    Only `[A-Za-z0-9._-]`, at most 125 characters, never hidden and never special on any system, because it begins with
    a hash. The suffixes are kept: they say what the format is.

    Args:
        path: Path in the repository; may be anything.
        content: What identifies the content, for example its hash.
    """
    tail = re.split(r"[/\\]", path)[-1]
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", tail)
    safe = re.sub(r"\.{2,}", ".", safe)[-_LONGEST_TAIL:].strip("._")
    # The tail is part of the hash, so that no other name can be this one with a suffix such as `.part`.
    identity = hashlib.sha256(f"{content}\0{safe}".encode("utf-8", "surrogatepass")).hexdigest()
    return f"{identity[:_HASH_CHARACTERS]}-{safe or 'file'}"
