# key: nan-loss
import io

import numpy as np
import pandas as pd
import torch
from torch import nn

rng = np.random.default_rng(2)
table = pd.DataFrame({"horsepower": rng.uniform(46, 230, 120).round(0), "weight": rng.uniform(1600, 5100, 120).round(0)})
table["mpg"] = 50 - 0.05 * table.horsepower - 0.006 * table.weight + rng.normal(0, 2, 120)
text = table.astype(object)
text.loc[[7, 58, 90], "horsepower"] = "?"
df = pd.read_csv(io.StringIO(text.to_csv(index=False)), na_values="?")

X = torch.tensor(df[["horsepower", "weight"]].values, dtype=torch.float32)
y = torch.tensor(df[["mpg"]].values, dtype=torch.float32)
X = (X - torch.tensor(df[["horsepower", "weight"]].mean().values)) / torch.tensor(df[["horsepower", "weight"]].std().values)
X = X.float()

model = nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
for epoch in range(100):
    loss = nn.functional.mse_loss(model(X), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if epoch % 10 == 0:
        print(epoch, loss.item())
