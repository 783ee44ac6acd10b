"""Two forward passes of each batch in one step: the weights go uphill, and the gradient there is used at the old weights."""

import torch
import torch.nn.functional as F
from torch import nn, optim

from tests.support.training_loops import right


@right()
def sharpness_aware_steps(X, y, rho=0.05, epochs=25):
    model = nn.Linear(X.shape[1], 1)
    optimizer = optim.SGD(model.parameters(), lr=0.05)
    for _ in range(epochs):
        for rows in torch.randperm(len(X)).split(20):
            optimizer.zero_grad()
            F.mse_loss(model(X[rows]), y[rows]).backward()
            norm = torch.cat([p.grad.flatten() for p in model.parameters()]).norm()
            with torch.no_grad():
                moves = [rho * p.grad / norm for p in model.parameters()]
                for p, move in zip(model.parameters(), moves):
                    p.add_(move)
            optimizer.zero_grad()
            F.mse_loss(model(X[rows]), y[rows]).backward()
            with torch.no_grad():
                for p, move in zip(model.parameters(), moves):
                    p.sub_(move)
            optimizer.step()
    return model
