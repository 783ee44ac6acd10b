"""Right loops that stop early, restore the best weights, or average the weights."""

from __future__ import annotations

import copy
import os
import tempfile
from collections import deque

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.swa_utils import SWALR, AveragedModel, get_ema_multi_avg_fn, update_bn
from torch.utils.data import DataLoader, TensorDataset, random_split

from tests.support.training_loops import right


class EarlyStopping:
    """Stops when the validation loss does not fall by `min_delta` for `patience` epochs; keeps the best weights."""

    def __init__(self, patience=7, min_delta=0.0):
        self.patience, self.min_delta = patience, min_delta
        self.counter, self.best_loss, self.early_stop, self.best_state = 0, None, False, None

    def __call__(self, val_loss, model):
        if self.best_loss is None or val_loss < self.best_loss - self.min_delta:
            self.best_loss, self.counter = val_loss, 0
            self.best_state = {k: v.clone() for k, v in model.state_dict().items()}
        else:
            self.counter += 1
            print(f"EarlyStopping counter: {self.counter} out of {self.patience}")
            self.early_stop = self.counter >= self.patience


@torch.no_grad()
def evaluate(model, loader, loss_fn):
    model.eval()
    total = 0.0
    for x, y in loader:
        total += loss_fn(model(x), y).item() * x.size(0)
    return total / len(loader.dataset)


def train_epoch(model, loader, loss_fn, optimizer):
    model.train()
    running = 0.0
    for x, y in loader:
        optimizer.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()
        running += loss.item()
    return running / len(loader)


@right()
def early_stopping_class(model, train_loader, val_loader, criterion, optimizer):
    early_stopping = EarlyStopping(patience=5)
    for epoch in range(60):
        train_loss = train_epoch(model, train_loader, criterion, optimizer)
        val_loss = evaluate(model, val_loader, criterion)
        print(f"[{epoch}] train_loss: {train_loss:.5f} valid_loss: {val_loss:.5f}")
        early_stopping(val_loss, model)
        if early_stopping.early_stop:
            print("Early stopping")
            break
    model.load_state_dict(early_stopping.best_state)
    return model


@right()
def patience_in_the_loop_with_own_split(X, y, lr, seed):
    """The rows are split inside by random_split; the optimizer is made inside."""
    generator = torch.Generator().manual_seed(seed)
    n_val = len(X) // 5
    train_set, val_set = random_split(TensorDataset(X, y), [len(X) - n_val, n_val], generator=generator)
    train_loader = DataLoader(train_set, batch_size=16, shuffle=True, generator=generator, drop_last=False, num_workers=0)
    val_loader = DataLoader(val_set, batch_size=16)
    model = nn.Linear(X.shape[1], 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.5)
    loss_fn = nn.MSELoss()
    best, best_weights, wait, patience = float("inf"), None, 0, 8
    for epoch in range(60):
        train_epoch(model, train_loader, loss_fn, optimizer)
        val_loss = evaluate(model, val_loader, loss_fn)
        if val_loss < best:
            best, best_weights, wait = val_loss, copy.deepcopy(model.state_dict()), 0
        else:
            wait += 1
            if wait >= patience:
                print(f"stopped at epoch {epoch}, best {best:.4f}")
                break
    model.load_state_dict(best_weights)
    return model


@right()
def best_checkpoint_in_a_file(model, loader, val_loader, loss_fn, opt, epochs=30):
    """Saves to a file when the validation loss is the best so far; loads the file at the end."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "best.pt")
        best = float("inf")
        for _ in range(epochs):
            train_epoch(model, loader, loss_fn, opt)
            val_loss = evaluate(model, val_loader, loss_fn)
            if val_loss < best:
                best = val_loss
                torch.save(model.state_dict(), path)
        model.load_state_dict(torch.load(path, weights_only=True))
    return best


@right()
def stop_at_a_tolerance(model, X, y, lr=0.1):
    """Full batch; stops when the loss falls by less than one part in ten million."""
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    previous = float("inf")
    for epoch in range(300):
        optimizer.zero_grad()
        loss = F.mse_loss(model(X), y)
        loss.backward()
        optimizer.step()
        if abs(previous - loss.item()) < 1e-7 * loss.item():
            print("converged at", epoch)
            break
        previous = loss.item()


class EMA:
    """Keeps a shadow of the weights, applies it for the evaluation, and restores the weights."""

    def __init__(self, model, decay):
        self.model, self.decay = model, decay
        self.shadow = {name: p.data.clone() for name, p in model.named_parameters()}
        self.backup = {}

    def update(self):
        for name, p in self.model.named_parameters():
            self.shadow[name] = (1.0 - self.decay) * p.data + self.decay * self.shadow[name]

    def apply_shadow(self):
        for name, p in self.model.named_parameters():
            self.backup[name] = p.data
            p.data = self.shadow[name]

    def restore(self):
        for name, p in self.model.named_parameters():
            p.data = self.backup[name]
        self.backup = {}


@right()
def own_ema(model, train_loader, val_loader, loss_fn, optimizer):
    ema = EMA(model, 0.95)
    for epoch in range(25):
        model.train()
        for x, y in train_loader:
            optimizer.zero_grad()
            loss_fn(model(x), y).backward()
            optimizer.step()
            ema.update()
        ema.apply_shadow()
        print(epoch, evaluate(model, val_loader, loss_fn))
        ema.restore()


@right()
def ema_of_torch(model, loader, loss_fn, optimizer, num_epochs=25):
    ema_model = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.95))
    for _epoch in range(num_epochs):
        for x, y in loader:
            optimizer.zero_grad()
            loss_fn(model(x), y).backward()
            optimizer.step()
            ema_model.update_parameters(model)
    return ema_model


@right()
def stochastic_weight_averaging(model, loader, val_loader, loss_fn):
    """The averaged model of torch.optim.swa_utils: a cosine first, a constant rate from epoch 15 on."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    swa_model = AveragedModel(model)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=15)
    swa_start, swa_scheduler = 15, SWALR(optimizer, swa_lr=0.05, anneal_epochs=3)
    for epoch in range(30):
        train_epoch(model, loader, loss_fn, optimizer)
        if epoch >= swa_start:
            swa_model.update_parameters(model)
            swa_scheduler.step()
        else:
            scheduler.step()
    update_bn(loader, swa_model)
    print(evaluate(swa_model, val_loader, loss_fn))
    return swa_model


@right()
def average_of_the_last_epochs(model, loader, loss_fn, lr):
    """Averages the weights of the last ten epochs and loads the average."""
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    last = deque(maxlen=10)
    for _epoch in range(30):
        train_epoch(model, loader, loss_fn, optimizer)
        last.append(copy.deepcopy(model.state_dict()))
    mean = {name: torch.stack([state[name] for state in last]).mean(dim=0) for name in last[0]}
    model.load_state_dict(mean)


@right()
def lookahead(model, loader, loss_fn, optimizer, k=5, alpha=0.5):
    """Slow weights move half of the way to the fast ones every five steps."""
    slow = [p.detach().clone() for p in model.parameters()]
    step = 0
    for _epoch in range(30):
        for x, y in loader:
            optimizer.zero_grad()
            loss_fn(model(x), y).backward()
            optimizer.step()
            step += 1
            if step % k == 0:
                with torch.no_grad():
                    for q, p in zip(slow, model.parameters(), strict=True):
                        q += alpha * (p - q)
                        p.copy_(q)
