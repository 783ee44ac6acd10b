# key: double-step
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
X = torch.randn(170, 2)
y = X @ torch.tensor([[1.0], [2.0]]) + 0.3 * torch.randn(170, 1)
loader = DataLoader(TensorDataset(X, y), batch_size=17, shuffle=True)
model = nn.Linear(2, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)


def train_step(inputs, targets):
    optimizer.zero_grad()
    loss = nn.functional.mse_loss(model(inputs), targets)
    loss.backward()
    optimizer.step()


for epoch in range(20):
    for inputs, targets in loader:
        train_step(inputs, targets)
        optimizer.step()
print(model.weight)
