"""Files that are written whole or not at all, and what a fit does about one that is lost."""

import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield another path to write to, in the same folder; the file gets its name at the end.

    If writing fails, what was there before is still there. The error is then an OSError that names
    the file, if the system refused to write.
    """
    target = Path(os.path.realpath(path))
    written = target.with_name(f".tmp-{uuid.uuid4().hex[:12]}-{target.name}")
    if target.exists() and not target.is_file():  # a device cannot be replaced
        written = target
    try:
        yield written
        if written is not target:
            _give_name(written, target)
    except Exception as error:
        refused = _refusal_of_system(error)
        if refused is None:
            raise
        raise OSError(refused.errno, refused.strerror, os.fspath(path)) from error
    finally:
        if written is not target:
            written.unlink(missing_ok=True)


@contextmanager
def open_whole(path: str | os.PathLike[str], mode: str) -> Iterator[IO[Any]]:
    """Open a :func:`whole_file` for writing."""
    with whole_file(path) as written, open(written, mode) as file:
        yield file


@contextmanager
def opened_whole(files: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The same files with paths opened for writing: that of a history for text, others for bytes.

    If one cannot be written, none of them is.
    """
    with ExitStack() as opened:
        yield {
            name: opened.enter_context(open_whole(file, "w" if name == "f_history" else "wb"))
            if isinstance(file, (str, os.PathLike))
            else file
            for name, file in files.items()
        }


def lost_file(callback: str, unsaved: Mapping[str, Exception]) -> Exception:
    """The error for a file that a callback has not saved; the keys are skorch's names of files."""
    name, error = next(iter(unsaved.items()))
    name = "f_params" if name == "f_module" else name  # both are names of skorch's
    kind = OSError if isinstance(error, OSError) else RuntimeError
    reason = f"{type(error).__name__}: {error}"
    return kind(f"callbacks: {callback} could not save {name}, so the fit was stopped: {reason}")


def _give_name(written: Path, target: Path) -> None:
    """Rename a file when the disk holds all of it, and have the disk hold the name."""
    with written.open("r+b") as file:  # a full disk may show only now
        os.fsync(file.fileno())
    if target.exists():
        shutil.copymode(target, written)
    os.replace(written, target)
    if os.name == "posix":  # where folders can be opened
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _refusal_of_system(error: BaseException | None) -> OSError | None:
    """The OSError behind an error: writers in C++ raise others in the place of those of a file."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error
        error = error.__cause__ or error.__context__
    return None
