# key: random-state-fixed-per-epoch
import random

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def set_seed(seed=42):
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def train_epoch(model, loader, optimizer):
    set_seed()
    for x, y in loader:
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x), y).backward()
        optimizer.step()


if __name__ == "__main__":
    set_seed()
    X = torch.randn(170, 3)
    y = X @ torch.tensor([[1.0], [0.5], [-1.0]]) + 0.5 * torch.randn(170, 1)
    loader = DataLoader(TensorDataset(X, y), batch_size=17, shuffle=True)
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(30):
        train_epoch(model, loader, optimizer)
    print(model.weight)
