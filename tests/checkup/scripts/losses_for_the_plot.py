# key: graph-kept
import torch
from torch import nn

torch.manual_seed(0)
X = torch.randn(120, 2)
y = X @ torch.tensor([[1.0], [2.0]]) + 0.1 * torch.randn(120, 1)
model = nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
losses = []
for epoch in range(100):
    loss = nn.functional.mse_loss(model(X), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    losses.append(loss)
print([round(float(value), 3) for value in losses[::20]])
