"""What goes wrong, as exceptions: each carries welford's one line with file, place and reason."""


class Error(Exception):
    """Base of them all."""


class UsageError(Error, ValueError):
    """An argument of the call makes no sense."""


class FileError(Error, OSError):
    """The system refused: missing file, permission, full disk."""


class FormatError(Error, ValueError):
    """A file is damaged or not of its format."""


class UnsupportedError(Error, NotImplementedError):
    """Well-formed, but beyond what welford can do; the message names it."""


class OutOfMemoryError(Error, MemoryError):
    """Out of memory."""


class LimitError(Error):
    """The context is full."""


class CompileError(Error):
    """The compiler failed: a defect of welford, or its compiler library is missing."""


# By wf_status (include/welford.h).
BY_STATUS = (Error, UsageError, FileError, FormatError, UnsupportedError, OutOfMemoryError, LimitError, CompileError)
