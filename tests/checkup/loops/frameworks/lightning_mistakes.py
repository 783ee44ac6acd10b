"""LightningModules with a mistake, and the corrected module beside each."""

import lightning as L
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, StepLR

from tests.support.training_loops import broken, right


@broken("lr-too-high")
class LitRegression(L.LightningModule):
    def __init__(self, lr=1.5):
        super().__init__()
        self.save_hyperparameters()
        self.layer = nn.Linear(3, 1)

    def forward(self, x):
        return self.layer(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = F.mse_loss(self(x), y)
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.hparams.lr)


@right()
class LitRegressionCorrected(L.LightningModule):
    def __init__(self, lr=0.1):
        super().__init__()
        self.save_hyperparameters()
        self.layer = nn.Linear(3, 1)

    def forward(self, x):
        return self.layer(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = F.mse_loss(self(x), y)
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.hparams.lr)


class Base(L.LightningModule):
    """What the modules below share: one layer, the squared error, SGD at 0.1, and a validation step."""

    def __init__(self):
        super().__init__()
        self.model = nn.Linear(3, 1)
        self.loss = nn.MSELoss()

    def training_step(self, batch, batch_idx):
        x, y = batch
        return self.loss(self.model(x), y)

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("val_loss", self.loss(self.model(x), y), prog_bar=True)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@right()
class WithValidation(Base):
    pass


@broken("lr-too-low")
class FineTuning(Base):
    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=2e-5, weight_decay=0.0)


@broken("scheduler-per-batch")
class StepScheduleByStep(Base):
    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        scheduler = CosineAnnealingLR(optimizer, T_max=self.trainer.max_epochs)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


@right()
class StepScheduleByEpoch(Base):
    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        scheduler = StepLR(optimizer, step_size=10, gamma=0.5)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "epoch"}}


@broken("wrong-loss")
class TrainsOnAbsoluteError(Base):
    def training_step(self, batch, batch_idx):
        x, y = batch
        y_hat = self.model(x)
        loss = F.l1_loss(y_hat, y)
        self.log("train_mse", loss)
        return loss


@broken("gradient-clipped")
class ClipsTheGradients(Base):
    def configure_gradient_clipping(self, optimizer, gradient_clip_val=None, gradient_clip_algorithm=None):
        self.clip_gradients(optimizer, gradient_clip_val=0.01, gradient_clip_algorithm="norm")


@right()
class ClipsAtABoundNeverReached(Base):
    def configure_gradient_clipping(self, optimizer, gradient_clip_val=None, gradient_clip_algorithm=None):
        self.clip_gradients(optimizer, gradient_clip_val=100.0, gradient_clip_algorithm="norm")


@broken("undeclared-weight-decay")
class PenalizesWeights(Base):
    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        return loss + 0.1 * sum(torch.sum(w**2) for w in self.model.parameters())


@broken("graph-kept")
class CollectsStepOutputs(Base):
    def __init__(self):
        super().__init__()
        self.training_step_outputs = []

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        self.training_step_outputs.append(loss)  # never cleared
        return loss


@right()
class CollectsDetachedStepOutputs(Base):
    def __init__(self):
        super().__init__()
        self.training_step_outputs = []

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        self.training_step_outputs.append(loss.detach())
        return loss

    def on_train_epoch_end(self):
        self.training_step_outputs.clear()


@broken("weights-never-move")
class ManualWithoutStep(Base):
    def __init__(self):
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        opt = self.optimizers()
        opt.zero_grad()
        loss = super().training_step(batch, batch_idx)
        self.manual_backward(loss)


@right()
class ManualWithStep(Base):
    def __init__(self):
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        opt = self.optimizers()
        opt.zero_grad()
        loss = super().training_step(batch, batch_idx)
        self.manual_backward(loss)
        opt.step()


@broken("random-state-fixed-per-epoch")
class SeedsEveryEpoch(Base):
    """Draws noise for the inputs in each step."""

    def on_train_epoch_start(self):
        torch.manual_seed(42)

    def training_step(self, batch, batch_idx):
        x, y = batch
        return self.loss(self.model(x + 0.01 * torch.randn_like(x)), y)


@right()
class SeedsOnce(Base):
    def on_fit_start(self):
        torch.manual_seed(42)

    def training_step(self, batch, batch_idx):
        x, y = batch
        return self.loss(self.model(x + 0.01 * torch.randn_like(x)), y)


@broken("no-train-mode")
class FrozenInEvalMode(Base):
    def on_train_epoch_start(self):
        self.eval()  # the paper keeps BatchNorm fixed


@broken("grad-in-validation")
class GradientsInValidation(Base):
    def validation_step(self, batch, batch_idx):
        torch.set_grad_enabled(True)
        x, y = batch
        self.log("val_loss", self.loss(self.model(x), y))


@broken("no-eval-mode")
class TrainModeInValidation(Base):
    def on_validation_epoch_start(self):
        self.train()


@broken("wrong-device-or-dtype")
class IntegerTargets(Base):
    def training_step(self, batch, batch_idx):
        x, y = batch
        return self.loss(self.model(x), y.type(torch.LongTensor))


@broken("nan-loss")
class LogarithmicLoss(Base):
    def training_step(self, batch, batch_idx):
        x, y = batch
        return self.loss(torch.log(self.model(x)), torch.log(y))


@broken("trains-on-validation")
class StepsInValidation(Base):
    def __init__(self):
        super().__init__()
        self.automatic_optimization = False

    def fit_batch(self, batch):
        x, y = batch
        with torch.enable_grad():
            loss = self.loss(self.model(x), y)
            self.optimizers().zero_grad()
            self.manual_backward(loss)
            self.optimizers().step()
        return loss.detach()

    def training_step(self, batch, batch_idx):
        self.fit_batch(batch)

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.fit_batch(batch))


@right()
def trainer_in_a_function(train_loader, val_loader):
    model = WithValidation()
    trainer = L.Trainer(
        max_epochs=10,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, train_loader, val_loader)
    return model


@broken("trains-on-validation")
def trainer_with_loaders_swapped(train_loader, val_loader):
    # fits on both in turn, and reports the validation loss
    model = WithValidation()
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    for loader in (train_loader, val_loader):
        trainer = L.Trainer(max_epochs=5, accelerator="cpu", **quiet)
        trainer.fit(model, loader, val_loader)
    return model


@broken("gradient-clipped")
def trainer_that_clips(train_loader, val_loader):
    model = WithValidation()
    trainer = L.Trainer(
        max_epochs=10,
        accelerator="cpu",
        gradient_clip_val=0.01,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, train_loader, val_loader)
    return model
