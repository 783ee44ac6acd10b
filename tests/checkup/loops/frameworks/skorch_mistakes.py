"""Functions that train a skorch net with a mistake, and the corrected function beside each."""

import numpy as np
import torch
from skorch import NeuralNetRegressor
from skorch.callbacks import Callback, GradientNormClipping, LRScheduler
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, StepLR

from tests.checkup.loops.rates.raw_columns import RAW
from tests.support.training_loops import broken, right


class Regressor(nn.Module):
    def __init__(self, n_features=3, dropout=0.0):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(n_features, 1)

    def forward(self, X):
        return self.out(self.dropout(X))


@broken("lr-too-high")
def rate_too_high(X, y):
    net = NeuralNetRegressor(Regressor, max_epochs=20, lr=2.0, iterator_train__shuffle=True, verbose=0, train_split=None)
    net.fit(X, y)
    return net


@right()
def rate_of_a_tenth(X, y):
    net = NeuralNetRegressor(
        Regressor, max_epochs=40, lr=0.1, batch_size=32, iterator_train__shuffle=True, verbose=0, train_split=None
    )
    net.fit(X, y)
    return net


@broken("lr-too-low")
def default_rate_and_epochs_of_ten(X, y):
    net = NeuralNetRegressor(Regressor, lr=1e-4, iterator_train__shuffle=True)
    net.fit(X, y)
    return net


@broken("not-standardised", "lr-too-high", fixtures=RAW)
def raw_columns(X, y):
    net = NeuralNetRegressor(Regressor, max_epochs=15, lr=0.01, iterator_train__shuffle=True, verbose=0)
    net.fit(X, y)
    return net


@right(fixtures=RAW)
def standardized_columns(X, y):
    X = np.asarray(X)
    X = ((X - X.mean(axis=0)) / X.std(axis=0)).astype(np.float32)
    net = NeuralNetRegressor(
        Regressor, max_epochs=60, lr=0.05, batch_size=16, iterator_train__shuffle=True, verbose=0, train_split=None
    )
    net.fit(X, np.asarray(y, dtype=np.float32))
    return net


@broken("wrong-loss")
def absolute_error(X, y):
    net = NeuralNetRegressor(
        nn.Linear,
        module__in_features=3,
        module__out_features=1,
        criterion=nn.L1Loss,
        max_epochs=30,
        lr=0.05,
        batch_size=25,
        iterator_train__shuffle=True,
        verbose=0,
    )
    net.fit(X, y)
    return net


@broken("gradient-clipped")
def norm_clipping(X, y):
    net = NeuralNetRegressor(
        Regressor,
        max_epochs=25,
        lr=0.1,
        batch_size=25,
        callbacks=[GradientNormClipping(gradient_clip_value=0.01)],
        iterator_train__shuffle=True,
        verbose=0,
        train_split=None,
    )
    return net.fit(X, y)


@right()
def norm_clipping_at_a_wide_bound(X, y):
    net = NeuralNetRegressor(
        Regressor,
        max_epochs=25,
        lr=0.1,
        batch_size=25,
        callbacks=[GradientNormClipping(gradient_clip_value=100)],
        iterator_train__shuffle=True,
        verbose=0,
        train_split=None,
    )
    return net.fit(X, y)


@broken("scheduler-per-batch")
def cosine_schedule_by_batch(X, y, epochs):
    schedule = LRScheduler(policy=CosineAnnealingLR, T_max=epochs, step_every="batch")
    net = NeuralNetRegressor(
        Regressor, max_epochs=epochs, lr=0.1, batch_size=17, callbacks=[schedule], iterator_train__shuffle=True, verbose=0
    )
    return net.fit(X, y)


@right()
def step_schedule_by_epoch(X, y, epochs):
    schedule = LRScheduler(policy=StepLR, step_size=10, gamma=0.5)
    net = NeuralNetRegressor(
        Regressor, max_epochs=epochs, lr=0.1, batch_size=17, callbacks=[schedule], iterator_train__shuffle=True, verbose=0
    )
    return net.fit(X, y)


@broken("random-state-fixed-per-epoch")
def seed_in_a_callback(X, y):
    class Seed(Callback):
        def on_epoch_begin(self, net, **kwargs):
            torch.manual_seed(0)

    net = NeuralNetRegressor(
        Regressor, max_epochs=25, lr=0.1, batch_size=17, callbacks=[Seed()], iterator_train__shuffle=True, verbose=0
    )
    return net.fit(X, y)


@right()
def seed_before_the_fit(X, y):
    torch.manual_seed(0)
    net = NeuralNetRegressor(Regressor, max_epochs=25, lr=0.1, batch_size=17, iterator_train__shuffle=True, verbose=0)
    return net.fit(X, y)


class EvaluatesInTrainMode(NeuralNetRegressor):
    def validation_step(self, batch, **fit_params):
        Xi, yi = batch
        with torch.no_grad():
            y_pred = self.infer(Xi, **fit_params)  # self._set_training(False) is missing
            loss = self.get_loss(y_pred, yi, X=Xi, training=False)
        return {"loss": loss, "y_pred": y_pred}


class TrainsInEvalMode(NeuralNetRegressor):
    def train_step_single(self, batch, **fit_params):
        self._set_training(False)
        Xi, yi = batch
        y_pred = self.infer(Xi, **fit_params)
        loss = self.get_loss(y_pred, yi, X=Xi, training=True)
        loss.backward()
        return {"loss": loss, "y_pred": y_pred}


@broken("no-eval-mode")
def own_validation_step(X, y):
    net = EvaluatesInTrainMode(
        Regressor(dropout=0.1), max_epochs=20, lr=0.1, batch_size=16, iterator_train__shuffle=True, verbose=0
    )
    return net.fit(X, y)


@broken("no-train-mode")
def own_train_step(X, y):
    net = TrainsInEvalMode(Regressor(dropout=0.1), max_epochs=20, lr=0.1, batch_size=16, iterator_train__shuffle=True, verbose=0)
    return net.fit(X, y)


@right()
def own_steps_of_skorch(X, y):
    net = NeuralNetRegressor(Regressor(dropout=0.1), max_epochs=20, lr=0.1, batch_size=16, iterator_train__shuffle=True, verbose=0)
    return net.fit(X, y)


@broken("wrong-device-or-dtype")
def arrays_of_pandas(X, y):
    # float64, as from df.values
    net = NeuralNetRegressor(Regressor, max_epochs=10, lr=0.1, iterator_train__shuffle=True, verbose=0)
    return net.fit(np.asarray(X, dtype=np.float64), np.asarray(y, dtype=np.float64))


class Penalized(NeuralNetRegressor):
    def get_loss(self, y_pred, y_true, X=None, training=False):
        loss = super().get_loss(y_pred, y_true, X=X, training=training)
        return loss + 0.1 * sum(w.pow(2).sum() for w in self.module_.parameters())


@broken("undeclared-weight-decay")
def penalty_in_get_loss(X, y):
    net = Penalized(Regressor, max_epochs=40, lr=0.1, batch_size=32, iterator_train__shuffle=True, verbose=0, train_split=None)
    return net.fit(X, y)
