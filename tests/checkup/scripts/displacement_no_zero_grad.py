# key: no-zero-grad
import numpy as np
import torch
from torch import nn

rng = np.random.default_rng(0)
displacement = rng.uniform(70, 455, size=392)
mpg = 35.1 - 0.06 * displacement + rng.normal(0, 4.6, size=392)

X = torch.tensor(displacement, dtype=torch.float32).reshape(-1, 1)
y = torch.tensor(mpg, dtype=torch.float32).reshape(-1, 1)
X = (X - X.mean()) / X.std()
y = (y - y.mean()) / y.std()

model = nn.Linear(1, 1)
criterion = nn.MSELoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

for epoch in range(250):
    y_hat = model(X)
    loss = criterion(y_hat, y)
    loss.backward()
    optimizer.step()
    if (epoch + 1) % 50 == 0:
        print(f"Epoch {epoch + 1}: train loss = {loss.item():.4f}")

print("weight", model.weight.item(), "bias", model.bias.item())
