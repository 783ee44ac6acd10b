# key: shape-broadcast
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

np.random.seed(3)
X = np.random.randn(200, 4).astype("float32")
y = (X @ np.array([1.0, -2.0, 0.5, 0.0]) + 0.3 * np.random.randn(200)).astype("float32")

ds = TensorDataset(torch.tensor(X), torch.tensor(y))
dl = DataLoader(ds, batch_size=20, shuffle=True)
net = nn.Sequential(nn.Linear(4, 1))
loss_func = nn.MSELoss()
opt = torch.optim.SGD(net.parameters(), lr=0.03)

for epoch in range(30):
    for xb, yb in dl:
        loss = loss_func(net(xb), yb)
        opt.zero_grad()
        loss.backward()
        opt.step()
with torch.no_grad():
    print("predictions", net(torch.tensor(X[:5])).flatten(), "targets", y[:5])
