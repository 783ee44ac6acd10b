"""Right modules and trainers of Lightning, and loops of Fabric."""

from __future__ import annotations

import lightning as L
import torch
import torch.nn.functional as F
from lightning.fabric import Fabric
from lightning.pytorch.callbacks import Callback, EarlyStopping, StochasticWeightAveraging
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

from tests.support.training_loops import right


def quiet_trainer(**options):
    return L.Trainer(
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        **options,
    )


@right()
class LitLinear(L.LightningModule):
    """The shortest module: automatic optimization, one optimizer."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 1)

    def forward(self, x):
        return self.linear(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = F.mse_loss(self(x), y)
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@right()
class LitRegressionWithSchedule(L.LightningModule):
    """Hyperparameters with defaults, a shared step, a validation step, a schedule per epoch."""

    def __init__(self, in_features: int = 3, lr: float = 0.05, weight_decay: float = 1e-3):
        super().__init__()
        self.save_hyperparameters()
        self.model = nn.Sequential(nn.Linear(in_features, 1))
        self.criterion = nn.MSELoss()

    def forward(self, x):
        return self.model(x)

    def _shared_step(self, batch, stage):
        x, y = batch
        loss = self.criterion(self(x), y)
        self.log(f"{stage}_loss", loss, on_step=False, on_epoch=True, batch_size=len(x))
        return loss

    def training_step(self, batch, batch_idx):
        return self._shared_step(batch, "train")

    def validation_step(self, batch, batch_idx):
        self._shared_step(batch, "val")

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=self.hparams.lr, momentum=0.5, weight_decay=self.hparams.weight_decay)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, step_size=10, gamma=0.5)]


@right()
class LitManual(L.LightningModule):
    """Manual optimization: the module zeroes, calls `manual_backward` and steps."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.linear = nn.Linear(3, 1)

    def training_step(self, batch, batch_idx):
        opt = self.optimizers()
        x, y = batch
        loss = F.mse_loss(self.linear(x), y)
        opt.zero_grad()
        self.manual_backward(loss)
        opt.step()
        self.log("loss", loss.detach(), prog_bar=True)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class LitOneFeature(L.LightningModule):
    """A module for one feature, given as an instance."""

    def __init__(self, lr):
        super().__init__()
        self.w, self.b, self.lr = nn.Parameter(torch.zeros(1, 1)), nn.Parameter(torch.zeros(1)), lr

    def training_step(self, batch, batch_idx):
        x, y = batch
        return {"loss": ((x @ self.w + self.b - y) ** 2).mean()}

    def configure_optimizers(self):
        return {"optimizer": torch.optim.Adam(self.parameters(), lr=self.lr)}


lit_one_feature = right()(LitOneFeature(lr=0.03))


class LitModel(L.LightningModule):
    def __init__(self, in_features, lr=0.1, optimizer="sgd"):
        super().__init__()
        self.linear, self.lr, self.optimizer = nn.Linear(in_features, 1), lr, optimizer

    def training_step(self, batch, batch_idx):
        x, y = batch
        return F.mse_loss(self.linear(x), y)

    def configure_optimizers(self):
        kind = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[self.optimizer]
        return kind(self.parameters(), lr=self.lr)


class LitModelWithValidation(LitModel):
    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("val_loss", F.mse_loss(self.linear(x), y), batch_size=len(x))


@right()
def trainer_fit(loader, val_loader):
    model = LitModelWithValidation(loader.dataset[0][0].numel())
    quiet_trainer(max_epochs=20).fit(model, loader, val_loader)
    return model


@right()
def trainer_with_accumulation_and_clipping(X, y):
    """Groups of three batches, of which the last of an epoch is short; the norm stays below the bound."""
    model = LitModel(X.shape[1])
    loader = DataLoader(TensorDataset(X, y), batch_size=17, shuffle=True)
    trainer = quiet_trainer(max_epochs=40, accumulate_grad_batches=3, gradient_clip_val=10.0)
    trainer.fit(model, loader)
    return model


@right()
def trainer_with_bfloat16_and_adamw(loader):
    model = LitModel(loader.dataset[0][0].numel(), lr=0.02, optimizer="adamw")
    quiet_trainer(max_epochs=40, precision="bf16-mixed", gradient_clip_algorithm="value", gradient_clip_val=10.0).fit(model, loader)
    return model


class History(Callback):
    def __init__(self):
        self.losses = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.losses.append(outputs["loss"].item())


class RegressionData(L.LightningDataModule):
    def __init__(self, X, y, batch_size=17):
        super().__init__()
        self.dataset, self.batch_size = TensorDataset(X, y), batch_size

    def setup(self, stage):
        self.train_set, self.val_set = random_split(self.dataset, [0.8, 0.2], generator=torch.Generator().manual_seed(42))

    def train_dataloader(self):
        return DataLoader(self.train_set, batch_size=self.batch_size, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.val_set, batch_size=self.batch_size)


@right()
def data_module_and_early_stopping(X, y, seed):
    """The data module splits the rows; the training stops when the validation loss no longer falls."""
    L.seed_everything(seed, verbose=False)
    model, history = LitModelWithValidation(X.shape[1]), History()
    stopping = EarlyStopping(monitor="val_loss", patience=12, mode="min")
    quiet_trainer(max_epochs=40, callbacks=[stopping, history]).fit(model, datamodule=RegressionData(X, y))
    return history.losses


class LitOneCycle(LitModel):
    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.01, momentum=0.9)
        steps = int(self.trainer.estimated_stepping_batches)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.05, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


@right()
def schedule_per_step(dataloader):
    model = LitOneCycle(dataloader.dataset[0][0].numel())
    quiet_trainer(max_epochs=20).fit(model, dataloader)
    return model


@right()
def weight_averaging(X, y):
    model = LitModel(X.shape[1])
    loader = DataLoader(TensorDataset(X, y), batch_size=17, shuffle=True)
    quiet_trainer(max_epochs=24, callbacks=[StochasticWeightAveraging(swa_lrs=0.05, swa_epoch_start=0.5)]).fit(model, loader)
    return model


class LitManualAccumulation(LitModel):
    def __init__(self, in_features, n=2):
        super().__init__(in_features)
        self.automatic_optimization = False
        self.n = n

    def training_step(self, batch, batch_idx):
        opt, scheduler = self.optimizers(), self.lr_schedulers()
        x, y = batch
        self.manual_backward(F.mse_loss(self.linear(x), y) / self.n)
        if (batch_idx + 1) % self.n == 0 or self.trainer.is_last_batch:
            self.clip_gradients(opt, gradient_clip_val=10.0, gradient_clip_algorithm="norm")
            opt.step()
            opt.zero_grad()
        if self.trainer.is_last_batch:
            scheduler.step()

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
        return [optimizer], [torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.97)]


@right()
def manual_optimization_with_accumulation(loader):
    model = LitManualAccumulation(loader.dataset[0][0].numel())
    quiet_trainer(max_epochs=30).fit(model, loader)
    return model


@right()
def fabric_loop(X, y):
    """Fabric wraps model, optimizer and loader; the loop is the user's."""
    fabric = Fabric(accelerator="cpu", devices=1)
    model = nn.Linear(X.shape[1], 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model, optimizer = fabric.setup(model, optimizer)
    loader = fabric.setup_dataloaders(DataLoader(TensorDataset(X, y), batch_size=17, shuffle=True))
    model.train()
    for epoch in range(25):
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = F.mse_loss(model(inputs), targets)
            fabric.backward(loss)
            optimizer.step()
        if epoch % 5 == 0:
            fabric.print(f"epoch {epoch} loss {loss.item():.4f}")
    return model
