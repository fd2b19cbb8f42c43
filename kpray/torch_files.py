"""Files of `torch.save` that others may have written: their data is read, and no code in them runs."""

from __future__ import annotations

import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

from kpray.errors import UserError


def read_torch_file(path: Path, *, if_code: str, if_damaged: str) -> Any:
    """Read the tensors and numbers of a file. Tensors are memory-mapped if the file allows it.

    Args:
        path: the file.
        if_code: what to do if the file has code, for the message.
        if_damaged: what to do if the file cannot be read, for the message.

    Raises:
        UserError: the file has code, or cannot be read.
    """
    import torch

    where = str(path)
    zipped = zipfile.is_zipfile(path)  # files of PyTorch before 1.6 are not
    try:
        if zipped:
            with zipfile.ZipFile(path) as archive:
                if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                    raise UserError("is compressed, which torch.save does not do", where=where, fix=if_damaged)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        code = re.search(r"GLOBAL (\S+)", str(error))
        if code:
            raise UserError(f"has code ({code[1]}), which kpray does not run", where=where, fix=if_code) from error
        raise UserError("is not a file of torch.save", where=where, fix=if_damaged) from error
    except (AttributeError, EOFError, LookupError, RuntimeError, TypeError, ValueError, zipfile.BadZipFile) as error:
        reason = (str(error).strip() or "it ends too early").splitlines()[0]
        raise UserError(f"cannot be read: {reason}", where=where, fix=if_damaged) from error
