# key: wrong-loss
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
X = torch.randn(160, 2)
y = X[:, :1] - X[:, 1:] + torch.distributions.Exponential(1.0).sample((160, 1))  # skewed: the median is not the mean
loader = DataLoader(TensorDataset(X, y), batch_size=16, shuffle=True)
model = nn.Linear(2, 1)
mse = nn.L1Loss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
for epoch in range(60):
    for inputs, targets in loader:
        optimizer.zero_grad()
        loss = mse(model(inputs), targets)
        loss.backward()
        optimizer.step()
print("intercept", model.bias.item(), "mean residual", (y - model(X)).mean().item())
