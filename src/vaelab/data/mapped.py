"""Image arrays larger than memory: an .npy file written image by image, and mapped back as a tensor."""

import errno
import os
import warnings
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import torch
from torch import Tensor

from vaelab.errors import UsageError, VaelabError


class ArrayWriter:
    """A context that appends uint8 arrays of one shape to a file, which appears whole or not at all.

    Plain writes, not a mapping of the new file: a full disk is then an error and not a crash.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.count, self.shape = path, 0, ()
        self._partial = path.with_name(f"{path.name}.{os.getpid()}.partial")

    def __enter__(self) -> Self:
        try:
            self._partial.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._partial.open("wb")
        except OSError as error:
            raise self._failure(error) from error
        return self

    def append(self, array: np.ndarray) -> None:
        """One more; UsageError if there is no room for it."""
        try:
            if not self.count:
                self.shape = array.shape
                self._header()
            self._file.write(np.ascontiguousarray(array).data)
        except OSError as error:
            raise self._failure(error) from error
        self.count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None and self.count:
                self._header()
                self._file.close()
                self._partial.replace(self.path)
        except OSError as failure:
            raise self._failure(failure) from failure
        finally:
            self._discard()

    def _header(self) -> None:
        """At the beginning; numpy leaves room in it for the count to grow, so it may be written again."""
        self._file.seek(0)
        layout = {"descr": "|u1", "fortran_order": False, "shape": (self.count, *self.shape)}
        np.lib.format.write_array_header_1_0(self._file, layout)

    def _discard(self) -> None:
        try:
            self._file.close()
        except OSError:  # what could not be written is being thrown away
            pass
        finally:
            self._partial.unlink(missing_ok=True)

    def _failure(self, error: OSError) -> VaelabError:
        return _unwritable(self.path, error)


def _unwritable(path: Path, error: OSError) -> VaelabError:
    kind = VaelabError if error.errno == errno.ENOSPC else UsageError  # a full disk is no mistake
    return kind(f"cannot write {path} ({error.strerror}); free some space or change the folder's permissions")


def map_array(path: Path) -> Tensor:
    """The array in an .npy file as a tensor, read from the disk as it is used; it must not be written to."""
    # Read-only: a private writable mapping would count as memory in full, a shared one could spoil the file.
    array = np.load(path, mmap_mode="r")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
