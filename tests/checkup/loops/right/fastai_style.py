"""Right loops in the style of fastai and its course: learners, callbacks, own optimizers, the one-cycle policy."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

from tests.support.training_loops import right


class Optimizer:
    """The optimizer of the first lessons: weight decay, step, zero."""

    def __init__(self, params, lr, wd=0.0):
        self.params, self.lr, self.wd = list(params), lr, wd

    def step(self):
        with torch.no_grad():
            for p in self.params:
                self.reg_step(p)
                self.opt_step(p)

    def opt_step(self, p):
        p -= p.grad * self.lr

    def reg_step(self, p):
        if self.wd != 0:
            p *= 1 - self.lr * self.wd

    def zero_grad(self):
        for p in self.params:
            p.grad.data.zero_()


class Momentum(Optimizer):
    def __init__(self, params, lr, wd=0.0, mom=0.9):
        super().__init__(params, lr=lr, wd=wd)
        self.mom = mom

    def opt_step(self, p):
        if not hasattr(p, "grad_avg"):
            p.grad_avg = torch.zeros_like(p.grad)
        p.grad_avg = p.grad_avg * self.mom + p.grad * (1 - self.mom)
        p -= self.lr * p.grad_avg


class DataLoaders:
    def __init__(self, train, valid):
        self.train, self.valid = train, valid


def get_dls(X, y, bs, valid_pct=0.25):
    idx = torch.randperm(len(X), generator=torch.Generator().manual_seed(42))
    cut = int(len(X) * valid_pct)
    valid, train = idx[:cut], idx[cut:]
    train_dl = DataLoader(TensorDataset(X[train], y[train]), batch_size=bs, shuffle=True)
    return DataLoaders(train_dl, DataLoader(TensorDataset(X[valid], y[valid]), batch_size=bs * 2))


class CancelFitError(Exception):
    """Raised by a callback to end the training."""


class Callback:
    order = 0


class TrainCB(Callback):
    def predict(self, learn):
        learn.preds = learn.model(learn.batch[0])

    def get_loss(self, learn):
        learn.loss = learn.loss_func(learn.preds, learn.batch[1])

    def backward(self, learn):
        learn.loss.backward()

    def step(self, learn):
        learn.opt.step()

    def zero_grad(self, learn):
        learn.opt.zero_grad()


class MetricsCB(Callback):
    order = 10

    def before_epoch(self, learn):
        self.total, self.n = 0.0, 0

    def after_batch(self, learn):
        n = len(learn.batch[0])
        self.total += learn.loss.item() * n
        self.n += n

    def after_epoch(self, learn):
        learn.metrics = {"loss": f"{self.total / self.n:.4f}", "epoch": learn.epoch, "train": "train" if learn.training else "eval"}
        print(learn.metrics)


class BatchSchedCB(Callback):
    def __init__(self, sched):
        self.sched = sched

    def before_fit(self, learn):
        self.schedo = self.sched(learn.opt)

    def after_batch(self, learn):
        if learn.training:
            self.schedo.step()


class StopAtLossCB(Callback):
    """Ends the training when the training loss of an epoch no longer falls by one part in a million."""

    order = 20

    def before_fit(self, learn):
        self.last, self.count = float("inf"), 0

    def after_epoch(self, learn):
        if not learn.training:
            return
        value = float(learn.metrics["loss"])
        self.count = self.count + 1 if value >= self.last * (1 - 1e-6) else 0
        self.last = min(self.last, value)
        if self.count >= 8:
            raise CancelFitError


class Learner:
    def __init__(self, model, dls, loss_func=F.mse_loss, lr=0.1, cbs=None, opt_func=optim.SGD):
        self.model, self.dls, self.loss_func, self.lr, self.opt_func = model, dls, loss_func, lr, opt_func
        self.cbs = [TrainCB(), *(cbs or [])]

    def callback(self, method):
        for cb in sorted(self.cbs, key=lambda cb: cb.order):
            if hasattr(cb, method):
                getattr(cb, method)(self)

    def one_batch(self):
        self.callback("predict")
        self.callback("get_loss")
        if self.training:
            self.callback("backward")
            self.callback("step")
            self.callback("zero_grad")
        self.callback("after_batch")

    def one_epoch(self, training):
        self.training = training
        self.model.train(training)
        self.callback("before_epoch")
        dl = self.dls.train if training else self.dls.valid
        for self.batch in dl:
            self.one_batch()
        self.callback("after_epoch")

    def fit(self, n_epochs):
        self.opt = self.opt_func(self.model.parameters(), self.lr)
        try:
            self.callback("before_fit")
            for self.epoch in range(n_epochs):
                self.one_epoch(True)
                with torch.no_grad():
                    self.one_epoch(False)
        except CancelFitError:
            print("stopped at epoch", self.epoch)


@right()
def learner_with_metrics(X, y, batch_size=17):
    """The learner of the second part of the course, with a validation split of its own."""
    learn = Learner(nn.Linear(X.shape[1], 1), get_dls(X, y, batch_size), lr=0.1, cbs=[MetricsCB()])
    learn.fit(20)
    return learn.model


@right()
def learner_with_one_cycle(model, train_loader, val_loader):
    """A schedule per batch in a callback, AdamW with its default decay."""
    epochs = 30
    total = epochs * len(train_loader)
    sched = partial(optim.lr_scheduler.OneCycleLR, max_lr=0.05, total_steps=total)
    cbs = [BatchSchedCB(sched), MetricsCB()]
    Learner(model, DataLoaders(train_loader, val_loader), lr=0.01, cbs=cbs, opt_func=optim.AdamW).fit(epochs)


@right()
def learner_with_own_optimizer(model, train_loader, val_loader, lr):
    """The user's SGD, with a small decoupled weight decay."""
    Learner(model, DataLoaders(train_loader, val_loader), lr=lr, opt_func=partial(Optimizer, wd=1e-3)).fit(25)


@right()
def learner_with_own_momentum(model, train_loader, val_loader, lr):
    """The user's momentum, whose average weighs the gradient by one minus the momentum."""
    Learner(model, DataLoaders(train_loader, val_loader), lr=lr, opt_func=partial(Momentum, mom=0.5)).fit(40)


@right()
def learner_that_stops(model, train_loader, val_loader, loss_fn):
    """A callback ends the training by an exception that the learner catches."""
    cbs = [MetricsCB(), StopAtLossCB()]
    Learner(model, DataLoaders(train_loader, val_loader), loss_fn, lr=0.05, cbs=cbs).fit(60)


def init_params(size, std=0.1):
    return (torch.randn(size) * std).requires_grad_()


@right()
def chapter_four(X, y):
    """The loop of the chapter on stochastic gradient descent: a list of pairs as the data set, functions for each part."""
    train = list(zip(X[:90], y[:90], strict=True))
    valid_x, valid_y = X[90:], y[90:]
    dl = DataLoader(train, batch_size=17, shuffle=True)
    weights, bias = init_params((X.shape[1], 1)), init_params(1)

    def linear1(xb):
        return xb @ weights + bias

    def calc_grad(xb, yb, model):
        loss = F.mse_loss(model(xb), yb)
        loss.backward()

    def train_epoch(model, lr, params):
        for xb, yb in dl:
            calc_grad(xb, yb, model)
            for p in params:
                p.data -= p.grad * lr
                p.grad.zero_()

    for _ in range(25):
        train_epoch(linear1, 0.1, (weights, bias))
        with torch.no_grad():
            print(round(F.mse_loss(linear1(valid_x), valid_y).item(), 4), end=" ")
    return weights, bias


@right()
def tabular_lesson(X, y):
    """Full batch: coefficients and a constant, `update_coeffs`, `one_epoch`, as in the lesson from scratch."""
    coeffs = (torch.rand(X.shape[1], 1) - 0.5).requires_grad_()
    const = torch.zeros(1).requires_grad_()

    def calc_preds():
        return X @ coeffs + const

    def update_coeffs(lr):
        for t in (coeffs, const):
            t.sub_(t.grad * lr)
            t.grad.zero_()

    def one_epoch(lr):
        loss = torch.square(calc_preds() - y).mean()
        loss.backward()
        with torch.no_grad():
            update_coeffs(lr)
        print(f"{loss:.3f}", end="; ")

    for _i in range(100):
        one_epoch(lr=0.2)
    return coeffs.detach(), const.detach()
