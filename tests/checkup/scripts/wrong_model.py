# key: optimizer-of-another-model, weights-never-move
import torch
from torch import nn

torch.manual_seed(0)
X = torch.rand(100, 1) * 2 - 1
y = 4 * X + 1 + 0.1 * torch.randn(100, 1)


def make_model():
    return nn.Sequential(nn.Linear(1, 1))


model = make_model()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
model = make_model()  # starts again with fresh weights

for epoch in range(100):
    loss = nn.functional.mse_loss(model(X), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if epoch % 10 == 0:
        print(epoch, loss.item())
