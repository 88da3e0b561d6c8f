"""Files on this machine and in object stores (``s3://``, ``gs://``, ``az://``, ...).

fsspec reaches the stores, with the credentials that its environment holds. Stores fail
for a moment now and then, so each request is repeated a few times, after longer and
longer pauses.

A file appears whole or not at all: on this machine it is renamed, and in an object
store it is written with one put.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import urlsplit

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs

from colorizenet.errors import ConfigError, ImageError, quote
from colorizenet.files import is_url, write_atomically
from colorizenet.journal import read_fingerprint

__all__ = [
    "Folder",
    "download",
    "fingerprint",
    "list_folders",
    "open_store",
    "read_info",
    "retry",
]

_PAUSES = (0.1, 0.3, 1.0, 3.0)
"""Seconds between the attempts of a request."""
_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
"""Errors that another attempt does not change."""
_MARKS = (
    *("ETag", "etag", "md5Hash", "content_md5"),
    *("mtime", "LastModified", "last_modified", "updated", "created"),
)
"""What stores call the mark by which another content of a file is recognized."""

T = TypeVar("T")


def open_store(url: str) -> tuple[AbstractFileSystem, str]:
    """The file system of a URL, and the path in it.

    Raises ``ConfigError`` for a URL that fsspec does not know, that holds a password,
    which would get into reports, or whose store cannot be reached with what is
    configured.
    """
    if urlsplit(url).password:
        raise ConfigError(
            f"the URL of {quote(urlsplit(url).hostname)} holds a password, which would get into "
            "reports; configure fsspec with it instead"
        )
    try:
        return url_to_fs(url)
    except ImportError as error:
        raise ConfigError(
            f"{quote(url)} needs a package that is not installed: {quote(error)}"
        ) from error
    except ValueError as error:
        raise ConfigError(
            f"{quote(url)} is in no store that fsspec knows ({quote(error)}); "
            "give a URL such as s3://bucket/folder"
        ) from error
    except Exception as error:  # the errors of the clients of stores have no common base
        raise ConfigError(
            f"{quote(url)} cannot be reached: {describe_failure(error)}; check the address and "
            "the credentials"
        ) from error


def retry(request: Callable[[], T]) -> T:
    """The answer to a request, which is repeated after errors that may pass."""
    for pause in _PAUSES:
        try:
            return request()
        except _FINAL:
            raise
        except Exception:
            # A broad except: the errors of the clients of stores have no common base.
            time.sleep(pause)
    return request()


def describe_failure(error: Exception) -> str:
    """What went wrong with a file or a store, in a few words."""
    return quote(getattr(error, "strerror", None) or str(error) or type(error).__name__)


def read_info(url: str) -> dict[str, Any]:
    """What a store says of a file or folder: at least ``name``, ``size`` and ``type``.

    Raises ``ConfigError`` where it has none of that name, or does not answer.
    """
    store, path = open_store(url)
    try:
        return retry(lambda: store.info(path))
    except FileNotFoundError as error:
        raise ConfigError(f"{quote(url)} does not exist; check the address") from error
    except Exception as error:  # the errors of the clients of stores have no common base
        raise ConfigError(
            f"{quote(url)} cannot be read: {describe_failure(error)}; check the address and "
            "the credentials"
        ) from error


def fingerprint(info: Mapping[str, Any]) -> str:
    """A text that differs when a file in a store was replaced by another one."""
    mark = next((str(info[name]) for name in _MARKS if info.get(name)), "")
    return json.dumps([info.get("size"), mark])


def list_folders(url: str) -> Iterator[tuple[PurePosixPath, list[dict[str, Any]]]]:
    """The files of a folder in a store and of each folder in it, except hidden ones.

    Yields the relative path of a folder, and what the store says of its files.
    """
    store, root = open_store(url)
    waiting = [(PurePosixPath(), root)]
    while waiting:
        relative, path = waiting.pop()
        try:
            infos = retry(lambda path=path: store.ls(path, detail=True))
        except FileNotFoundError:
            infos = []
        except Exception as error:  # the errors of the clients of stores have no common base
            raise ConfigError(
                f"{quote(url)} cannot be listed: {describe_failure(error)}; check the address and "
                "the credentials"
            ) from error
        store.invalidate_cache()  # or the memory would grow with the number of files
        files, folders = [], []
        for info in sorted(infos, key=lambda info: info["name"]):
            name = PurePosixPath(info["name"]).name
            if info["name"].rstrip("/") == path.rstrip("/") or name.startswith("."):
                continue
            if info["type"] == "directory":
                folders.append((relative / name, info["name"]))
            else:
                files.append(info)
        yield relative, files
        waiting += reversed(folders)


def download(url: str, target: Path, limit: int, *, size: int = -1) -> None:
    """Copy a file from a store. ``size``: bytes that it has, -1 where unknown.

    Raises ``ImageError`` for more than ``limit`` bytes, and where that fails.
    """
    store, path = open_store(url)
    try:
        if size < 0:
            size = retry(lambda: store.info(path))["size"] or 0
        if size > limit:
            raise ImageError(
                f"{quote(url)} has {size:,} bytes and at most {limit:,} are read; reduce it"
            )
        retry(lambda: store.get_file(path, str(target)))
    except FileNotFoundError as error:
        raise ImageError(f"{quote(url)} does not exist; check the address") from error
    except ImageError:
        raise
    except Exception as error:  # the errors of the clients of stores have no common base
        raise ImageError(
            f"{quote(url)} cannot be read: {describe_failure(error)}; run the same command again"
        ) from error


@dataclass(frozen=True)
class Folder:
    """A folder of results, on this machine or in a store. Names in it have slashes."""

    root: str
    """Path or URL, without a slash at its end."""

    @property
    def local(self) -> Path | None:
        """The folder, where it is on this machine or in a file system of it."""
        return None if is_url(self.root) else Path(self.root)

    def join(self, name: str) -> str:
        """The path or URL of a file in the folder."""
        return str(self.local / name) if self.local else f"{self.root}/{name}"

    @property
    def store_path(self) -> str:
        """The path of the folder in its store."""
        return self._store[1]

    @cached_property
    def _store(self) -> tuple[AbstractFileSystem, str]:
        return open_store(self.root)

    def __getstate__(self) -> dict[str, Any]:
        """The root alone: a store cannot be sent to another process."""
        return {"root": self.root}

    def read(self, name: str) -> bytes:
        """The content of a file. Raises ``FileNotFoundError``, and ``ImageError`` where
        it cannot be read."""
        try:
            if self.local:
                return (self.local / name).read_bytes()
            store, path = self._store
            content: Any = retry(lambda: store.cat_file(f"{path}/{name}"))
            return content
        except FileNotFoundError:
            raise
        except Exception as error:  # the errors of the clients of stores have no common base
            raise self._explain(name, error, "read") from error

    def write(self, name: str, content: bytes) -> None:
        """Write a small file. Raises ``ImageError``."""
        try:
            if self.local:
                (self.local / name).parent.mkdir(parents=True, exist_ok=True)
                write_atomically(self.local / name, content)
            else:
                store, path = self._store
                retry(lambda: store.pipe_file(f"{path}/{name}", content))
        except Exception as error:  # the errors of the clients of stores have no common base
            raise self._explain(name, error) from error

    def publish(self, temporary: Path, name: str) -> None:
        """Move a complete file into the folder. Raises ``ImageError``.

        ``temporary`` is on the same file system as a local folder.
        """
        try:
            if self.local:
                (self.local / name).parent.mkdir(parents=True, exist_ok=True)
                temporary.replace(self.local / name)
            else:
                store, path = self._store
                retry(lambda: store.put_file(str(temporary), f"{path}/{name}"))
        except Exception as error:  # the errors of the clients of stores have no common base
            raise self._explain(name, error) from error

    def read_stamp(self, name: str) -> list[int] | None:
        """Size, and on this machine modification time, of a file; None without it."""
        if self.local:
            try:
                return read_fingerprint(self.local / name)
            except OSError:
                return None
        store, path = self._store
        try:
            return [int(retry(lambda: store.info(f"{path}/{name}"))["size"] or 0)]
        except FileNotFoundError:
            return None

    def list_names(self, below: str) -> list[str]:
        """The names of the files in one folder of the folder, sorted. Raises
        ``ImageError`` where it cannot be listed."""
        try:
            if self.local:
                folder = self.local / below
                return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
            store, path = self._store
            store.invalidate_cache()
            infos = retry(lambda: store.ls(f"{path}/{below}", detail=True))
        except FileNotFoundError:
            return []
        except Exception as error:  # the errors of the clients of stores have no common base
            raise self._explain(below, error, "listed") from error
        names = [PurePosixPath(info["name"]).name for info in infos if info["type"] == "file"]
        return sorted(names)

    def remove(self, names: Iterable[str]) -> None:
        """Remove files, and folders on this machine, as far as there are any."""
        for name in names:
            with suppress(OSError):
                if self.local and (self.local / name).is_dir():
                    shutil.rmtree(self.local / name)
                elif self.local:
                    (self.local / name).unlink()
                else:
                    self._remove_remote(name)

    def _remove_remote(self, name: str) -> None:
        store, path = self._store
        retry(lambda: store.rm_file(f"{path}/{name}"))

    def _explain(self, name: str, error: Exception, done: str = "written") -> ImageError:
        where = quote(self.join(name))
        return ImageError(
            f"{where} cannot be {done}: {describe_failure(error)}; check it, or choose another "
            "--out"
        )
