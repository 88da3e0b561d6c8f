"""Test-time augmentation: mirrored network inputs, and the mean of several answers."""

from collections.abc import Sequence

import cv2
import numpy as np

__all__ = ["average_answers", "mirror_inputs"]


def mirror_inputs(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The network inputs of the picture with left and right exchanged."""
    return {name: plane[..., ::-1] for name, plane in inputs.items()}


def average_answers(answers: Sequence[np.ndarray]) -> np.ndarray:
    """The mean of answers of different sizes, at the size of the first: ``(h, w, 2)``.

    Answers that differ in hue cancel out in their mean, so it gets their mean chroma
    back.
    """
    shape = answers[0].shape[1::-1]
    same = [
        cv2.resize(np.ascontiguousarray(each), shape, interpolation=cv2.INTER_AREA)
        for each in answers
    ]
    mean = np.mean(same, axis=0)
    wanted = np.mean([np.hypot(each[..., 0], each[..., 1]).mean() for each in same])
    return mean * (wanted / max(float(np.hypot(mean[..., 0], mean[..., 1]).mean()), 1e-6))
