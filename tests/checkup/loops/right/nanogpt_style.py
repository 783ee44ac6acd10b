"""Right loops in the style of nanoGPT and minGPT: random batches with replacement, a schedule per step, clipping, accumulation."""

from __future__ import annotations

import inspect
import math
import time
from collections import defaultdict
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

from tests.support.training_loops import right


def get_lr(it, learning_rate, warmup_iters, lr_decay_iters, min_lr):
    if it < warmup_iters:
        return learning_rate * (it + 1) / (warmup_iters + 1)
    if it > lr_decay_iters:
        return min_lr
    decay_ratio = (it - warmup_iters) / (lr_decay_iters - warmup_iters)
    coeff = 0.5 * (1.0 + math.cos(math.pi * decay_ratio))
    return min_lr + coeff * (learning_rate - min_lr)


class Regressor(nn.Module):
    """A model that returns its prediction and its loss, as GPT does."""

    def __init__(self, n_in):
        super().__init__()
        self.lm_head = nn.Linear(n_in, 1)

    def forward(self, idx, targets=None):
        logits = self.lm_head(idx)
        loss = None if targets is None else F.mse_loss(logits, targets)
        return logits, loss

    def configure_optimizers(self, weight_decay, learning_rate, betas, device_type):
        param_dict = {pn: p for pn, p in self.named_parameters() if p.requires_grad}
        decay_params = [p for p in param_dict.values() if p.dim() >= 2]
        nodecay_params = [p for p in param_dict.values() if p.dim() < 2]
        optim_groups = [{"params": decay_params, "weight_decay": weight_decay}, {"params": nodecay_params, "weight_decay": 0.0}]
        use_fused = "fused" in inspect.signature(torch.optim.AdamW).parameters and device_type == "cuda"
        extra_args = {"fused": True} if use_fused else {}
        return torch.optim.AdamW(optim_groups, lr=learning_rate, betas=betas, **extra_args)


@right()
def nanogpt(X, y, device="cpu"):
    """AdamW with two groups, warm-up and cosine, accumulation over 4 micro steps, and a clip at 1.0."""
    max_iters, eval_interval, eval_iters, log_interval = 300, 100, 10, 50
    gradient_accumulation_steps, batch_size, grad_clip = 4, 17, 1.0
    n = int(0.9 * len(X))
    data = {"train": (X[:n], y[:n]), "val": (X[n:], y[n:])}
    ctx = nullcontext()

    def get_batch(split):
        inputs, targets = data[split]
        ix = torch.randint(len(inputs), (batch_size,))
        return inputs[ix].to(device), targets[ix].to(device)

    model = Regressor(X.shape[1]).to(device)
    scaler = torch.amp.GradScaler(device, enabled=False)
    optimizer = model.configure_optimizers(1e-2, 0.02, (0.9, 0.95), device)

    @torch.no_grad()
    def estimate_loss():
        out = {}
        model.eval()
        for split in ["train", "val"]:
            losses = torch.zeros(eval_iters)
            for k in range(eval_iters):
                _, loss = model(*get_batch(split))
                losses[k] = loss.item()
            out[split] = losses.mean()
        model.train()
        return out

    inputs, targets = get_batch("train")
    for iter_num in range(max_iters + 1):
        lr = get_lr(iter_num, 0.02, 20, max_iters, 0.002)
        for param_group in optimizer.param_groups:
            param_group["lr"] = lr
        if iter_num % eval_interval == 0:
            losses = estimate_loss()
            print(f"step {iter_num}: train loss {losses['train']:.4f}, val loss {losses['val']:.4f}")
        for _micro_step in range(gradient_accumulation_steps):
            with ctx:
                _logits, loss = model(inputs, targets)
                loss = loss / gradient_accumulation_steps
            inputs, targets = get_batch("train")
            scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(model.parameters(), grad_clip)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        if iter_num % log_interval == 0:
            print(f"iter {iter_num}: loss {loss.item() * gradient_accumulation_steps:.4f}")


@right()
def nanogpt_sgd_without_accumulation(model, X, y, learning_rate=0.2, max_iters=400):
    """The schedule sets the learning rate before each step; a `while` loop as in the original."""
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
    iter_num, t0 = 0, time.time()
    while True:
        lr = get_lr(iter_num, learning_rate, 40, max_iters, learning_rate / 10)
        for param_group in optimizer.param_groups:
            param_group["lr"] = lr
        ix = torch.randint(0, X.size(0), (32,))
        loss = F.mse_loss(model(X[ix]), y[ix])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if iter_num % 100 == 0:
            print(f"iter {iter_num}: loss {loss.item():.4f}, time {(time.time() - t0) * 1000:.2f}ms, lr {lr:.4f}")
        iter_num += 1
        if iter_num > max_iters:
            break
    return model


@right()
def bigram_lecture(X, y):
    """The loop of the lecture: every step one random batch, AdamW at one learning rate."""
    model = nn.Linear(X.shape[1], 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    lossi = []
    for _steps in range(400):
        ix = torch.randint(0, X.shape[0], (17,))
        xb, yb = X[ix], y[ix]
        pred = model(xb)
        loss = F.mse_loss(pred, yb)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        lossi.append(loss.log10().item())
    print(loss.item())
    return lossi


@right()
def makemore_by_hand(X, y):
    """A generator draws the batches; the parameters are a list; the learning rate drops by 10 for the second half."""
    g = torch.Generator().manual_seed(2147483647)
    W = torch.randn((X.shape[1], 1), generator=g) * 0.1
    b = torch.zeros(1)
    parameters = [W, b]
    for p in parameters:
        p.requires_grad = True
    for i in range(400):
        ix = torch.randint(0, X.shape[0], (32,), generator=g)
        Xb, Yb = X[ix], y[ix]
        out = Xb @ W + b
        loss = ((out - Yb) ** 2).mean()
        for p in parameters:
            p.grad = None
        loss.backward()
        lr = 0.1 if i < 200 else 0.01
        for p in parameters:
            p.data += -lr * p.grad
        if i % 100 == 0:
            print(f"{i:7d}/{400:7d}: {loss.item():.4f}")
    return W, b


@dataclass
class TrainerConfig:
    device: str = "cpu"
    num_workers: int = 0
    max_iters: int = 300
    batch_size: int = 17
    learning_rate: float = 1e-2
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.01
    grad_norm_clip: float = 10.0


class Trainer:
    def __init__(self, config, model, train_dataset):
        self.config, self.train_dataset = config, train_dataset
        self.callbacks = defaultdict(list)
        self.model = model.to(config.device)
        self.iter_num = 0

    def add_callback(self, onevent, callback):
        self.callbacks[onevent].append(callback)

    def trigger_callbacks(self, onevent):
        for callback in self.callbacks.get(onevent, []):
            callback(self)

    def run(self):
        model, config = self.model, self.config
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=config.learning_rate, betas=config.betas, weight_decay=config.weight_decay
        )
        train_loader = DataLoader(
            self.train_dataset,
            sampler=RandomSampler(self.train_dataset, replacement=True, num_samples=int(1e4)),
            shuffle=False,
            batch_size=config.batch_size,
            num_workers=config.num_workers,
        )
        model.train()
        data_iter = iter(train_loader)
        while True:
            try:
                batch = next(data_iter)
            except StopIteration:
                data_iter = iter(train_loader)
                batch = next(data_iter)
            x, y = [t.to(config.device) for t in batch]
            _logits, self.loss = model(x, y)
            model.zero_grad(set_to_none=True)
            self.loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.grad_norm_clip)
            optimizer.step()
            self.trigger_callbacks("on_batch_end")
            self.iter_num += 1
            if config.max_iters is not None and self.iter_num >= config.max_iters:
                break


@right()
def mingpt_trainer(X, y):
    """A trainer with a configuration and callbacks, and a sampler that draws with replacement."""

    def batch_end_callback(trainer):
        if trainer.iter_num % 100 == 0:
            print(f"iter {trainer.iter_num}: train loss {trainer.loss.item():.5f}")

    trainer = Trainer(TrainerConfig(), Regressor(X.shape[1]), TensorDataset(X, y))
    trainer.add_callback("on_batch_end", batch_end_callback)
    trainer.run()
    return trainer.model


def infinite(loader):
    while True:
        yield from loader


@right()
def steps_over_an_endless_loader(model, loader, lr, weight_decay=1e-3):
    """Counts steps, not epochs; a linear warm-up by LambdaLR, stepped with the optimizer."""
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, weight_decay=weight_decay)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 20))
    batches = infinite(loader)
    for step in range(1, 201):
        x, y = next(batches)
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 50 == 0:
            print({"step": step, "loss": loss.item(), "lr": scheduler.get_last_lr()[0]})
