"""Right loops in the style of Dive into Deep Learning (d2l.ai)."""

from __future__ import annotations

import random

import torch
from torch import nn
from torch.utils import data

from tests.support.training_loops import right


def data_iter(batch_size, features, labels):
    num_examples = len(features)
    indices = list(range(num_examples))
    random.shuffle(indices)
    for i in range(0, num_examples, batch_size):
        batch_indices = torch.tensor(indices[i : min(i + batch_size, num_examples)])
        yield features[batch_indices], labels[batch_indices]


def linreg(X, w, b):
    return torch.matmul(X, w) + b


def squared_loss(y_hat, y):
    return (y_hat - y.reshape(y_hat.shape)) ** 2 / 2


def sgd(params, lr, batch_size):
    with torch.no_grad():
        for param in params:
            param -= lr * param.grad / batch_size
            param.grad.zero_()


def load_array(data_arrays, batch_size, is_train=True):
    dataset = data.TensorDataset(*data_arrays)
    return data.DataLoader(dataset, batch_size, shuffle=is_train)


@right()
def linear_regression_from_scratch(X, y):
    """Half the squared error, summed over the batch and divided by the batch size in the update."""
    w = torch.normal(0, 0.01, size=(X.shape[1], 1), requires_grad=True)
    b = torch.zeros(1, requires_grad=True)
    lr, num_epochs, batch_size = 0.1, 30, 17
    net, loss = linreg, squared_loss
    for epoch in range(num_epochs):
        for features, labels in data_iter(batch_size, X, y):
            l = loss(net(features, w, b), labels)  # noqa: E741
            l.sum().backward()
            sgd([w, b], lr, batch_size)
        with torch.no_grad():
            train_l = loss(net(X, w, b), y)
            print(f"epoch {epoch + 1}, loss {float(train_l.mean()):f}")
    return w, b


@right()
def linear_regression_concise(X, y):
    net = nn.Sequential(nn.Linear(X.shape[1], 1))
    net[0].weight.data.normal_(0, 0.01)
    net[0].bias.data.fill_(0)
    loss = nn.MSELoss()
    trainer = torch.optim.SGD(net.parameters(), lr=0.03)
    train_iter = load_array((X, y), 10)
    for epoch in range(15):
        for features, labels in train_iter:
            l = loss(net(features), labels)  # noqa: E741
            trainer.zero_grad()
            l.backward()
            trainer.step()
        l = loss(net(X), y)  # noqa: E741
        print(f"epoch {epoch + 1}, loss {l:f}")
    return net


def l2_penalty(w):
    return torch.sum(w.pow(2)) / 2


@right(fixtures={"lambd": 0.05})
def weight_decay_from_scratch(X, y, lambd):
    """Ridge with its penalty as a declared parameter."""
    w = torch.normal(0, 1, size=(X.shape[1], 1), requires_grad=True)
    b = torch.zeros(1, requires_grad=True)
    train_iter = load_array((X, y), 17)
    for _epoch in range(40):
        for features, labels in train_iter:
            l = squared_loss(linreg(features, w, b), labels) + lambd * l2_penalty(w)  # noqa: E741
            l.sum().backward()
            sgd([w, b], 0.1, len(features))
    print("L2 norm of w:", torch.norm(w).item())


@right()
def weight_decay_concise(net, X, y, wd=0.01):
    """Decay of the weight and none of the bias, as the groups of the optimizer say."""
    for param in net.parameters():
        param.data.normal_()
    loss = nn.MSELoss(reduction="none")
    train_iter = load_array((X, y), 17)
    trainer = torch.optim.SGD([{"params": net.weight, "weight_decay": wd}, {"params": net.bias}], lr=0.05)
    for epoch in range(40):
        for features, labels in train_iter:
            trainer.zero_grad()
            l = loss(net(features), labels)  # noqa: E741
            l.mean().backward()
            trainer.step()
        if (epoch + 1) % 5 == 0:
            print(epoch + 1, evaluate_loss(net, train_iter, loss))


@torch.no_grad()
def evaluate_loss(net, data_iter, loss):
    metric = Accumulator(2)
    for X, y in data_iter:
        out = net(X)
        l = loss(out, y.reshape(out.shape))  # noqa: E741
        metric.add(l.sum().detach(), l.numel())
    return float(metric[0] / metric[1])


class Accumulator:
    def __init__(self, n):
        self.data = [0.0] * n

    def add(self, *args):
        self.data = [a + float(b) for a, b in zip(self.data, args, strict=True)]

    def __getitem__(self, idx):
        return self.data[idx]


@right()
def train_ch3(net, train_loader, val_loader):
    """The loss of an epoch is the sum over its rows divided by their number."""
    updater = torch.optim.SGD(net.parameters(), lr=0.1)
    loss = nn.MSELoss(reduction="none")
    history = []
    for _epoch in range(25):
        net.train()
        metric = Accumulator(2)
        for X, y in train_loader:
            l = loss(net(X), y)  # noqa: E741
            updater.zero_grad()
            l.mean().backward()
            updater.step()
            metric.add(float(l.sum()), y.numel())
        net.eval()
        history.append((metric[0] / metric[1], evaluate_loss(net, val_loader, loss)))
    print(f"train loss {history[-1][0]:.3f}, validation loss {history[-1][1]:.3f}")
    return history


class Module(nn.Module):
    def loss(self, y_hat, y):
        return ((y_hat - y) ** 2 / 2).mean()

    def training_step(self, batch):
        return self.loss(self(*batch[:-1]), batch[-1])

    def validation_step(self, batch):
        return self.loss(self(*batch[:-1]), batch[-1])


class LinearRegression(Module):
    def __init__(self, num_inputs, lr):
        super().__init__()
        self.lr, self.net = lr, nn.Linear(num_inputs, 1)

    def forward(self, X):
        return self.net(X)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.lr)


class D2lTrainer:
    def __init__(self, max_epochs, gradient_clip_val=0):
        self.max_epochs, self.gradient_clip_val = max_epochs, gradient_clip_val

    def fit(self, model, train_dataloader, val_dataloader):
        self.model, self.train_dataloader, self.val_dataloader = model, train_dataloader, val_dataloader
        self.optim = model.configure_optimizers()
        for _epoch in range(self.max_epochs):
            self.fit_epoch()

    def fit_epoch(self):
        self.model.train()
        for batch in self.train_dataloader:
            loss = self.model.training_step(batch)
            self.optim.zero_grad()
            with torch.no_grad():
                loss.backward()
                if self.gradient_clip_val > 0:
                    self.clip_gradients(self.gradient_clip_val, self.model)
                self.optim.step()
        self.model.eval()
        for batch in self.val_dataloader:
            with torch.no_grad():
                self.val_loss = self.model.validation_step(batch)

    def clip_gradients(self, grad_clip_val, model):
        params = [p for p in model.parameters() if p.requires_grad]
        norm = torch.sqrt(sum(torch.sum(p.grad**2) for p in params))
        if norm > grad_clip_val:
            for param in params:
                param.grad[:] *= grad_clip_val / norm


@right()
def module_and_trainer(dataset, val_loader, lr):
    """Half the squared error, a class for the model and one for the trainer, clipping at a norm that is never reached."""
    x, _y = dataset[0]
    model = LinearRegression(len(x), lr)
    trainer = D2lTrainer(max_epochs=30, gradient_clip_val=5)
    trainer.fit(model, data.DataLoader(dataset, batch_size=17, shuffle=True), val_loader)
    return model


@right()
def minibatch_from_scratch_with_momentum(X, y):
    """`sgd_momentum` of the chapter on momentum: the user writes the velocity."""
    w = torch.zeros((X.shape[1], 1), requires_grad=True)
    b = torch.zeros(1, requires_grad=True)
    states = [torch.zeros((X.shape[1], 1)), torch.zeros(1)]
    hyperparams = {"lr": 0.02, "momentum": 0.5}
    for _epoch in range(30):
        for features, labels in load_array((X, y), 17):
            squared_loss(linreg(features, w, b), labels).mean().backward()
            for p, v in zip([w, b], states, strict=True):
                with torch.no_grad():
                    v[:] = hyperparams["momentum"] * v + p.grad
                    p[:] -= hyperparams["lr"] * v
                p.grad.data.zero_()
    return w, b


def synthetic_data(w, b, num_examples):
    X = torch.normal(0, 1, (num_examples, len(w)))
    y = torch.matmul(X, w) + b
    y += torch.normal(0, 0.01, y.shape)
    return X, y.reshape((-1, 1))


@right()
def synthetic_data_of_the_chapter():
    """Takes nothing: the data, the model and the loop are its own."""
    true_w, true_b = torch.tensor([2, -3.4]), 4.2
    features, labels = synthetic_data(true_w, true_b, 1000)
    w = torch.normal(0, 0.01, size=(2, 1), requires_grad=True)
    b = torch.zeros(1, requires_grad=True)
    for epoch in range(3):
        for X, y in data_iter(10, features, labels):
            squared_loss(linreg(X, w, b), y).sum().backward()
            sgd([w, b], 0.03, 10)
        with torch.no_grad():
            print(f"epoch {epoch + 1}, loss {float(squared_loss(linreg(features, w, b), labels).mean()):f}")
    print(f"error in estimating w: {true_w - w.detach().reshape(true_w.shape)}, b: {true_b - b.item()}")
