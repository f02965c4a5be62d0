"""Content addresses: the hash of everything that decides a result."""

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any


def canonical(material: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text.

    >>> canonical({"b": 1, "a": [0.5, None]})
    '{"a":[0.5,null],"b":1}'
    """
    return json.dumps(material, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def key(material: Any) -> str:
    """SHA-256 of the canonical JSON of `material`, in hexadecimal."""
    return hashlib.sha256(canonical(material).encode()).hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_hash(path: Path) -> str:
    """The same, read once by this process while the file's size and time stay as they are."""
    status = path.stat()
    return _hash(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=1024)
def _hash(path: Path, _size: int, _changed: int) -> str:
    return file_hash(path)
