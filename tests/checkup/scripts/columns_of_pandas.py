# key: wrong-device-or-dtype
import numpy as np
import pandas as pd
import torch
from torch import nn

rng = np.random.default_rng(0)
df = pd.DataFrame({"age": rng.normal(0, 1, 90), "bmi": rng.normal(0, 1, 90)})
df["charge"] = 2 * df.age + df.bmi + rng.normal(0, 0.3, 90)

X = torch.tensor(df[["age", "bmi"]].values)
y = torch.tensor(df["charge"].values).view(-1, 1)

model = nn.Linear(2, 1)
criterion = nn.MSELoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(100):
    optimizer.zero_grad()
    loss = criterion(model(X), y)
    loss.backward()
    optimizer.step()
