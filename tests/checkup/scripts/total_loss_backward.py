# key: backward-on-accumulated-loss
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
X = torch.randn(80, 2)
y = X @ torch.tensor([[1.0], [-1.0]]) + 0.1 * torch.randn(80, 1)
loader = DataLoader(TensorDataset(X, y), batch_size=16, shuffle=True)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 1)

    def forward(self, x):
        return self.fc(x)


net = Net()
w, b = net.fc.weight, net.fc.bias
lr = 0.01
for epoch in range(10):
    total_loss = 0
    for x, t in loader:
        total_loss = total_loss + ((net(x) - t) ** 2).mean()
        net.zero_grad()
        total_loss.backward(retain_graph=True)
        w.data -= lr * w.grad
        b.data -= lr * b.grad
    print(epoch, total_loss.item() / len(loader))
