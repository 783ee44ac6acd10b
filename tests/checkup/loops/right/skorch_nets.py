"""Right nets of skorch, alone and with scikit-learn."""

from __future__ import annotations

import numpy as np
import skorch
import torch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNet, NeuralNetRegressor
from skorch.callbacks import EarlyStopping, EpochScoring, GradientNormClipping, LRScheduler
from skorch.dataset import ValidSplit
from torch import nn

from tests.support.training_loops import right


class RegressorModule(nn.Module):
    def __init__(self, num_features=3):
        super().__init__()
        self.output = nn.Linear(num_features, 1)

    def forward(self, X):
        return self.output(X)


@right()
def regressor(X, y):
    """The regressor of the tutorial: numpy arrays, shuffled batches, a validation split of its own."""
    net = NeuralNetRegressor(
        RegressorModule,
        module__num_features=X.shape[1],
        max_epochs=25,
        lr=0.1,
        batch_size=17,
        iterator_train__shuffle=True,
    )
    net.fit(X.numpy(), y.numpy())
    return net.history[:, "train_loss"]


@right()
def regressor_full_batch(X, y, lr, n_epochs=100):
    net = NeuralNetRegressor(
        nn.Linear,
        module__in_features=X.shape[1],
        module__out_features=1,
        criterion=nn.MSELoss,
        optimizer=torch.optim.SGD,
        lr=lr,
        batch_size=-1,
        max_epochs=n_epochs,
        train_split=None,
        verbose=0,
    )
    net.fit(X, y)
    return net.module_


@right()
def weight_decay_schedule_and_clipping(X, y):
    """Momentum and decay by `optimizer__`, a schedule per epoch, and a clip at a norm that is never reached."""
    net = NeuralNetRegressor(
        RegressorModule(X.shape[1]),
        optimizer__momentum=0.9,
        optimizer__weight_decay=1e-3,
        lr=0.02,
        batch_size=17,
        max_epochs=30,
        iterator_train__shuffle=True,
        train_split=None,
        callbacks=[LRScheduler(policy="StepLR", step_size=10, gamma=0.5), GradientNormClipping(gradient_clip_value=10.0)],
        verbose=0,
    )
    return net.fit(X, y)


@right()
def early_stopping_with_the_best_weights(X, y):
    net = NeuralNetRegressor(
        RegressorModule,
        module__num_features=X.shape[1],
        optimizer=torch.optim.Adam,
        lr=0.02,
        batch_size=17,
        max_epochs=60,
        iterator_train__shuffle=True,
        train_split=ValidSplit(0.2, random_state=0),
        callbacks=[
            EarlyStopping(patience=8, load_best=True),
            EpochScoring("r2", lower_is_better=False, on_train=True, name="train_r2"),
        ],
    )
    net.fit(X, y)
    print("stopped after", len(net.history), "epochs")
    return net


@right()
def pipeline_with_scaler(X, y):
    """A scaler of scikit-learn before the net, as float32."""
    net = NeuralNetRegressor(
        RegressorModule,
        module__num_features=X.shape[1],
        max_epochs=30,
        lr=0.05,
        batch_size=17,
        iterator_train__shuffle=True,
        verbose=0,
    )
    model = make_pipeline(StandardScaler(), net)
    model.fit(X.numpy().astype(np.float32), y.numpy().astype(np.float32))
    return model.score(X.numpy(), y.numpy())


class GradAccNet(NeuralNet):
    """Accumulates the gradients of `acc_steps` batches, as the documentation of skorch shows."""

    def __init__(self, *args, acc_steps=2, **kwargs):
        super().__init__(*args, **kwargs)
        self.acc_steps = acc_steps

    def get_loss(self, *args, **kwargs):
        loss = super().get_loss(*args, **kwargs)
        return loss / self.acc_steps

    def train_step(self, batch, **fit_params):
        n_train_batches = len(self.history[-1, "batches"])
        step = self.train_step_single(batch, **fit_params)
        if n_train_batches % self.acc_steps == 0:
            self.optimizer_.step()
            self.optimizer_.zero_grad()
        return step


@right()
def accumulation(X, y):
    """Six batches, so two whole groups in each epoch."""
    net = GradAccNet(
        RegressorModule,
        module__num_features=X.shape[1],
        criterion=nn.MSELoss,
        lr=0.1,
        acc_steps=3,
        batch_size=18,
        max_epochs=40,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )
    return net.fit(X, y)


@right()
def partial_fit_epoch_by_epoch(model, X, y):
    """`partial_fit` goes on with the same weights and optimizer."""
    net = NeuralNetRegressor(
        model, lr=0.1, batch_size=17, max_epochs=1, iterator_train__shuffle=True, train_split=None, verbose=0, callbacks="disable"
    )
    net.initialize()
    for epoch in range(25):
        net.partial_fit(X, y)
        print(epoch, net.history[-1]["epoch"])
    return net


@right()
def dataset_of_skorch(X, y):
    """A `skorch.dataset.Dataset` for X and y, with y in its own column."""
    net = NeuralNetRegressor(
        RegressorModule(X.shape[1]), lr=0.1, max_epochs=20, batch_size=17, iterator_train__shuffle=True, verbose=0
    )
    net.fit(skorch.dataset.Dataset(X, y), y)
    return net


class LinearNet(NeuralNetRegressor):
    """A net that is checked as it is: `fit(X, y)` is all it needs."""


linear_net = right()(
    LinearNet(RegressorModule, module__num_features=3, max_epochs=25, lr=0.1, batch_size=17, iterator_train__shuffle=True)
)
