"""``FollowHints``: what is trained, and what stays as it is."""

import pytest
import torch
from torch import nn

from colorizenet.errors import ConfigError
from colorizenet.training.data.augment import Sample
from colorizenet.training.losses import LossConfig
from colorizenet.training.networks.encoder_unet import EncoderUNetConfig
from colorizenet.training.tasks import HintsConfig, OptimConfig, Regression

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated"),
    pytest.mark.filterwarnings(
        "ignore:You defined a `validation_step` but have no `val_dataloader`"
    ),
]


@pytest.fixture
def make_task():
    """Build the task with a small network; arguments change its settings."""

    def make(*, freeze="all-but-similarity", similarity=4, lr=1e-2, **settings):
        torch.manual_seed(0)
        network = EncoderUNetConfig(
            encoder="test_efficientnet",
            pretrained="none",
            widths=(16, 8, 8, 8),
            similarity=similarity,
        ).build()
        nn.init.normal_(network.head.weight, std=0.05)
        optim = OptimConfig(lr=lr, warmup=0, freeze=freeze)
        return HintsConfig(**settings).build(network, LossConfig(pixel="l1"), optim, pictures=4000)

    return make


def test_only_the_part_for_similarity_is_trained(make_task, train):
    task = make_task()
    condition = torch.rand(2, 1, 32, 32)
    task.network.eval()
    with torch.no_grad():
        before = task.network(condition)
    state = {name: value.clone() for name, value in task.network.state_dict().items()}
    task.network.train()
    logged, changed = train(task, 3)
    moved = {
        name
        for name, value in task.network.state_dict().items()
        if not torch.equal(value, state[name])
    }
    assert changed == {f"network.{name}" for name in moved}
    assert moved == {name for name in state if name.startswith("similarity.")}
    assert logged[0].keys() >= {"loss", "pixel", "leak", "gradient_norm"}
    task.network.eval()
    with torch.no_grad():
        assert torch.equal(task.network(condition), before)


def test_the_weight_of_the_leak_keeps_unlikely_colors_in_their_region(make_task, train):
    def train_with(weight: float) -> float:
        task = make_task(implausible=1.0, lambda_leak=weight, lr=3e-2)
        logged, _ = train(task, 40)
        return float(sum(row["leak"] for row in logged[-10:])) / weight

    assert train_with(10.0) < 0.8 * train_with(1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"freeze": "encoder"}, r"optim\.freeze is encoder; give all-but-similarity"),
        ({"similarity": 0}, r"with network\.similarity 16"),
        ({"implausible": 1.5}, r"task\.implausible"),
        ({"lambda_leak": -1.0}, r"task\.lambda-leak"),
    ],
)
def test_unusable_settings_are_an_error(make_task, settings, message):
    with pytest.raises(ConfigError, match=message):
        make_task(**settings)


def test_a_network_without_similarity_cannot_freeze_the_rest():
    network = EncoderUNetConfig(
        encoder="test_efficientnet", pretrained="none", widths=(16, 8, 8, 8)
    ).build()
    optim = OptimConfig(freeze="all-but-similarity")
    with pytest.raises(ConfigError, match="EncoderUNet has no similarity"):
        Regression(network, LossConfig(), optim, pictures=4)


def test_where_hints_spread_is_computed_in_float32_under_autocast(make_task):
    task = make_task()
    torch.manual_seed(1)
    sample = Sample(*(torch.rand(4, channels, 32, 32) for channels in (1, 1, 2)))
    automatic, similarity = torch.rand(4, 2, 16, 16), 3 * torch.randn(4, 8, 16, 16)
    task._predict = lambda _: (automatic, similarity)
    expected = task.training_losses(sample)
    with torch.autocast("cpu", torch.bfloat16):
        found = task.training_losses(sample)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
