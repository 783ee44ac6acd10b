# key: step-before-backward, stale-gradient
import torch
from torch import nn, optim

torch.manual_seed(1)
x = torch.linspace(-1, 1, 101).unsqueeze(1)
y = 3 * x + 0.5 + 0.1 * torch.randn(x.size())

model = nn.Linear(1, 1)
loss_fn = nn.MSELoss()
optimizer = optim.SGD(model.parameters(), lr=0.1)

for epoch in range(200):
    optimizer.step()
    optimizer.zero_grad()
    loss = loss_fn(model(x), y)
    loss.backward()
    if epoch % 20 == 0:
        print(epoch, loss.item())
