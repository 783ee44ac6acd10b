# key: wrong-device-or-dtype
import torch
from torch import nn

device = "cuda:7"
torch.manual_seed(0)
X = torch.randn(64, 2)
y = X.sum(dim=1, keepdim=True)

model = nn.Linear(2, 1).to(device)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for _ in range(50):
    optimizer.zero_grad()
    loss = ((model(X.to(device)) - y.to(device)) ** 2).mean()
    loss.backward()
    optimizer.step()
