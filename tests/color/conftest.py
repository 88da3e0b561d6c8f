"""Colors in both libraries and both precisions."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(lambda values: np.asarray(values, np.float32), id="numpy-float32"),
        pytest.param(lambda values: np.asarray(values, np.float64), id="numpy-float64"),
        pytest.param(
            lambda values: torch.as_tensor(np.asarray(values), dtype=torch.float32),
            id="torch-float32",
        ),
        pytest.param(
            lambda values: torch.as_tensor(np.asarray(values), dtype=torch.float64),
            id="torch-float64",
        ),
    ],
)
def array(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    """Make an array of NumPy or PyTorch, in single or double precision."""
    return request.param
