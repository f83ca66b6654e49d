"""The LightningModule of a backbone, frozen or trained, and a head over its frame features."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from jungle.data.batch import Batch, ClipTensors, get_tensor
from jungle.data.metadata import Metadata
from jungle.errors import UsageError, UserError
from jungle.metrics.running import RunningScores
from jungle.models.backbones.backbone import Backbone
from jungle.models.checkpoint_metadata import CheckpointMetadata
from jungle.models.heads import Answer, HeadValues, completed, make_head
from jungle.models.inference import predict_batches
from jungle.models.losses import as_they_are, loss, prior_logits, probabilities
from jungle.models.mixup import mixed
from jungle.models.optimizer import Groups, make_optimizer, make_schedule, parameter_groups
from jungle.models.training_plan import Training
from jungle.models.unfreezing import largest, part_at, set_trained, settle

PREDICTION = ("number", "status", "reason", "probs", "times", "attention")
"""Entries of a row of `ClipClassifier.predict_step`."""
EPOCH_LOSS = "jungle_epoch_loss"
"""Key in a checkpoint: the mean training loss of the epoch so far, for resuming within the epoch."""


class ClipClassifier(pl.LightningModule):
    """Classifier of clips.

    It takes batches as `jungle.data.batch` describes. `jungle.ClipDataModule` gives such batches, and makes a
    model for them.

    `hparams` holds plain types: `describe()`, and `training`.

    Args:
        backbone: the frame feature extractor; in frozen mode it stays in eval without gradient. In finetune
            mode `training` says which of its weights and BatchNorm statistics move.
        head: plain values for `make_head`.
        classes: class names, in the order of the logits.
        task: `multilabel` or `exclusive`.
        mode: `frozen` or `finetune`.
        about: plain types for the checkpoint: how clips become frames, the training data, and by class
            `prior_shift`: the mean shift of the logits by the sampler of training clips; `draw_ratios`: the
            factor by which it raises the share of each of the `classes`, and of clips with `none`;
            `metadata`: statistics of the training clips' metadata, if the head uses it.
        training: optimizer and loss settings.
    """

    prior_shift_C: Tensor
    draw_ratio_C: Tensor

    def __init__(
        self,
        backbone: Backbone,
        head: HeadValues,
        classes: tuple[str, ...],
        task: str,
        mode: str,
        about: CheckpointMetadata | None = None,
        training: Training | None = None,
    ) -> None:
        super().__init__()
        self.backbone, self.classes, self.task, self.mode = backbone, tuple(classes), task, mode
        self.head_values, self.about = completed(head), about or CheckpointMetadata()
        self.training_plan = training or Training()
        found = self.about.get("metadata")
        self.metadata = None if found is None else Metadata.from_dict(found)
        self.head = make_head(head, backbone.dim, len(self.classes), self.metadata)
        shift = self.about.get("prior_shift", {})
        shift_C = torch.tensor([float(shift.get(c, 0.0)) for c in self.classes])
        self.register_buffer("prior_shift_C", shift_C, persistent=False)
        ratios = self.about.get("draw_ratios") if task == "multilabel" else None
        named = {} if ratios is None else ratios["classes"]
        ratio_C = torch.tensor([float(named[c]) for c in self.classes] if named else [])
        self.register_buffer("draw_ratio_C", ratio_C, persistent=False)
        self._none_ratio = 1.0 if ratios is None else float(ratios["none"])
        self.val_scores = RunningScores(self.classes, task)
        self.test_scores = RunningScores(self.classes, task)
        self._steps, self._mean_loss = 0, torch.zeros(())
        self._folded: list[Backbone] = []  # a list, so that it is not a submodule
        self.steps_in_all: int | None = None  # of the run, if epochs differ in length
        self._optimizer_epoch = 0  # the epoch whose optimizer is in use
        if self.is_frozen:
            self.backbone.requires_grad_(False)
        else:  # the optimizer and DDP collect now all weights that will ever be trained
            set_trained(self.backbone, largest(self.training_plan.unfreeze, self.backbone))
        self.train(self.training)
        # Not for loggers: training logs the whole config, which has settings of the same names.
        self.save_hyperparameters({**self.describe(), "training": self.training_plan.to_dict()}, logger=False)

    @property
    def is_frozen(self) -> bool:
        """True if the backbone's weights and statistics are not trained."""
        return self.mode == "frozen"

    def train(self, mode: bool = True) -> "ClipClassifier":
        """Set training mode; modules that must not change stay in eval."""
        super().train(mode)
        if mode:
            settle(self.backbone, self.training_plan.norm_stats)
        return self

    def on_train_start(self) -> None:
        """Unfreeze the part of this epoch: a run that resumes within an epoch skips its start."""
        self._train_part()

    def on_train_epoch_start(self) -> None:
        """Unfreeze the part of this epoch, set its optimizer, and reset the mean loss."""
        self._change_optimizer()
        self._train_part()
        self._steps, self._mean_loss = 0, torch.zeros((), device=self.device)

    def _train_part(self) -> None:
        if not self.is_frozen:
            set_trained(self.backbone, part_at(self.training_plan.unfreeze, self.current_epoch))
        self.train()  # all modules first: some leave eval in this epoch

    def _change_optimizer(self) -> None:
        """Rebuild the optimizer if this epoch has another one than the epoch before."""
        plan, now = self.training_plan, self.current_epoch
        if plan.at(now) == plan.at(self._optimizer_epoch):
            return
        self._optimizer_epoch = now
        if not self.is_frozen:  # it collects all weights that will ever be trained, as at the start
            set_trained(self.backbone, largest(plan.unfreeze, self.backbone))
        self.trainer.strategy.setup_optimizers(self.trainer)

    def on_train_epoch_end(self) -> None:
        """Lower the rate on a plateau before the epoch is saved.

        Lightning would do so after saving, and a resumed run would miss it: `make_schedule` prevents that.
        """
        for config in self.trainer.lr_scheduler_configs:
            value = self.trainer.callback_metrics.get(config.monitor or "")
            if isinstance(config.scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau) and value is not None:
                config.scheduler.step(float(value))

    def start_from_priors(self, targets_NC: Tensor, counted_N: Tensor | None = None) -> None:
        """Set the last bias so that training starts at the class shares, as drawn, instead of at one half.

        Exact copies of others' heads may start at one half. For `counted_N` see `prior_logits`.
        """
        if getattr(self.head, "starts_from_priors", True):
            with torch.no_grad():
                self._last_layer().bias.copy_(prior_logits(targets_NC, self.task, counted_N))

    def move_priors(self, by_C: Tensor) -> None:
        """Add the mean shift of the logits by another sampler of clips to the last bias."""
        with torch.no_grad():
            self._last_layer().bias.add_(by_C)

    def _last_layer(self) -> nn.Linear:
        last = self.head.classify[-1]
        assert isinstance(last, nn.Linear)
        return last

    def features(self, frames_BTHWC: Tensor, mask_BT: Tensor, real_N: Tensor | None = None) -> Tensor:
        """Run the backbone on the frames that exist; return `x_BTD`, zero where masked.

        `real_N`: their places in B x T. Without it the GPU has to finish twice to count them.
        """
        if real_N is None:
            real_N = mask_BT.flatten().nonzero()[:, 0]
        real_NHWC = frames_BTHWC.flatten(0, 1)[real_N]
        if self.is_frozen:
            with torch.no_grad():
                # As stored features, which are float16: a clip predicted from its video gets the same answer.
                x_ND = self.backbone(real_NHWC).half().float()
        else:
            x_ND = self.backbone(real_NHWC)
        x_MD = x_ND.new_zeros(mask_BT.numel(), x_ND.shape[1]).index_copy(0, real_N, x_ND)
        return x_MD.view(*mask_BT.shape, -1)

    def forward(self, batch: ClipTensors) -> Answer:
        """Answer for every clip of the batch; outside training, corrected for how clips were drawn."""
        mask_BT = batch["mask_BT"]
        if "x_BTD" in batch:
            x_BTD = batch["x_BTD"].float()
        else:
            x_BTD = self.features(get_tensor(batch, "frames_BTHWC"), mask_BT, batch.get("real_N"))
        # The head is small and decides the answer: it computes in 32 bits, in training and prediction.
        with torch.autocast(x_BTD.device.type, enabled=False):
            facts_BF = get_tensor(batch, "facts_BF") if self.metadata else None
            answer = self.head(x_BTD, mask_BT, batch["times_BT"], facts_BF)
        return answer if self.training else answer._replace(logits_BC=self._undrawn(answer.logits_BC))

    def _undrawn(self, logits_BC: Tensor) -> Tensor:
        """Return logits corrected for how clips were drawn."""
        if len(self.draw_ratio_C):
            return as_they_are(logits_BC, self.draw_ratio_C, self._none_ratio)
        return logits_BC - self.prior_shift_C  # exact for exclusive classes; all that version 0.1 kept

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch."""
        batch = mixed(batch, self.training_plan.mixup, self.training_plan.cutmix)
        value = self._loss(self(batch).logits_BC, batch)
        self._steps += 1
        self._mean_loss = self._mean_loss + (value.detach() - self._mean_loss) / self._steps
        self.log("train/loss", self._mean_loss, prog_bar=True)  # of the epoch so far
        if self.training_plan.head_l1:
            value = value + self.training_plan.head_l1 * self._last_layer().weight.abs().sum()
        return value

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a batch to the validation scores."""
        self._judge(self.val_scores, batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a batch to the test scores."""
        self._judge(self.test_scores, batch)

    def predict_step(self, batch: Batch, batch_idx: int) -> list[dict[str, object]]:
        """Return a row for each clip that was read, on a CPU bit for bit as from `jungle predict`.

        Returns:
            Dicts of `number` (row of the clips table), `status`, `reason`, `probs` float32 `[C]`, `times`
            `[T]` in seconds, and `attention` `[T]` or None. `ClipDataModule.table_of` makes a table of them.
        """
        low = "bf16" in str(self.trainer.precision) and not self.is_frozen
        own = self.backbone
        try:
            self.backbone = next(iter(self._folded), own)
            rows = predict_batches(self, [batch], str(self.device), "bfloat16" if low else "float32")
            return [{name: getattr(row, name) for name in PREDICTION} for row in rows]
        finally:
            self.backbone = own

    def on_predict_start(self) -> None:
        """Build the folded backbone for prediction on a CPU."""
        self._folded = [self.backbone.folded()] if self.device.type == "cpu" else []

    def on_predict_end(self) -> None:
        """Drop the folded backbone."""
        self._folded = []

    def _judge(self, scores: RunningScores, batch: Batch) -> None:
        logits_BC = self(batch).logits_BC
        scores.update(batch["number_B"], probabilities(logits_BC, self.task), batch["targets_BC"])

    def on_validation_epoch_start(self) -> None:
        """Reset the validation scores."""
        self._begin(self.val_scores)

    def on_test_epoch_start(self) -> None:
        """Reset the test scores."""
        self._begin(self.test_scores)

    def _begin(self, scores: RunningScores) -> None:
        scores.reset()
        # A device without clips takes part in gathering too: its tables are empty but of the right shape.
        none_C = torch.zeros(0, len(self.classes), device=self.device)
        scores.update(torch.zeros(0, device=self.device), none_C, none_C)

    def on_validation_epoch_end(self) -> None:
        """Log the scores of the whole validation split over all devices."""
        shown = self._scores_of(self.val_scores, "validation")
        self.log_dict({f"val/{k}": v for k, v in shown.items()}, prog_bar=False, rank_zero_only=False)
        bar = {k: v for k, v in shown.items() if k in ("log_loss", "accuracy")}
        self.log_dict(bar, prog_bar=True, logger=False)

    def on_test_epoch_end(self) -> None:
        """Log the scores of the whole test split over all devices."""
        shown = self._scores_of(self.test_scores, "test")
        self.log_dict({f"test/{k}": v for k, v in shown.items()}, rank_zero_only=False)

    def _scores_of(self, running: RunningScores, split: str) -> dict[str, float]:
        """Return the scores of a split without those of single classes.

        Raises:
            UserError: none of its clips could be read.
        """
        scores = running.compute()
        if not scores["clips"] and not self.trainer.sanity_checking:
            kind = "epoch" if split == "validation" else "model"
            raise UserError(f"no {split} clip could be read, so that no {kind} can be judged: check the disk")
        return {k: v for k, v in scores.items() if not k.startswith("class/") and k != "clips"}

    def _loss(self, logits_BC: Tensor, batch: Batch) -> Tensor:
        return loss(logits_BC, batch["targets_BC"], batch["weight_B"], self.task, self.training_plan.loss)

    def parameter_groups(self) -> Groups:
        """Return all weights that are ever trained, as the optimizer gets them."""
        plan = self.training_plan.at(self._optimizer_epoch)
        backbone_lr = plan.backbone_lr or plan.lr
        return parameter_groups(
            self.backbone, self.head, plan.lr, backbone_lr, plan.weight_decay, plan.layer_decay
        )

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the optimizer of the current stage and its schedule over the whole run."""
        plan = self.training_plan.at(self._optimizer_epoch)
        optimizer = make_optimizer(plan.optimizer, self.parameter_groups(), plan.lr)
        if plan.schedule == "constant" and not plan.warmup:
            return optimizer
        total = max(int(self.steps_in_all or self.trainer.estimated_stepping_batches), 1)
        schedule = make_schedule(plan.schedule, optimizer, total, plan.warmup, *plan.monitor, plan.plateau)
        return {"optimizer": optimizer, "lr_scheduler": schedule}  # type: ignore[return-value]  # plain dicts

    def describe(self) -> dict[str, object]:
        """Return plain types that, with the weights, are enough to rebuild this model and feed it clips."""
        return {
            "version": 1,
            "backbone": self.backbone.to_dict(),
            "head": self.head_values,
            "classes": list(self.classes),
            "task": self.task,
            "mode": self.mode,
            **self.about,
        }

    @classmethod
    def load_from_checkpoint(
        cls,
        checkpoint_path: str | Path,
        map_location: str | torch.device | None = None,
        hparams_file: object = None,
        strict: bool | None = None,
        weights_only: bool | None = None,
        **kwargs: object,
    ) -> "ClipClassifier":
        """Load a checkpoint of this program, whichever trainer wrote it; no code of the file is run.

        Args:
            checkpoint_path: the file.
            map_location: the device; None = the CPU.
            hparams_file: only None: the checkpoint holds all settings.
            strict: only True or None: weights always fit exactly.
            weights_only: only True or None: nothing else is ever read.
            **kwargs: none.

        Returns:
            The model in training mode, as from Lightning: call `eval()` before you use it yourself.

        Raises:
            UsageError: an argument has another value.
            UserError: see `jungle.models.checkpoint.load_checkpoint`.
        """
        from jungle.models.checkpoint import load_checkpoint  # here, since it builds this class

        given = {"hparams_file": hparams_file, **kwargs}
        given |= {k: v for k, v in (("strict", strict), ("weights_only", weights_only)) if v is False}
        for name, value in given.items():
            if value is not None:
                raise UsageError(
                    f"load_from_checkpoint: {name}={value}: a model is what its checkpoint says, and nothing "
                    "but weights and plain values is read: leave it out"
                )
        model = load_checkpoint(checkpoint_path).model.train()
        return model if map_location is None else model.to(map_location)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse weights of other classes: the rows of the last layer are the classes, in order.

        Raises:
            UserError: the checkpoint has other classes, or these in another order.
        """
        known = checkpoint.get("jungle", {}).get("classes")
        if known is not None and list(known) != list(self.classes):
            raise UserError(
                f"the checkpoint's classes are {', '.join(known)}; those of the labels now are "
                f"{', '.join(self.classes)}: give resume=never to train a new run"
            )
        so_far = checkpoint.get(EPOCH_LOSS)  # not in checkpoints of version 0.1
        if so_far is not None:
            self._steps, self._mean_loss = int(so_far["steps"]), torch.tensor(float(so_far["mean"]))
        # The optimizer is built before its state is restored: it must be of the same stage.
        self._optimizer_epoch = int(checkpoint.get("optimizer_epoch", 0))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the description to the weights, so that a checkpoint is complete."""
        checkpoint["jungle"] = self.describe()
        checkpoint[EPOCH_LOSS] = {"steps": self._steps, "mean": float(self._mean_loss)}
        if self.training_plan.stages:
            checkpoint["optimizer_epoch"] = self._optimizer_epoch
