# key: no-eval-mode
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Dropout(0.2), nn.Linear(5, 1))

    def forward(self, x):
        return self.layers(x)


torch.manual_seed(0)
X = torch.randn(300, 5)
y = X @ torch.randn(5, 1) + 0.3 * torch.randn(300, 1)
train_set, val_set = random_split(TensorDataset(X, y), [240, 60])
train_loader = DataLoader(train_set, batch_size=24, shuffle=True)
val_loader = DataLoader(val_set, batch_size=60)

model = Model()
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
for epoch in range(20):
    for x, t in train_loader:
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x), t).backward()
        optimizer.step()
    with torch.no_grad():
        for x, t in val_loader:
            print(f"epoch {epoch} val loss {nn.functional.mse_loss(model(x), t).item():.3f}")
