# key: not-shuffled
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

rng = np.random.default_rng(5)
hours = np.sort(rng.uniform(0, 10, 240))
score = 40 + 5 * hours + rng.normal(0, 6, 240)
hours = (hours - hours.mean()) / hours.std()
score = (score - score.mean()) / score.std()

train_ds = TensorDataset(torch.tensor(hours[:, None], dtype=torch.float), torch.tensor(score[:, None], dtype=torch.float))
train_dl = DataLoader(train_ds, batch_size=16)
model = nn.Linear(1, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(40):
    for x, y in train_dl:
        loss = nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
print(model.weight.item(), model.bias.item())
