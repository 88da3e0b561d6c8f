"""Photographs -> batches of uint8 RGB ``(N, H, W, 3)``. Lab happens later, on the device.

The order of the pictures and every random draw are functions of (seed, pictures seen), so a
run that is stopped and resumed sees what it would have seen.
"""

import hashlib
import itertools
import random
import re
import signal
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import lightning
import numpy as np
import torch
from jaxtyping import UInt8
from torch.utils.data import DataLoader, Dataset, Sampler

from colorizenet.errors import ConfigError, DataError, quoted

__all__ = ["DataConfig", "Photographs", "all_pictures", "find_pictures"]

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"})

Split = Literal["train", "val", "test"]
Batch = UInt8[np.ndarray, "n h w 3"]


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which photographs, and what is cut out of them."""

    root: str = ""
    """Folder of photographs of any depth, folder of tar shards, or one tar shard. Splits that are
    there (train, val and test folders or shards) are used; otherwise 80/10/10 by a hash of the name."""
    val: str = ""
    """Another folder or shard to validate on, instead of the validation split of ``root``."""
    size: int = 128
    """Side of the training pictures in pixels: square cuts, brought to this size by area."""
    val_size: int = 256
    """Side of the validation pictures in pixels: the centre square."""
    val_pictures: int = 1000
    """Validate on at most this many pictures, spread evenly over the validation split."""
    min_crop: float = 0.8
    """Smallest cut as a share of the short side; a picture is never enlarged for it."""
    workers: int = 1
    """Processes that decode pictures."""

    def __post_init__(self) -> None:
        if self.size % 32 or self.val_size % 32:
            raise ConfigError(
                f"data.size {self.size} and data.val_size {self.val_size} must be multiples of 32, "
                "so that every network can halve them; try 128 or 256"
            )
        if not 0 < self.min_crop <= 1:
            raise ConfigError(f"data.min_crop is {self.min_crop}; give a share of the short side, over 0 up to 1")


@dataclass(frozen=True)
class Picture:
    """Where the encoded bytes of one photograph lie: a file, or a stretch of a tar shard."""

    name: str
    path: Path
    offset: int = 0
    length: int = -1

    def read(self) -> bytes:
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.length)


def find_pictures(root: Path, split: Split) -> list[Picture]:
    """The photographs of one split, in an order that depends on their names alone.

    A folder or shard whose name begins with the split's is that split. Where there is none,
    a hash of each picture's name decides: it never moves when others are added.
    """
    pictures = all_pictures(root)
    given = [_given_split(picture, root) for picture in pictures]
    if not any(given):
        given = [_hashed_split(picture.name) for picture in pictures]
    chosen = [picture for picture, its in zip(pictures, given, strict=True) if its == split]
    if not chosen:
        raise DataError(
            f"{quoted(root)} holds {len(pictures)} photographs and none of them falls into the {split} split; "
            "add photographs, or name another folder with data.val"
        )
    return chosen


def all_pictures(root: Path) -> list[Picture]:
    """Every photograph in a folder of any depth, in its tar shards, or in one tar shard."""
    if not root.exists():
        raise DataError(f"{quoted(root)} does not exist; name a folder of photographs or a .tar shard")
    pictures = _members(root) if root.is_file() else _walk(root)
    if not pictures:
        raise DataError(f"{quoted(root)} holds no photograph; expected {', '.join(sorted(SUFFIXES))} or .tar shards")
    return pictures


def _walk(root: Path) -> list[Picture]:
    found: list[Picture] = []
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() == ".tar":
            found += _members(path)
        elif path.suffix.lower() in SUFFIXES:
            found.append(Picture(path.relative_to(root).as_posix(), path))
    return found


def _members(shard: Path) -> list[Picture]:
    try:
        with tarfile.open(shard, "r:") as tar:  # "r:" is uncompressed, so that members can be sought
            return [
                Picture(f"{shard.name}/{member.name}", shard, member.offset_data, member.size)
                for member in tar
                if member.isfile() and Path(member.name).suffix.lower() in SUFFIXES
            ]
    except tarfile.TarError as error:
        raise DataError(f"{quoted(shard)} is not an uncompressed tar ({error}); pack it with `tar cf`") from error


def _given_split(picture: Picture, root: Path) -> Split | None:
    """The split that a folder or shard of this name says it is: ``val_256``, ``train-003.tar``."""
    first = picture.path.relative_to(root).parts[0] if root.is_dir() and picture.path != root else ""
    if first == picture.path.name and picture.path.suffix.lower() != ".tar":
        return None  # a photograph may be called test.jpg
    named = re.match(r"(train|data_256|val|test)(?![a-z])", first.lower())
    splits: dict[str, Split] = {"train": "train", "data_256": "train", "val": "val", "test": "test"}
    return splits[named[1]] if named else None


def _hashed_split(name: str) -> Split:
    tenth = int.from_bytes(hashlib.sha256(name.encode(errors="surrogateescape")).digest()[:8], "big") % 10
    return "train" if tenth < 8 else "val" if tenth == 8 else "test"


def decode(picture: Picture) -> UInt8[np.ndarray, "h w 3"]:
    """RGB of one photograph, turned upright as its EXIF says."""
    try:
        encoded = np.frombuffer(picture.read(), np.uint8)
        bgr = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded.size else None
    except (OSError, cv2.error) as error:
        raise DataError(f"{quoted(picture.name)} cannot be read ({quoted(error)}); remove it from the data") from error
    if bgr is None:
        raise DataError(f"{quoted(picture.name)} is not a picture that can be decoded; remove it from the data")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def cut(rgb: UInt8[np.ndarray, "h w 3"], size: int, side: int, top: int, left: int) -> UInt8[np.ndarray, "s s 3"]:
    """The square of ``side`` pixels at (top, left), brought to ``size``: down by area, up by cubic."""
    square = rgb[top : top + side, left : left + side]
    if side == size:
        return np.ascontiguousarray(square)
    return cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_CUBIC)


def centre_square(rgb: UInt8[np.ndarray, "h w 3"], size: int) -> UInt8[np.ndarray, "s s 3"]:
    """The largest square in the middle, brought to ``size``."""
    side = min(rgb.shape[:2])
    return cut(rgb, size, side, (rgb.shape[0] - side) // 2, (rgb.shape[1] - side) // 2)


class _Drawn(Dataset):
    """Picture number n of a run: which one, which cut of it, mirrored or not."""

    def __init__(self, pictures: Sequence[Picture], config: DataConfig, seed: int) -> None:
        self.pictures, self.config, self.seed = pictures, config, seed
        self._epoch, self._order = -1, np.empty(0, int)

    def __getitem__(self, number: int) -> UInt8[np.ndarray, "s s 3"]:
        epoch, position = divmod(number, len(self.pictures))
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = np.random.default_rng((self.seed, epoch)).permutation(len(self.pictures))
        rgb = decode(self.pictures[self._order[position]])

        draw = random.Random(f"{self.seed} {number}")
        short, size = min(rgb.shape[:2]), self.config.size
        smallest = min(short, max(size, round(short * self.config.min_crop)))
        side = draw.randint(smallest, short)
        top, left = draw.randint(0, rgb.shape[0] - side), draw.randint(0, rgb.shape[1] - side)
        square = cut(rgb, size, side, top, left)
        return square[:, ::-1] if draw.random() < 0.5 else square


class _Centred(Dataset):
    """The validation pictures, whole in their centre square."""

    def __init__(self, pictures: Sequence[Picture], size: int) -> None:
        self.pictures, self.size = pictures, size

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> UInt8[np.ndarray, "s s 3"]:
        return centre_square(decode(self.pictures[index]), self.size)


class _Order(Sampler[list[int]]):
    """Numbers of the pictures of each batch, without end: rank r of w takes every w-th batch."""

    def __init__(self, start: int, batch_size: int, rank: int, world: int) -> None:
        self.start, self.batch_size, self.rank, self.world = start, batch_size, rank, world

    def __iter__(self) -> Iterator[list[int]]:
        for batch in itertools.count(self.rank, self.world):
            first = self.start + batch * self.batch_size
            yield list(range(first, first + self.batch_size))


def _stack(pictures: list[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(pictures))


def _leave_ctrl_c_to_the_run(_worker: int) -> None:
    """A terminal sends it to workers too; where they died first, the run would end in an error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class _Loader(DataLoader):
    """A loader whose workers' errors keep their one line; PyTorch puts a traceback into the message."""

    def __iter__(self) -> Any:
        try:
            yield from super().__iter__()
        except DataError as error:
            raise DataError(str(error).splitlines()[-1].removeprefix(f"{DataError.__module__}.DataError: ")) from error


class Photographs(lightning.LightningDataModule):
    """Batches for one run; its state is the number of pictures that were trained on."""

    def __init__(self, config: DataConfig, *, batch_size: int, seed: int) -> None:
        super().__init__()
        if not config.root:
            raise ConfigError("data.root is not given; name a folder of photographs or of tar shards")
        self.config, self.batch_size, self.seed = config, batch_size, seed
        self.train = find_pictures(Path(config.root), "train")
        self.val = all_pictures(Path(config.val)) if config.val else find_pictures(Path(config.root), "val")
        self.start = 0

    def train_dataloader(self) -> DataLoader:
        world = self.trainer.world_size if self.trainer else 1
        rank = self.trainer.global_rank if self.trainer else 0
        return _Loader(
            _Drawn(self.train, self.config, self.seed),
            batch_sampler=_Order(self.start, self.batch_size, rank, world),
            **self._loading(),
        )

    def val_dataloader(self) -> DataLoader:
        stride = max(1, len(self.val) / self.config.val_pictures)
        chosen = [self.val[int(i * stride)] for i in range(min(len(self.val), self.config.val_pictures))]
        return _Loader(_Centred(chosen, self.config.val_size), batch_size=self.batch_size, **self._loading())

    def state_dict(self) -> dict[str, Any]:
        assert self.trainer is not None
        return {"pictures_seen": self.trainer.lightning_module.pictures_seen}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.start = int(state_dict["pictures_seen"])

    def fingerprint(self) -> list[dict[str, str]]:
        """Name and SHA-256 of each shard, or of the list of names and sizes of a folder."""
        files = {picture.path for picture in self.train}
        shards = sorted(path for path in files if path.suffix.lower() == ".tar")
        named = [{"name": path.name, "sha256": _sha256_of(path)} for path in shards]
        if len(shards) < len(files):
            listing = "\n".join(
                f"{picture.name} {picture.path.stat().st_size}" for picture in self.train if picture.path not in shards
            )
            sha256 = hashlib.sha256(listing.encode(errors="surrogateescape")).hexdigest()
            named.append({"name": Path(self.config.root).resolve().name, "sha256": sha256})
        return named

    def _loading(self) -> dict[str, Any]:
        """What both loaders share. Workers are forked late, so they hold no copy of the network."""
        return {
            "collate_fn": _stack,
            "num_workers": self.config.workers,
            "worker_init_fn": _leave_ctrl_c_to_the_run,
            "persistent_workers": False,
            "pin_memory": torch.cuda.is_available(),
        }


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
