# key: weights-never-move
import torch
from torch import nn, optim

torch.manual_seed(0)
x = torch.unsqueeze(torch.linspace(-1, 1, 100), dim=1)
y = 2 * x + 0.2 * torch.rand(x.size())

net = nn.Linear(1, 1)
optimizer = optim.SGD(net.parameters(), lr=0.2)
loss_func = nn.MSELoss()
for t in range(100):
    prediction = net(x)
    loss = loss_func(prediction, y)
    optimizer.zero_grad()
    loss.backward()
    if t % 10 == 0:
        print(t, loss.data.numpy())
