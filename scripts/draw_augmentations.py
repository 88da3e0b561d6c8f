"""Draw docs/augmentations.jpg: three examples of each augmentation. Needs the extra
``dev``.

    python scripts/draw_augmentations.py

Above, the network input; below, the target.
"""

import dataclasses
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import skimage.data
import torch

from colorizenet.training.data.augment import AugmentConfig, augment_batch, to_rgb

SIDE, SEED = 112, 11
STRENGTHS = {"zoom": 0.4}


def main() -> None:
    photograph = cv2.resize(skimage.data.astronaut(), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    batch = torch.from_numpy(np.stack([photograph] * 3))
    rows = [row("none", augment_batch(batch, AugmentConfig(), SEED))]
    for field in dataclasses.fields(AugmentConfig):
        strength: dict[str, Any] = {field.name: STRENGTHS.get(field.name, 1.0)}
        config = AugmentConfig(**strength)
        rows.append(row(field.name, augment_batch(batch, config, SEED)))
    half = (len(rows) + 1) // 2
    blank = np.full_like(rows[0], 255)
    columns = [np.vstack([*rows[start : start + half], blank][:half]) for start in (0, half)]
    picture = np.hstack(columns)
    cv2.imwrite(
        str(Path(__file__).parents[1] / "docs" / "augmentations.jpg"),
        picture[..., ::-1],
        [cv2.IMWRITE_JPEG_QUALITY, 85],
    )


def row(name, sample) -> np.ndarray:
    condition = to_rgb(sample.condition, torch.zeros_like(sample.ab)).numpy()
    target = to_rgb(sample.lightness, sample.ab).numpy()
    tiles = np.vstack([np.hstack(list(condition)), np.hstack(list(target))])
    label = np.full((len(tiles), 120, 3), 255, np.uint8)
    cv2.putText(
        label, name, (8, len(tiles) // 2), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (0, 0, 0), 1, cv2.LINE_AA
    )
    return np.pad(np.hstack([label, tiles]), ((3, 3), (3, 3), (0, 0)), constant_values=255)


if __name__ == "__main__":
    main()
