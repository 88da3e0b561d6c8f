"""``FollowHints``: what is trained, and what stays as it is."""

import pytest
import torch
from torch import nn

from colorizenet.errors import ConfigError
from colorizenet.training.losses import LossConfig
from colorizenet.training.networks.encoder_unet import EncoderUNetConfig
from colorizenet.training.tasks import HintsConfig, OptimConfig

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated"),
    pytest.mark.filterwarnings(
        "ignore:You defined a `validation_step` but have no `val_dataloader`"
    ),
]


@pytest.fixture
def make_task():
    """Build the task with a small network; arguments change its settings."""

    def make(*, freeze="all-but-hints", inputs=("lightness", "hints"), lr=1e-2, **settings):
        torch.manual_seed(0)
        network = EncoderUNetConfig(
            encoder="test_efficientnet", pretrained="none", widths=(16, 8, 8, 8)
        ).build(in_channels=4)
        nn.init.normal_(network.head.weight, std=0.05)
        optim = OptimConfig(lr=lr, warmup=0, freeze=freeze)
        return HintsConfig(**settings).build(
            network, LossConfig(pixel="l1"), optim, pictures=4000, inputs=inputs
        )

    return make


def test_only_the_part_that_follows_hints_is_trained(make_task, train):
    task = make_task()
    condition = torch.rand(2, 4, 32, 32)
    condition[:, 1:] = 0
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
    assert moved == {name for name in state if name.startswith("hints.")}
    assert logged[0].keys() >= {"loss", "pixel", "hints", "gradient_norm"}
    task.network.eval()
    with torch.no_grad():
        assert torch.equal(task.network(condition), before)


def test_hints_are_followed_after_a_short_training(make_task, train):
    task = make_task(implausible=0.0, lambda_hints=1.0)
    logged, _ = train(task, 60)
    at_hints = [row["hints"] for row in logged]
    assert sum(at_hints[-10:]) < sum(at_hints[:10]) / 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"freeze": "encoder"}, r"optim\.freeze is encoder; give all-but-hints"),
        ({"inputs": ("lightness",)}, "give lightness hints"),
        ({"implausible": 1.5}, r"task\.implausible"),
        ({"lambda_hints": -1.0}, r"task\.lambda-hints"),
    ],
)
def test_unusable_settings_are_an_error(make_task, settings, message):
    with pytest.raises(ConfigError, match=message):
        make_task(**settings)


def test_a_network_without_hints_cannot_freeze_the_rest():
    network = EncoderUNetConfig(
        encoder="test_efficientnet", pretrained="none", widths=(16, 8, 8, 8)
    ).build()
    optim = OptimConfig(freeze="all-but-hints")
    with pytest.raises(ConfigError, match="EncoderUNet has no hints"):
        HintsConfig().build(network, LossConfig(), optim, pictures=4)
