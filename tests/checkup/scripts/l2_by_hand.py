# key: undeclared-weight-decay
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
X = torch.randn(200, 3)
y = X @ torch.tensor([[3.0], [-2.0], [1.0]]) + 0.5 * torch.randn(200, 1)
loader = DataLoader(TensorDataset(X, y), batch_size=20, shuffle=True)
model = nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
lam = 0.2

for epoch in range(30):
    for inputs, targets in loader:
        loss = nn.MSELoss()(model(inputs), targets)
        for param in model.parameters():
            loss = loss + lam * torch.norm(param) ** 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
print(model.weight.data, model.bias.data)
