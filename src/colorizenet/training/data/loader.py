"""Photos to batches of uint8 RGB, ``(N, H, W, 3)``. The conversion to Lab follows on
the device.

The order of the photos and all random numbers are functions of the seed and the number
of pictures so far, so a resumed run continues exactly. A photo that cannot be decoded
or does not pass the screen is skipped and recorded with the reason, and a random one
replaces it.
"""

import hashlib
import itertools
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import lightning
import numpy as np
import torch
from jaxtyping import UInt8
from torch.utils.data import DataLoader, Dataset, Sampler

from colorizenet.errors import ConfigError, DataError, check_minimum, quote
from colorizenet.files import compute_sha256
from colorizenet.parallel import leave_interruptions_to_parent
from colorizenet.photosets import Photo, Split, find_splits, list_photos, read_photo
from colorizenet.training.data.screen import Screen

__all__ = ["DataConfig", "Photographs"]


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """The photos of a run, and how they are cropped."""

    root: str = ""
    """Folder of photos of any depth or of tar shards, or .tar shards: one, a pattern
    such as train-{000..006}.tar, or http(s) addresses. Folders or shards named
    train, val and test are the splits; without them a hash of each name splits
    80/10/10."""
    val: str = ""
    """Other photos to validate on, instead of the validation split of ``root``. All
    splits of it are used."""
    downloads: str = "downloads"
    """Folder for downloaded shards."""
    size: int = 128
    """Side of the training pictures in pixels. Square crops are reduced to it."""
    val_size: int = 256
    """Side of the validation pictures in pixels, and the input size of the exported
    model. The center square is used."""
    val_pictures: int = 1000
    """Largest number of validation pictures, spread evenly over the split."""
    min_crop: float = 0.8
    """Smallest crop as a share of the short side. Crops are enlarged only where the
    photo itself is smaller than the picture."""
    screen: Screen = field(default_factory=Screen)
    max_corrupt: float = 0.1
    """Stop the run if more than this share of the photos cannot be decoded."""
    cache_gb: float = 0.0
    """Cache up to this many GB of decoded training photos in memory."""
    workers: int = 1
    """Processes that decode photos."""

    def __post_init__(self) -> None:
        if self.size % 32 or self.val_size % 32:
            raise ConfigError(
                f"data.size {self.size} and data.val-size {self.val_size} must be multiples of 32, "
                "because networks halve them several times; try 128 or 256"
            )
        if not 0 < self.min_crop <= 1:
            raise ConfigError(
                f"data.min-crop is {self.min_crop}; give a share of the short side, over 0 up to 1"
            )
        check_minimum(0, "data", self, "max_corrupt", "cache_gb", "workers")
        check_minimum(1, "data", self, "size", "val_size", "val_pictures")


def crop_square(
    rgb: UInt8[np.ndarray, "h w 3"], size: int, *, side: int, top: int, left: int
) -> UInt8[np.ndarray, "s s 3"]:
    """Crop ``side`` pixels at (top, left) and resize them to ``size``.

    Area averaging reduces, cubic interpolation enlarges.
    """
    square = rgb[top : top + side, left : left + side]
    if side == size:
        return np.ascontiguousarray(square)
    return cv2.resize(
        square, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
    )


def crop_center(rgb: UInt8[np.ndarray, "h w 3"], size: int) -> UInt8[np.ndarray, "s s 3"]:
    """Crop the largest centered square and resize it to ``size``."""
    side = min(rgb.shape[:2])
    top, left = (rgb.shape[0] - side) // 2, (rgb.shape[1] - side) // 2
    return crop_square(rgb, size, side=side, top=top, left=left)


class _Skip(NamedTuple):
    """A photo that was skipped, and why."""

    name: str
    reason: str
    corrupt: bool


class _Item(NamedTuple):
    """An item of a dataset: a square or None, and the photos skipped before it."""

    square: np.ndarray | None
    skips: list[_Skip]


class _TrainingSet(Dataset):
    """Picture number n of a run: a random crop of a photo, mirrored or not."""

    MAX_TRIES = 100
    """Photos in a row that may be skipped."""

    def __init__(
        self,
        photos: Sequence[Photo],
        config: DataConfig,
        seed: int,
        cache: Mapping[Photo, np.ndarray],
    ) -> None:
        self.photos, self.config, self.seed, self.cache = photos, config, seed, cache
        self._epoch, self._order = -1, np.empty(0, int)
        self._checked: dict[int, _Skip | None] = {}

    def __getitem__(self, number: int) -> _Item:
        skips: list[_Skip] = []
        for index in itertools.islice(self._candidates(number), self.MAX_TRIES):
            rgb = self._load(index)
            if isinstance(rgb, _Skip):
                skips.append(rgb)
                continue
            numbers = random.Random(f"{self.seed} {number}")
            short, size = min(rgb.shape[:2]), self.config.size
            smallest = min(short, max(size, round(short * self.config.min_crop)))
            side = numbers.randint(smallest, short)
            top, left = (
                numbers.randint(0, rgb.shape[0] - side),
                numbers.randint(0, rgb.shape[1] - side),
            )
            square = crop_square(rgb, size, side=side, top=top, left=left)
            return _Item(square[:, ::-1] if numbers.random() < 0.5 else square, skips)
        return _Item(None, skips)

    def _candidates(self, number: int) -> Iterator[int]:
        """The next photo in the order of the epoch, then random replacements."""
        epoch, position = divmod(number, len(self.photos))
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = np.random.default_rng((self.seed, epoch)).permutation(len(self.photos))
        yield int(self._order[position])
        replacements = random.Random(f"{self.seed} {number} instead")
        while True:
            yield replacements.randrange(len(self.photos))

    def _load(self, index: int) -> np.ndarray | _Skip:
        """Decode a photo, or say why it is skipped. Screens each photo once."""
        photo = self.photos[index]
        if skip := self._checked.get(index):
            return skip
        rgb = self.cache.get(photo)
        try:
            rgb = read_photo(photo) if rgb is None else rgb
        except DataError as error:
            self._checked[index] = skip = _Skip(photo.name, str(error), corrupt=True)
            return skip
        if index not in self._checked:
            flaw = self.config.screen.find_flaw(rgb)
            self._checked[index] = _Skip(photo.name, flaw, corrupt=False) if flaw else None
        return self._checked[index] or rgb


class _ValidationSet(Dataset):
    """The center squares of the validation photos. They are not screened."""

    def __init__(self, photos: Sequence[Photo], size: int) -> None:
        self.photos, self.size = photos, size

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> _Item:
        photo = self.photos[index]
        try:
            return _Item(crop_center(read_photo(photo), self.size), [])
        except DataError as error:
            return _Item(None, [_Skip(photo.name, str(error), corrupt=True)])


class _BatchOrder(Sampler[list[int]]):
    """Endless batches of picture numbers; rank r of w takes every w-th batch."""

    def __init__(self, start: int, batch_size: int, rank: int, world: int) -> None:
        self.start, self.batch_size, self.rank, self.world = start, batch_size, rank, world

    def __iter__(self) -> Iterator[list[int]]:
        for batch in itertools.count(self.rank, self.world):
            first = self.start + batch * self.batch_size
            yield list(range(first, first + self.batch_size))


def _collate(items: list[_Item]) -> tuple[torch.Tensor | None, list[list[_Skip]]]:
    squares = [item.square for item in items if item.square is not None]
    return (torch.from_numpy(np.stack(squares)) if squares else None), [
        item.skips for item in items if item.skips
    ]


class _Loader(DataLoader):
    """Yields batches, and records the photos that were skipped for them."""

    def __init__(self, dataset: Dataset, skipped: "Skipped", **settings: Any) -> None:
        super().__init__(dataset, collate_fn=_collate, **settings)
        self.skipped = skipped

    def __iter__(self) -> Any:
        yielded = False
        for batch, skips in super().__iter__():
            for row in skips:
                self.skipped.record(row)
            if batch is not None:
                yielded = True
                yield batch
        if not yielded:  # only validation ends
            raise DataError(
                f"none of the validation photos can be decoded ({self.skipped} so far); "
                "check the data, or name others with data.val"
            )


class Skipped:
    """The photos skipped so far, by name, and the limit on corrupt ones."""

    def __init__(self, photos: int, max_corrupt: float) -> None:
        self.photos, self.max_corrupt = photos, max_corrupt
        self.reasons: dict[str, str] = {}
        self.corrupt: set[str] = set()

    def record(self, skips: Sequence[_Skip]) -> None:
        """Record photos skipped in a row. Raises DataError beyond the limits."""
        for skip in skips:
            self.reasons[skip.name] = skip.reason
            if skip.corrupt:
                self.corrupt.add(skip.name)
        if len(skips) >= _TrainingSet.MAX_TRIES:
            raise DataError(
                f"{len(skips)} photos in a row were skipped ({self}; the last, "
                f"{quote(skips[-1].name)}: {skips[-1].reason}); expected color photos: "
                "check the data, or relax data.screen"
            )
        if len(self.corrupt) > self.max_corrupt * self.photos:
            raise DataError(
                f"{len(self.corrupt)} of {self.photos} photos cannot be decoded, which is over "
                f"{self.max_corrupt:.0%} (the last: {quote(sorted(self.corrupt)[-1])}); "
                "check the data, or raise data.max-corrupt"
            )

    def __str__(self) -> str:
        kinds = Counter(
            "corrupt" if name in self.corrupt else self.reasons[name].split(":")[0]
            for name in self.reasons
        )
        return ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())


class Photographs(lightning.LightningDataModule):
    """Batches of one run. The state: pictures so far and the skipped photos."""

    def __init__(self, config: DataConfig, *, batch_size: int, seed: int) -> None:
        super().__init__()
        if not config.root:
            raise ConfigError("data.root is missing; name a folder of photos or of tar shards")
        self.config, self.batch_size, self.seed = config, batch_size, seed
        downloads = Path(config.downloads)
        wanted: tuple[Split, ...] = ("train",) if config.val else ("train", "val")
        self.train, *val = find_splits(config.root, wanted, downloads=downloads)
        self.val = val[0] if val else list_photos(config.val, downloads=downloads)
        self.start = 0
        self.val_changed = False  # whether a resumed run validated on other photos before
        self.chosen_val = _spread(self.val, config.val_pictures)
        self._val_sha256 = _hash_listing(self.chosen_val)
        self.skipped = Skipped(len(self.train) + len(self.chosen_val), config.max_corrupt)

    def train_dataloader(self) -> DataLoader:
        world = self.trainer.world_size if self.trainer else 1
        rank = self.trainer.global_rank if self.trainer else 0
        # Batches before the run are few.
        budget = int(self.config.cache_gb * 1e9) if self.trainer else 0
        return _Loader(
            _TrainingSet(
                self.train,
                self.config,
                self.seed,
                _fill_cache(self.train, budget),
            ),
            self.skipped,
            batch_sampler=_BatchOrder(self.start, self.batch_size, rank, world),
            **self._loading(),
        )

    def val_dataloader(self) -> DataLoader:
        return _Loader(
            _ValidationSet(self.chosen_val, self.config.val_size),
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
            "val": self._val_sha256,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.start = int(state_dict["pictures_seen"])
        self.val_changed = state_dict.get("val", self._val_sha256) != self._val_sha256
        self.skipped.reasons = dict(state_dict["skipped"])
        self.skipped.corrupt = set(state_dict["corrupt"])
        for photo in (*self.train, *self.val):
            if photo.name in self.skipped.corrupt:
                with suppress(DataError):  # it may have been repaired since
                    read_photo(photo)
                    self.skipped.corrupt.discard(photo.name)
                    self.skipped.reasons.pop(photo.name, None)

    def fingerprint(self) -> list[dict[str, str]]:
        """Name and SHA-256 of each shard, or of the file list of a folder."""
        files = {photo.path for photo in self.train}
        shards = {path for path in files if path.suffix.lower() == ".tar"}
        named = [{"name": path.name, "sha256": compute_sha256(path)} for path in sorted(shards)]
        if len(shards) < len(files):
            sha256 = _hash_listing([photo for photo in self.train if photo.path not in shards])
            named.append({"name": Path(self.config.root).resolve().name, "sha256": sha256})
        return named

    def _loading(self) -> dict[str, Any]:
        """Settings of both loaders. Workers are forked late, without a network."""
        return {
            "num_workers": self.config.workers,
            "worker_init_fn": leave_interruptions_to_parent,
            "persistent_workers": False,
            "pin_memory": torch.cuda.is_available(),
        }


def _spread(photos: Sequence[Photo], count: int) -> list[Photo]:
    """Up to ``count`` of the photos, spread over all of them."""
    stride = max(1, len(photos) / count)
    return [photos[int(i * stride)] for i in range(min(len(photos), count))]


def _hash_listing(photos: Sequence[Photo]) -> str:
    """SHA-256 of the names and sizes of photos."""
    listing = "\n".join(f"{photo.name} {photo.measure_size()}" for photo in photos)
    return hashlib.sha256(listing.encode(errors="surrogateescape")).hexdigest()


def _fill_cache(photos: Sequence[Photo], budget: int) -> dict[Photo, np.ndarray]:
    """Decode the first photos, up to ``budget`` bytes. Forked workers share them."""
    cache: dict[Photo, np.ndarray] = {}
    if not budget:
        return cache

    def decode(photo: Photo) -> np.ndarray | None:
        try:
            return read_photo(photo)
        except DataError:
            return None  # recorded as skipped later, when it is used

    with ThreadPoolExecutor() as pool:  # decoding releases the interpreter lock
        for first in range(0, len(photos), 256):
            chunk = photos[first : first + 256]
            for photo, rgb in zip(chunk, pool.map(decode, chunk), strict=True):
                if rgb is None:
                    continue
                budget -= rgb.nbytes
                if budget < 0:
                    return cache
                cache[photo] = rgb
    return cache
