"""Photographs -> batches of uint8 RGB ``(N, H, W, 3)``. Lab happens later, on the device.

The order of the pictures and every random draw are functions of (seed, pictures seen), so a
run that is stopped and resumed sees what it would have seen. A picture that cannot be decoded
or learned from is skipped, named and counted, and another, drawn in the same way, takes its place.
"""

import hashlib
import itertools
import random
import signal
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import lightning
import numpy as np
import torch
from jaxtyping import UInt8
from torch.utils.data import DataLoader, Dataset, Sampler

from colorizenet.errors import ConfigError, DataError, quote
from colorizenet.photosets import Photo, decode, find_photos, list_photos
from colorizenet.training.data.screen import Screen

__all__ = ["DataConfig", "Photographs"]


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which photographs, and what is cut out of them."""

    root: str = ""
    """Folder of photographs of any depth, folder of tar shards, or .tar shards themselves: one, a pattern
    such as train-{000..006}.tar, or http(s) addresses of them. Splits that are there (train, val and test
    folders or shards) are used; otherwise 80/10/10 by a hash of each picture's name."""
    val: str = ""
    """Other photographs to validate on, all of them, instead of the validation split of ``root``."""
    downloads: str = "downloads"
    """Folder where shards from http(s) addresses are kept."""
    size: int = 128
    """Side of the training pictures in pixels: square cuts, brought to this size by area."""
    val_size: int = 256
    """Side of the validation pictures in pixels: the center square."""
    val_pictures: int = 1000
    """Validate on at most this many pictures, spread evenly over the validation split."""
    min_crop: float = 0.8
    """Smallest cut as a share of the short side; a picture is never enlarged for it."""
    screen: Screen = field(default_factory=Screen)
    max_corrupt: float = 0.1
    """Stop the run when more than this share of the training pictures turns out not to be decodable."""
    cache_gb: float = 0.0
    """Keep up to this many GB of decoded training pictures in memory; it changes the speed and nothing else."""
    workers: int = 1
    """Processes that decode pictures."""

    def __post_init__(self) -> None:
        if self.size % 32 or self.val_size % 32:
            raise ConfigError(
                f"data.size {self.size} and data.val_size {self.val_size} must be multiples of 32, "
                "so that every network can halve them; try 128 or 256"
            )
        if not 0 < self.min_crop <= 1:
            raise ConfigError(
                f"data.min_crop is {self.min_crop}; give a share of the short side, over 0 up to 1"
            )
        for name in ("max_corrupt", "cache_gb", "workers"):
            if getattr(self, name) < 0:
                raise ConfigError(
                    f"data.{name} is {getattr(self, name)}; give a number of at least 0"
                )


def cut(
    rgb: UInt8[np.ndarray, "h w 3"], size: int, side: int, top: int, left: int
) -> UInt8[np.ndarray, "s s 3"]:
    """The square of ``side`` pixels at (top, left), brought to ``size``: down by area, up by cubic."""
    square = rgb[top : top + side, left : left + side]
    if side == size:
        return np.ascontiguousarray(square)
    return cv2.resize(
        square, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
    )


def center_square(rgb: UInt8[np.ndarray, "h w 3"], size: int) -> UInt8[np.ndarray, "s s 3"]:
    """The largest square in the middle, brought to ``size``."""
    side = min(rgb.shape[:2])
    return cut(rgb, size, side, (rgb.shape[0] - side) // 2, (rgb.shape[1] - side) // 2)


class _Skip(NamedTuple):
    """A picture that nothing is learned from, and why."""

    name: str
    reason: str
    corrupt: bool


class _Item(NamedTuple):
    """What a dataset gives: a square, or None, and what was skipped on the way to it."""

    square: np.ndarray | None
    skips: list[_Skip]


class _Drawn(Dataset):
    """Picture number n of a run: which one, which cut of it, mirrored or not."""

    TRIES = 100

    def __init__(
        self,
        pictures: Sequence[Photo],
        config: DataConfig,
        seed: int,
        cache: Mapping[Photo, np.ndarray],
    ) -> None:
        self.pictures, self.config, self.seed, self.cache = pictures, config, seed, cache
        self._epoch, self._order = -1, np.empty(0, int)
        self._judged: dict[int, _Skip | None] = {}

    def __getitem__(self, number: int) -> _Item:
        skips: list[_Skip] = []
        for index in itertools.islice(self._candidates(number), self.TRIES):
            rgb = self._sound(index)
            if isinstance(rgb, _Skip):
                skips.append(rgb)
                continue
            draw = random.Random(f"{self.seed} {number}")
            short, size = min(rgb.shape[:2]), self.config.size
            smallest = min(short, max(size, round(short * self.config.min_crop)))
            side = draw.randint(smallest, short)
            top, left = draw.randint(0, rgb.shape[0] - side), draw.randint(0, rgb.shape[1] - side)
            square = cut(rgb, size, side, top, left)
            return _Item(square[:, ::-1] if draw.random() < 0.5 else square, skips)
        return _Item(None, skips)

    def _candidates(self, number: int) -> Iterator[int]:
        """The picture whose turn it is; then, should it be skipped, others at random."""
        epoch, position = divmod(number, len(self.pictures))
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = np.random.default_rng((self.seed, epoch)).permutation(len(self.pictures))
        yield int(self._order[position])
        instead = random.Random(f"{self.seed} {number} instead")
        while True:
            yield instead.randrange(len(self.pictures))

    def _sound(self, index: int) -> np.ndarray | _Skip:
        """A picture to learn from, or why it is none; each is judged once in each process."""
        picture = self.pictures[index]
        if skip := self._judged.get(index):
            return skip
        rgb = self.cache.get(picture)
        try:
            rgb = decode(picture) if rgb is None else rgb
        except DataError as error:
            self._judged[index] = skip = _Skip(picture.name, str(error), corrupt=True)
            return skip
        if index not in self._judged:
            flaw = self.config.screen.flaw(rgb)
            self._judged[index] = _Skip(picture.name, flaw, corrupt=False) if flaw else None
        return self._judged[index] or rgb


class _Centerd(Dataset):
    """The validation pictures, whole in their center square, whatever their colors."""

    def __init__(self, pictures: Sequence[Photo], size: int) -> None:
        self.pictures, self.size = pictures, size

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> _Item:
        picture = self.pictures[index]
        try:
            return _Item(center_square(decode(picture), self.size), [])
        except DataError as error:
            return _Item(None, [_Skip(picture.name, str(error), corrupt=True)])


class _Order(Sampler[list[int]]):
    """Numbers of the pictures of each batch, without end: rank r of w takes every w-th batch."""

    def __init__(self, start: int, batch_size: int, rank: int, world: int) -> None:
        self.start, self.batch_size, self.rank, self.world = start, batch_size, rank, world

    def __iter__(self) -> Iterator[list[int]]:
        for batch in itertools.count(self.rank, self.world):
            first = self.start + batch * self.batch_size
            yield list(range(first, first + self.batch_size))


def _stack(items: list[_Item]) -> tuple[torch.Tensor | None, list[list[_Skip]]]:
    squares = [item.square for item in items if item.square is not None]
    return (torch.from_numpy(np.stack(squares)) if squares else None), [
        item.skips for item in items if item.skips
    ]


def _leave_ctrl_c_to_the_run(_worker: int) -> None:
    """A terminal sends it to workers too; where they died first, the run would end in an error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class _Loader(DataLoader):
    """Batches alone; what was skipped for them is told to ``skipped`` as they are handed out."""

    def __init__(self, dataset: Dataset, skipped: "Skipped", **settings: Any) -> None:
        super().__init__(dataset, collate_fn=_stack, **settings)
        self.skipped = skipped

    def __iter__(self) -> Any:
        handed_out = False
        for batch, skips in super().__iter__():
            for row in skips:
                self.skipped.note(row)
            if batch is not None:
                handed_out = True
                yield batch
        if not handed_out:  # of what ends, which is validation
            raise DataError(
                f"none of the pictures to validate on can be decoded ({self.skipped} so far); "
                "look at the data, or name others with data.val"
            )


class Skipped:
    """The pictures that were skipped so far, by name, and the limit to how many may be corrupt."""

    def __init__(self, pictures: int, max_corrupt: float) -> None:
        self.pictures, self.max_corrupt = pictures, max_corrupt
        self.reasons: dict[str, str] = {}
        self.corrupt: set[str] = set()

    def note(self, skips: Sequence[_Skip]) -> None:
        """Take down what was skipped one after the other; too much of it is an error."""
        for skip in skips:
            self.reasons[skip.name] = skip.reason
            if skip.corrupt:
                self.corrupt.add(skip.name)
        if len(skips) >= _Drawn.TRIES:
            raise DataError(
                f"{len(skips)} pictures in a row were skipped ({self}; the last, {quote(skips[-1].name)}, as "
                f"{skips[-1].reason}); expected photographs in color: look at the data, or at data.screen"
            )
        if len(self.corrupt) > self.max_corrupt * self.pictures:
            raise DataError(
                f"{len(self.corrupt)} of {self.pictures} pictures cannot be decoded, which is over "
                f"{self.max_corrupt:.0%} (the last: {quote(sorted(self.corrupt)[-1])}); "
                "look at the data, or raise data.max-corrupt"
            )

    def __str__(self) -> str:
        kinds = Counter(
            "corrupt" if name in self.corrupt else self.reasons[name].split(":")[0]
            for name in self.reasons
        )
        return ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())


class Photographs(lightning.LightningDataModule):
    """Batches for one run; its state is the number of pictures that were trained on, and what was skipped."""

    def __init__(self, config: DataConfig, *, batch_size: int, seed: int) -> None:
        super().__init__()
        if not config.root:
            raise ConfigError(
                "data.root is not given; name a folder of photographs or of tar shards"
            )
        self.config, self.batch_size, self.seed = config, batch_size, seed
        downloads = Path(config.downloads)
        self.train = find_photos(config.root, "train", downloads=downloads)
        self.val = (
            list_photos(config.val, downloads=downloads)
            if config.val
            else find_photos(config.root, "val", downloads=downloads)
        )
        self.start = 0
        self.skipped = Skipped(len(self.train), config.max_corrupt)

    def train_dataloader(self) -> DataLoader:
        world = self.trainer.world_size if self.trainer else 1
        rank = self.trainer.global_rank if self.trainer else 0
        return _Loader(
            _Drawn(
                self.train,
                self.config,
                self.seed,
                _cached(self.train, int(self.config.cache_gb * 1e9)),
            ),
            self.skipped,
            batch_sampler=_Order(self.start, self.batch_size, rank, world),
            **self._loading(),
        )

    def val_dataloader(self) -> DataLoader:
        stride = max(1, len(self.val) / self.config.val_pictures)
        chosen = [
            self.val[int(i * stride)] for i in range(min(len(self.val), self.config.val_pictures))
        ]
        return _Loader(
            _Centerd(chosen, self.config.val_size),
            self.skipped,
            batch_size=self.batch_size,
            **self._loading(),
        )

    def state_dict(self) -> dict[str, Any]:
        assert self.trainer is not None
        return {
            "pictures_seen": self.trainer.lightning_module.pictures_seen,
            "skipped": self.skipped.reasons,
            "corrupt": sorted(self.skipped.corrupt),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.start = int(state_dict["pictures_seen"])
        self.skipped.reasons = dict(state_dict["skipped"])
        self.skipped.corrupt = set(state_dict["corrupt"])

    def fingerprint(self) -> list[dict[str, str]]:
        """Name and SHA-256 of each shard, or of the list of names and sizes of a folder."""
        files = {picture.path for picture in self.train}
        shards = sorted(path for path in files if path.suffix.lower() == ".tar")
        named = [{"name": path.name, "sha256": _sha256_of(path)} for path in shards]
        if len(shards) < len(files):
            listing = "\n".join(
                f"{picture.name} {picture.path.stat().st_size}"
                for picture in self.train
                if picture.path not in shards
            )
            sha256 = hashlib.sha256(listing.encode(errors="surrogateescape")).hexdigest()
            named.append({"name": Path(self.config.root).resolve().name, "sha256": sha256})
        return named

    def _loading(self) -> dict[str, Any]:
        """What both loaders share. Workers are forked late, so they hold no copy of the network."""
        return {
            "num_workers": self.config.workers,
            "worker_init_fn": _leave_ctrl_c_to_the_run,
            "persistent_workers": False,
            "pin_memory": torch.cuda.is_available(),
        }


def _cached(pictures: Sequence[Photo], budget: int) -> dict[Photo, np.ndarray]:
    """The first pictures, decoded, up to so many bytes. Forked workers read them without a copy."""
    cache: dict[Photo, np.ndarray] = {}
    if not budget:
        return cache

    def decoded(picture: Photo) -> np.ndarray | None:
        try:
            return decode(picture)
        except DataError:
            return None  # it is skipped, named and counted when its turn comes

    with ThreadPoolExecutor() as pool:  # decoding leaves the interpreter free
        for first in range(0, len(pictures), 256):
            chunk = pictures[first : first + 256]
            for picture, rgb in zip(chunk, pool.map(decoded, chunk), strict=True):
                if rgb is None:
                    continue
                budget -= rgb.nbytes
                if budget < 0:
                    return cache
                cache[picture] = rgb
    return cache


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
