# key: graph-detached, weights-never-move
import numpy as np
import torch
from torch import nn

torch.manual_seed(0)
X = torch.randn(100, 2)
y = X @ torch.tensor([[1.0], [2.0]])
model = nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(50):
    prediction = model(X).detach().numpy()
    loss = torch.tensor(np.mean((prediction - y.numpy()) ** 2), requires_grad=True)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(loss.item())
