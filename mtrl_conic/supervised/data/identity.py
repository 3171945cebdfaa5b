"""The identity of a data set, by which a run recognises other data at the same path."""

from __future__ import annotations

import hashlib
from pathlib import Path

from mtrl_conic.runs.provenance import PROVENANCE
from mtrl_conic.runs.records import read_records

_WHOLE = 1 << 28
"""The size in bytes up to which the contents of the files are read; above it, their names and sizes are compared."""
_CHUNK = 1 << 20


def identity(path: Path) -> str:
    """Return a digest of a file, or of the files below a folder, that does not depend on where they are."""
    folder = path if path.is_dir() else path.parent
    files = sorted(file for file in folder.rglob("*") if file.is_file()) if path.is_dir() else [path]
    sizes = [file.stat().st_size for file in files]
    digest = hashlib.sha256()
    for file, size in zip(files, sizes, strict=True):
        name = file.relative_to(folder).as_posix() if path.is_dir() else ""
        digest.update(f"{name}\0{size}\n".encode())
        if sum(sizes) <= _WHOLE:
            _add(digest, file)
    return digest.hexdigest()[:16]


def data_of(directory: Path) -> str | None:
    """Return the identity of the data that the run in `directory` was trained on; None if it is not known."""
    known = [record["data"] for record in read_records(directory, PROVENANCE) if "data" in record]
    return known[-1] if known else None


def _add(digest: hashlib._Hash, file: Path) -> None:
    with file.open("rb") as opened:
        while chunk := opened.read(_CHUNK):
            digest.update(chunk)
