# key: grad-in-validation
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
X = torch.randn(220, 2)
y = X @ torch.tensor([[1.0], [2.0]]) + 0.3 * torch.randn(220, 1)
train_loader = DataLoader(TensorDataset(X[:170], y[:170]), batch_size=17, shuffle=True)
val_loader = DataLoader(TensorDataset(X[170:], y[170:]), batch_size=50)
model = nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(20):
    model.train()
    for inputs, targets in train_loader:
        optimizer.zero_grad()
        nn.functional.mse_loss(model(inputs), targets).backward()
        optimizer.step()
    model.eval()
    for inputs, targets in val_loader:
        print("val", nn.functional.mse_loss(model(inputs), targets).item())
