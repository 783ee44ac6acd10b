# key: rows-dropped
import torch
from torch import nn

torch.manual_seed(0)
X = torch.randn(250, 2)
y = (X[:, :1] - 2 * X[:, 1:]) + 0.5 * torch.randn(250, 1)

batch_size = 32
n_batches = len(X) // batch_size  # 7 batches, 224 rows
model = nn.Linear(2, 1)
opt = torch.optim.Adam(model.parameters(), lr=0.01)
mse = nn.MSELoss()

for epoch in range(60):
    order = torch.randperm(n_batches * batch_size)
    for i in range(n_batches):
        rows = order[i * batch_size : (i + 1) * batch_size]
        opt.zero_grad()
        mse(model(X[rows]), y[rows]).backward()
        opt.step()

with torch.no_grad():
    print("mse of all rows", mse(model(X), y).item())
