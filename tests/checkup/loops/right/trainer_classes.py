"""Right loops in classes: estimators with `fit(X, y)`, trainers with `train()`, callbacks, configurations, factories."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from tests.support.training_loops import right


@right()
class TorchLinearRegression:
    """An estimator in the style of scikit-learn, full batch."""

    def __init__(self, lr=0.1, n_iter=150):
        self.lr, self.n_iter = lr, n_iter

    def fit(self, X, y):
        X = torch.as_tensor(X, dtype=torch.float32)
        y = torch.as_tensor(y, dtype=torch.float32).reshape(-1, 1)
        self.model_ = nn.Linear(X.shape[1], 1)
        optimizer = torch.optim.SGD(self.model_.parameters(), lr=self.lr)
        self.loss_curve_ = []
        for _ in range(self.n_iter):
            optimizer.zero_grad()
            loss = F.mse_loss(self.model_(X), y)
            loss.backward()
            optimizer.step()
            self.loss_curve_.append(loss.item())
        return self

    def predict(self, X):
        with torch.no_grad():
            return self.model_(torch.as_tensor(X, dtype=torch.float32)).numpy()


@right()
class RidgeByGradientDescent:
    """Ridge regression with its penalty as a parameter; the intercept is not penalized."""

    def __init__(self, alpha=0.01, lr=0.1, max_iter=150):
        self.alpha, self.lr, self.max_iter = alpha, lr, max_iter

    def fit(self, X, y):
        self.coef_ = torch.zeros(X.shape[1], 1, requires_grad=True)
        self.intercept_ = torch.zeros(1, requires_grad=True)
        for _ in range(self.max_iter):
            loss = ((X @ self.coef_ + self.intercept_ - y) ** 2).mean() + self.alpha * (self.coef_**2).sum()
            gradients = torch.autograd.grad(loss, (self.coef_, self.intercept_))
            with torch.no_grad():
                for parameter, gradient in zip((self.coef_, self.intercept_), gradients, strict=True):
                    parameter.sub_(self.lr * gradient)
        return self

    def predict(self, X):
        return (X @ self.coef_ + self.intercept_).detach()


class MiniBatchRegressor:
    """Mini-batches by a permutation, momentum, a model by a factory, a history by epoch."""

    def __init__(self, make_model: Callable[[int], nn.Module], epochs=25, batch_size=17, lr=0.02, momentum=0.9):
        self.make_model, self.epochs, self.batch_size = make_model, epochs, batch_size
        self.lr, self.momentum = lr, momentum
        self.history: list[float] = []

    def fit(self, X, y):
        self.model = self.make_model(X.shape[1])
        optimizer = torch.optim.SGD(self.model.parameters(), lr=self.lr, momentum=self.momentum)
        for _ in range(self.epochs):
            permutation = torch.randperm(X.size(0))
            epoch_loss = 0.0
            for i in range(0, X.size(0), self.batch_size):
                indices = permutation[i : i + self.batch_size]
                batch_x, batch_y = X[indices], y[indices]
                optimizer.zero_grad()
                loss = F.mse_loss(self.model(batch_x), batch_y)
                loss.backward()
                optimizer.step()
                epoch_loss += loss.item() * batch_x.size(0)
            self.history.append(epoch_loss / X.size(0))
        return self


def make_linear(n_features):
    return nn.Sequential(nn.Linear(n_features, 1))


mini_batch_regressor = right()(MiniBatchRegressor(make_linear))


@dataclass
class Config:
    lr: float = 0.05
    epochs: int = 30
    batch_size: int = 17
    weight_decay: float = 1e-3
    device: str = "cpu"
    log_every: int = 10
    betas: tuple[float, float] = (0.9, 0.999)


class Trainer:
    def __init__(self, model, config, train_loader, val_loader=None):
        self.model, self.config = model.to(config.device), config
        self.train_loader, self.val_loader = train_loader, val_loader
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay, betas=config.betas)
        self.criterion = nn.MSELoss()
        self.step = 0
        self.logs = []

    def _train_step(self, x, y):
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.criterion(self.model(x), y)
        loss.backward()
        self.optimizer.step()
        self.step += 1
        return loss.detach()

    @torch.inference_mode()
    def evaluate(self):
        self.model.eval()
        losses, sizes = [], []
        for x, y in self.val_loader:
            losses.append(self.criterion(self.model(x), y) * len(x))
            sizes.append(len(x))
        return (torch.stack(losses).sum() / sum(sizes)).item()

    def train(self):
        for epoch in range(self.config.epochs):
            for x, y in self.train_loader:
                loss = self._train_step(x.to(self.config.device), y.to(self.config.device))
                if self.step % self.config.log_every == 0:
                    self.logs.append({"step": self.step, "epoch": epoch, "train/loss": loss.item()})
            if self.val_loader is not None:
                self.logs.append({"step": self.step, "epoch": epoch, "val/loss": self.evaluate()})
        return self.logs


@right()
def trainer_with_configuration(model, train_loader, val_loader):
    """`Trainer(model, config, ...).train()` with AdamW, evaluation in inference mode and a list of logs."""
    return Trainer(model, Config(lr=0.03), train_loader, val_loader).train()


@right(fixtures={"make_model": make_linear})
def model_factory(make_model, X, y, n_epochs, batch_size, lr):
    """The model comes from a factory that the caller gives."""
    model = make_model(X.shape[1])
    loader = DataLoader(TensorDataset(X, y), batch_size=batch_size, shuffle=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    for _ in range(n_epochs):
        for xb, yb in loader:
            loss = F.mse_loss(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


class TabularDataset(Dataset):
    def __init__(self, features, labels):
        self.features, self.labels = features, labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return {"features": self.features[index], "label": self.labels[index]}


@dataclass
class PrintCallback:
    every: int = 5
    seen: list[float] = field(default_factory=list)

    def on_epoch_end(self, epoch, logs):
        self.seen.append(logs["loss"])
        if epoch % self.every == 0:
            print(f"epoch {epoch:3d} | " + " | ".join(f"{name} {value:.4f}" for name, value in logs.items()))


def set_seed(seed):
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@right()
def dataset_of_dictionaries_and_callbacks(X, y, seed=42):
    """A data set of the user's whose items are dictionaries; seeds are set once."""
    set_seed(seed)
    model = nn.Linear(X.shape[1], 1)
    loader = DataLoader(TabularDataset(X, y), batch_size=17, shuffle=True, num_workers=0)
    optimizer = torch.optim.RMSprop(model.parameters(), lr=0.005)
    callbacks = [PrintCallback()]
    for epoch in range(40):
        total, n = 0.0, 0
        for batch in loader:
            optimizer.zero_grad()
            loss = F.mse_loss(model(batch["features"]), batch["label"])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch["label"])
            n += len(batch["label"])
        for callback in callbacks:
            callback.on_epoch_end(epoch, {"loss": total / n})
    return callbacks[0].seen


class HookRunner:
    """A runner whose hooks step the optimizer and the schedule, as in MMEngine."""

    def __init__(self, model, optimizer, max_epochs):
        self.model, self.optimizer, self.max_epochs = model, optimizer, max_epochs
        self.hooks = []
        self.iter = self.epoch = 0

    def register_hook(self, hook):
        self.hooks.append(hook)

    def call_hook(self, name):
        for hook in self.hooks:
            getattr(hook, name, lambda runner: None)(self)

    def run(self, loader):
        while self.epoch < self.max_epochs:
            self.model.train()
            for x, y in loader:
                self.outputs = {"loss": F.mse_loss(self.model(x), y), "num_samples": len(x)}
                self.call_hook("after_train_iter")
                self.iter += 1
            self.call_hook("after_train_epoch")
            self.epoch += 1


class OptimizerHook:
    def after_train_iter(self, runner):
        runner.optimizer.zero_grad()
        runner.outputs["loss"].backward()
        runner.optimizer.step()


class StepLrHook:
    def __init__(self, step):
        self.step = step

    def after_train_epoch(self, runner):
        if (runner.epoch + 1) % self.step == 0:
            for group in runner.optimizer.param_groups:
                group["lr"] *= 0.5


@right()
def runner_with_hooks(model, loader, optimizer):
    runner = HookRunner(model, optimizer, max_epochs=30)
    runner.register_hook(OptimizerHook())
    runner.register_hook(StepLrHook(10))
    runner.run(loader)
