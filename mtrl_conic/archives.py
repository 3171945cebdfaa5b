"""What `torch.save` wrote, loaded only where it is whole.

It is a zip archive with a CRC-32 of everything in it. torch does not look at these, so that a flipped bit would go on
as another number; here they are compared before anything is loaded.
"""

from __future__ import annotations

import zipfile
from typing import Any, BinaryIO

from mtrl_conic.errors import Damaged, first_line


def load_archive(handle: BinaryIO) -> Any:
    """What is in an archive, on the CPU. Loading runs no code.

    Raises:
        Damaged: it is none, or not what was written. The message is the reason alone.
    """
    import torch  # seconds, which listing runs need not spend

    wrong = _wrong(handle)
    if wrong:
        raise Damaged(wrong)
    handle.seek(0)
    try:
        return torch.load(handle, map_location="cpu", weights_only=True)
    except Exception as error:  # bytes that mean something else lead the unpickler anywhere
        # torch tells at length how to load what should not be loaded; its first sentence is enough.
        raise Damaged(first_line(error).partition(". ")[0]) from None


def _wrong(handle: BinaryIO) -> str:
    """What is wrong with an archive, empty where everything in it is as it was written."""
    try:
        with zipfile.ZipFile(handle) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                return "it is compressed"
            part = archive.testzip()
            return f"its part {part} is not what was written" if part is not None else ""
    except Exception as error:  # zipfile has many ways to trip over a damaged archive
        return first_line(error)
