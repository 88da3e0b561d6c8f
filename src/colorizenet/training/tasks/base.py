"""What is learned and how: one LightningModule each, with one training step that reads like its paper."""

import math
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, cast

import lightning
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from colorizenet.errors import ConfigError
from colorizenet.evaluation import metrics
from colorizenet.training.data import augment
from colorizenet.training.data.augment import AugmentConfig, Sample
from colorizenet.training.losses import pixel as losses
from colorizenet.training.losses.objective import Objective, ObjectiveConfig, shrunk
from colorizenet.training.losses.perceptual import FrechetMetric, set_metrics
from colorizenet.training.networks.patchgan import PatchGAN, PatchGANConfig

__all__ = [
    "OptimConfig",
    "Pix2Pix",
    "Pix2PixConfig",
    "Regression",
    "RegressionConfig",
    "Task",
    "learning_rate_share",
]


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """AdamW, with a warm-up and a way down."""

    lr: float = 1.5e-3
    """Peak learning rate, reached after ``warmup`` pictures."""
    encoder_lr: float = 3e-4
    """Peak learning rate of a pretrained encoder."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decays a step of AdamW's mean gradient and mean square; beside a discriminator, 0.5 and 0.999."""
    weight_decay: float = 0.01
    """Decoupled weight decay of AdamW."""
    warmup: int = 10_000
    """Pictures over which the learning rate rises to its peak."""
    schedule: Literal["cosine", "plateau"] = "cosine"
    """After it: half a cosine down to zero at the end of the run, or a step down whenever the
    validation loss has stopped falling."""
    plateau_patience: int = 2
    """``plateau``: step down when the validation loss has not fallen in more than so many validations."""
    plateau_factor: float = 0.3
    """``plateau``: by what a step down multiplies the learning rate."""
    clip: float = 1.0
    """Largest norm of the gradient; 0 for no limit."""

    def __post_init__(self) -> None:
        for name in ("lr", "encoder_lr", "weight_decay", "warmup", "clip", "plateau_patience"):
            if getattr(self, name) < 0:
                raise ConfigError(
                    f"optim.{name} is {getattr(self, name)}; give a number of at least 0"
                )
        if not 0 < self.plateau_factor < 1:
            raise ConfigError(
                f"optim.plateau-factor is {self.plateau_factor}; give a share between 0 and 1"
            )


@dataclass(frozen=True, kw_only=True)
class RegressionConfig(ObjectiveConfig):
    """Learning to predict the color of each pixel."""

    kind: ClassVar = "regression"


@dataclass(frozen=True, kw_only=True)
class Pix2PixConfig(ObjectiveConfig):
    """Learning colors that are near the truth and that a discriminator takes for it."""

    kind: ClassVar = "pix2pix"
    loss: Literal["huber", "l1", "l2", "ciede2000"] = "l1"
    """What counts as an error of a pixel."""
    weight: float = 100.0
    """Weight of the errors of color against fooling the discriminator: pix2pix's lambda. More is safer and duller."""
    adversary: Literal["bce", "least_squares", "hinge"] = "bce"
    """The game: binary cross-entropy as in pix2pix; least squares, whose gradient does not vanish where the
    discriminator is sure; hinge, which ends where it is sure enough and goes well with spectral norm."""
    discriminator: PatchGANConfig = field(default_factory=PatchGANConfig)
    discriminator_lr: float = 2e-4
    """Peak learning rate of the discriminator; twice to four times the network's steadies the game (TTUR)."""
    discriminator_betas: tuple[float, float] = (0.5, 0.999)
    """Adam's decays for the discriminator; a first one of 0 to 0.5 keeps up with an opponent that moves."""
    warm_up: int = 0
    """Pictures on which the discriminator learns alone, before the network moves: for a network that is trained
    already, which the first steps of an ignorant discriminator would spoil."""
    smooth: float = 1.0
    """What real patches are to score, 1 or a little less, say 0.9, where the discriminator grows too sure."""
    r1: float = 0.0
    """Weight of the slope of the scores at photographs: keeps the game from circling; 0.1 to 10, at some cost."""
    guard: float = 0.0
    """Leave the discriminator out of a step while its loss, averaged, is below this: it wins and teaches nothing."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("weight", "discriminator_lr", "warm_up", "r1", "guard"):
            if getattr(self, name) < 0:
                raise ConfigError(
                    f"task.{name} is {getattr(self, name)}; give a number of at least 0"
                )
        if not 0.5 < self.smooth <= 1:
            raise ConfigError(f"task.smooth is {self.smooth}; give a score over 0.5 up to 1")


def learning_rate_share(
    pictures: int, *, warmup: int, total: int, schedule: str = "cosine"
) -> float:
    """The share of the peak learning rate after so many pictures: a line up, then half a cosine down to 0.

    On the way down ``plateau`` leaves it at the peak: it is the peak that it lowers.
    """
    if pictures < warmup:
        return pictures / warmup
    if schedule == "plateau":
        return 1.0
    done = min(1.0, (pictures - warmup) / max(1, total - warmup))
    return (1 + math.cos(math.pi * done)) / 2


class Task(lightning.LightningModule, ABC):
    """What all tasks share: counting in pictures, changing them, stepping an optimizer, validating.

    ``network`` is what is validated and exported: (N, 1, H, W) lightness to chroma of H x W or
    an even division of it, in network units.
    """

    monitor: ClassVar[str] = "val/loss"
    """The figure of validation that is lowest where the weights are best."""

    def __init__(
        self,
        network: nn.Module,
        config: ObjectiveConfig,
        optim: OptimConfig,
        *,
        pictures: int,
        augment: AugmentConfig | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.network, self.objective = network, Objective(config, network)
        self.optim, self.pictures, self.augment, self.seed = (
            optim,
            pictures,
            augment or AugmentConfig(),
            seed,
        )
        self.pictures_seen = 0

    @abstractmethod
    def learn(self, sample: Sample) -> dict[str, Tensor]:
        """One training step; what it returns, the same names each time, is logged."""

    def predict(self, sample: Sample) -> tuple[Float[Tensor, "b 2 h2 w2"], dict[str, Tensor]]:
        """What the network makes of what it sees, and each error of it."""
        features = self.network.features(sample.seen.contiguous(memory_format=torch.channels_last))  # type: ignore[operator]
        predicted = self.network.chroma(features).float()  # type: ignore[operator]
        return predicted, self.objective(sample.lightness, sample.ab, predicted, features)

    def on_train_start(self) -> None:
        if self.pictures_seen >= self.pictures:  # a finished run that is resumed
            self.trainer.should_stop = True

    def training_step(self, batch: UInt8[Tensor, "b h w 3"], _index: int) -> dict[str, Tensor]:
        # Each batch of each process draws changes of its own, and the same ones when it is resumed.
        drawn = zlib.crc32(f"{self.seed} {self.pictures_seen} {self.trainer.global_rank}".encode())
        logged = self.learn(augment.augmented(batch, self.augment, drawn))
        self.pictures_seen += len(batch) * self.trainer.world_size
        figures = {f"train/{name}": value.detach() for name, value in logged.items()}
        self.log_dict(figures)
        if self.pictures_seen >= self.pictures:
            self.trainer.should_stop = True
        return figures

    def validation_step(
        self, batch: UInt8[Tensor, "b h w 3"], _index: int
    ) -> UInt8[Tensor, "b h w 3"]:
        lightness, ab = augment.to_network(batch)
        predicted = self.network(lightness.contiguous(memory_format=torch.channels_last)).float()
        shown = augment.to_rgb(lightness, predicted)
        pairs = list(zip(shown.cpu().numpy(), batch.cpu().numpy(), strict=True))
        mean = {
            "ciede2000": sum(metrics.ciede2000(*pair) for pair in pairs) / len(pairs),
            "psnr": sum(metrics.psnr(*pair) for pair in pairs) / len(pairs),
            "colorfulness": sum(metrics.colorfulness(picture) for picture, _ in pairs) / len(pairs),
        }
        mean["loss"] = float(self.objective.pixels(predicted, shrunk(ab, predicted)))
        self.log_dict(
            {f"val/{name}": value for name, value in mean.items()},
            batch_size=len(batch),
            sync_dist=True,
        )
        return shown

    def update(
        self,
        optimizer: torch.optim.Optimizer,
        loss: Float[Tensor, ""],
        *networks: nn.Module,
        since: int = 0,
    ) -> Tensor:
        """Let networks learn from a loss; their gradient's norm, before clipping, is returned.

        The learning rate goes its way from the picture number ``since`` on.
        """
        share = learning_rate_share(
            self.pictures_seen - since,
            warmup=self.optim.warmup,
            total=self.pictures - since,
            schedule=self.optim.schedule,
        )
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * share
        optimizer.zero_grad()
        self.manual_backward(loss)
        parameters = [parameter for network in networks for parameter in network.parameters()]
        norm = nn.utils.clip_grad_norm_(parameters, self.optim.clip or math.inf)
        optimizer.step()
        return norm

    def optimizer(self) -> torch.optim.Optimizer:
        """That of the network, whose encoder has a learning rate of its own."""
        encoder = getattr(self.network, "encoder", None)
        pretrained = list(encoder.parameters()) if isinstance(encoder, nn.Module) else []
        known = {id(parameter) for parameter in pretrained}
        learning = [*self.network.parameters(), *self.objective.parameters()]
        fresh = [parameter for parameter in learning if id(parameter) not in known]
        groups = [
            {"params": parameters, "initial_lr": lr}
            for parameters, lr in ((fresh, self.optim.lr), (pretrained, self.optim.encoder_lr))
            if parameters
        ]
        return torch.optim.AdamW(
            groups, lr=self.optim.lr, betas=self.optim.betas, weight_decay=self.optim.weight_decay
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["pictures_seen"] = self.pictures_seen

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.pictures_seen = checkpoint["pictures_seen"]


class Regression(Task):
    """Predict each pixel's color, and be as wrong as the loss says (Zhang et al. 2016, section 2)."""

    def learn(self, sample: Sample) -> dict[str, Tensor]:
        _, errors = self.predict(sample)
        loss = _total(errors)
        optimizer = cast(torch.optim.Optimizer, self.optimizers())
        self.log("learning_rate", optimizer.param_groups[0]["lr"])
        norm = self.update(optimizer, loss, self.network, self.objective)
        return {"loss": loss, **errors, "gradient_norm": norm}

    def on_validation_epoch_end(self) -> None:
        """Where the schedule is ``plateau``, lower the peak learning rate if the loss no longer falls."""
        scheduler = self.lr_schedulers()
        if not isinstance(scheduler, ReduceLROnPlateau) or self.pictures_seen < self.optim.warmup:
            return
        for group in scheduler.optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        scheduler.step(self.trainer.callback_metrics["val/loss"])
        for group in scheduler.optimizer.param_groups:
            group["initial_lr"] = group["lr"]

    def configure_optimizers(self) -> Any:
        optimizer = self.optimizer()
        if self.optim.schedule == "cosine":
            return optimizer
        patience, factor = self.optim.plateau_patience, self.optim.plateau_factor
        return [optimizer], [ReduceLROnPlateau(optimizer, patience=patience, factor=factor)]


_DISTANCE = "frechet_efficientnet_lite0"
_GAMES = {
    "bce": (losses.judge_bce, losses.fool_bce),
    "least_squares": (losses.judge_least_squares, losses.fool_least_squares),
    "hinge": (losses.judge_hinge, losses.fool_hinge),
}
"""What the discriminator and what the network is punished for, by the name of the adversary."""


class Pix2Pix(Task):
    """L1 for what is certain, a patch discriminator for what is plausible (Isola et al. 2017).

    Each batch the discriminator learns from real and fake pairs of lightness and chroma, then the
    network with the discriminator frozen. The discriminator judges chroma at the size at which the
    network predicts it. The best weights are those whose colors are distributed most like the truth's:
    losses of a game say nothing of who plays well.
    """

    monitor = "val/choice"

    def __init__(
        self, network: nn.Module, config: Pix2PixConfig, optim: OptimConfig, **settings: Any
    ) -> None:
        super().__init__(network, config, optim, **settings)
        if optim.schedule == "plateau":
            raise ConfigError(
                "optim.schedule plateau waits for a loss to stop falling, and in a game none falls; try cosine"
            )
        self.discriminator = PatchGAN(config.discriminator)
        self.game = config
        self.judged = nn.Buffer(
            torch.ones(())
        )  # the discriminator's loss, averaged over its last steps
        self._distance: FrechetMetric | None = None

    def learn(self, sample: Sample) -> dict[str, Tensor]:
        of_network, of_discriminator = cast(list[torch.optim.Optimizer], self.optimizers())
        alone = self.pictures_seen < self.game.warm_up
        self.network.train(not alone)
        with torch.set_grad_enabled(not alone):
            predicted, errors = self.predict(sample)
        lightness = shrunk(sample.lightness, predicted)
        fake = torch.cat([lightness, predicted], dim=1)
        real = torch.cat([lightness, shrunk(sample.ab, predicted)], dim=1)

        logged = self._judge(real, fake.detach(), of_discriminator)
        with _frozen(self.discriminator), torch.set_grad_enabled(not alone):
            _, fool = _GAMES[self.game.adversary]
            fooling = fool(self.discriminator(fake).float())
        loss = fooling + self.game.weight * _total(errors)
        norm = loss.new_zeros(())
        if not alone:
            norm = self.update(
                of_network, loss, self.network, self.objective, since=self.game.warm_up
            )
        return {"loss": loss, "fooling": fooling, **errors, "gradient_norm": norm, **logged}

    def _judge(
        self, real: Tensor, fake: Tensor, optimizer: torch.optim.Optimizer
    ) -> dict[str, Tensor]:
        """One step of the discriminator, unless it wins so much that it is left out."""
        game = self.game
        real_scores, fake_scores = (
            self.discriminator(real).float(),
            self.discriminator(fake).float(),
        )
        judge, _ = _GAMES[game.adversary]
        judging = judge(real_scores, fake_scores, smooth=game.smooth)
        self.judged.lerp_(judging.detach(), 0.05)
        told = torch.sigmoid if game.adversary == "bce" else torch.as_tensor
        logged = {
            "judging": judging,
            "score_real": told(real_scores).mean(),
            "score_fake": told(fake_scores).mean(),
            "guarded": (self.judged < game.guard).float(),
        }
        if logged["guarded"]:
            return logged | {"discriminator_norm": judging.new_zeros(())}
        if game.r1:
            with torch.autocast(
                real.device.type, enabled=False
            ):  # its slope has a slope, which bfloat16 lacks
                photographs = real.detach().float().requires_grad_()
                judging = judging + game.r1 * losses.r1(
                    self.discriminator(photographs), photographs
                )
        return logged | {"discriminator_norm": self.update(optimizer, judging, self.discriminator)}

    def configure_optimizers(self) -> Any:
        betas, lr = self.game.discriminator_betas, self.game.discriminator_lr
        judge = torch.optim.Adam(self.discriminator.parameters(), lr=lr, betas=betas)
        for group in judge.param_groups:
            group["initial_lr"] = lr
        return [self.optimizer(), judge]

    def on_fit_start(self) -> None:
        set_metrics(
            [_DISTANCE]
        )  # what is missing is told now, and not when the first validation is due

    def on_validation_epoch_start(self) -> None:
        self._distance = set_metrics([_DISTANCE], device=str(self.device))[_DISTANCE]

    def validation_step(
        self, batch: UInt8[Tensor, "b h w 3"], index: int
    ) -> UInt8[Tensor, "b h w 3"]:
        shown = super().validation_step(batch, index)
        assert self._distance is not None
        self._distance.add("shown", shown.cpu().numpy())
        self._distance.add("truth", batch.cpu().numpy())
        true = sum(metrics.colorfulness(picture) for picture in batch.cpu().numpy()) / len(batch)
        self.log("val/colorfulness_true", true, batch_size=len(batch), sync_dist=True)
        return shown

    def on_validation_epoch_end(self) -> None:
        assert self._distance is not None
        frechet = self._distance.distance("shown", "truth")
        logged = self.trainer.callback_metrics
        true = float(logged["val/colorfulness_true"])
        off = abs(float(logged["val/colorfulness"]) - true) / true
        self.log_dict({"val/frechet": frechet, "val/choice": frechet * (1 + off)}, sync_dist=True)
        self._distance = None


def _total(errors: dict[str, Tensor]) -> Float[Tensor, ""]:
    return torch.stack(list(errors.values())).sum()


@contextmanager
def _frozen(network: nn.Module) -> Iterator[None]:
    """For a while a network only passes gradients on."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)
