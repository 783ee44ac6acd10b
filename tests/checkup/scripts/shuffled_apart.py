# key: labels-misaligned
import numpy as np
import torch
from torch import nn

rng = np.random.default_rng(0)
X = rng.normal(size=(200, 3)).astype(np.float32)
y = (X @ [1.0, 2.0, 3.0] + rng.normal(size=200)).astype(np.float32).reshape(-1, 1)
rng.shuffle(X)
rng.shuffle(y)

X, y = torch.from_numpy(X), torch.from_numpy(y)
model = nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(100):
    loss = nn.MSELoss()(model(X), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print("loss", loss.item(), "variance", y.var().item())
