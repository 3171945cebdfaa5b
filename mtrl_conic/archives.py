"""Loading files of `torch.save` only if they are undamaged.

Such a file is a zip archive that stores a CRC-32 of each of its parts. torch does not check these, so a flipped bit
would be loaded as a different number. Here they are checked before anything is loaded.
"""

from __future__ import annotations

import zipfile
from typing import Any, BinaryIO

from mtrl_conic.errors import Damaged, first_line

_FOLDER = 0x10
"""The bit of a part's attributes that marks a folder."""


def load_archive(handle: BinaryIO) -> Any:
    """Load the content of an archive onto the CPU. Loading runs no code.

    Raises:
        Damaged: the file is not an archive, or it is damaged. The message contains only the reason.
    """
    import torch  # takes seconds, which commands that only list runs need not spend

    wrong = _wrong(handle)
    if wrong:
        raise Damaged(wrong)
    handle.seek(0)
    try:
        return torch.load(handle, map_location="cpu", weights_only=True)
    except Exception as error:  # on wrong bytes, the unpickler may raise anything
        # torch explains at length how to load unsafe files; its first sentence is enough.
        raise Damaged(first_line(error).partition(". ")[0]) from None


def _wrong(handle: BinaryIO) -> str:
    """Return what is wrong with an archive; an empty text if it is undamaged."""
    try:
        with zipfile.ZipFile(handle) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                return "it is compressed"
            # torch does not read a part that is marked as a folder, and leaves the tensor's memory uninitialised.
            folders = [entry.filename for entry in archive.infolist() if entry.external_attr & _FOLDER]
            part = folders[0] if folders else archive.testzip()
            return f"its part {part} is not what was written" if part is not None else ""
    except Exception as error:  # zipfile raises many kinds of errors for a damaged archive
        return first_line(error)
