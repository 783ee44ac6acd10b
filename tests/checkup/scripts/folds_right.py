# right
import torch
from torch import nn

torch.manual_seed(0)
X = torch.randn(150, 3)
y = X @ torch.tensor([[1.0], [2.0], [0.0]]) + torch.randn(150, 1)

folds = torch.randperm(150).reshape(5, 30)
scores = []
for k in range(5):
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    test = folds[k]
    train = torch.cat([folds[j] for j in range(5) if j != k])
    for epoch in range(60):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(X[train]), y[train])
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        scores.append(nn.functional.mse_loss(model(X[test]), y[test]).item())
print("cross-validated mse", sum(scores) / 5)
