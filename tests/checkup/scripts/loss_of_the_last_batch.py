# key: last-batch-loss
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(2)
X = torch.randn(210, 3)
y = X @ torch.randn(3, 1) + 0.4 * torch.randn(210, 1)
dataloader = DataLoader(TensorDataset(X, y), batch_size=25, shuffle=True)

model = nn.Linear(3, 1)
criterion = nn.MSELoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)

for epoch in range(25):
    for inputs, targets in dataloader:
        outputs = model(inputs)
        loss = criterion(outputs, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"Epoch [{epoch + 1}/25], training loss of the epoch: {loss.item():.4f}")
