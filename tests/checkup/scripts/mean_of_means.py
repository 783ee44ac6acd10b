# key: mean-of-batch-means
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(4)
X = torch.randn(203, 2)
y = X @ torch.tensor([[1.0], [1.0]]) + 0.5 * torch.randn(203, 1)
train = DataLoader(TensorDataset(X, y), batch_size=50, shuffle=True)  # the last batch has 3 rows

net = nn.Linear(2, 1)
loss_fn = nn.MSELoss()
opt = torch.optim.SGD(net.parameters(), lr=0.1)
for epoch in range(20):
    net.train()
    for x, t in train:
        opt.zero_grad()
        loss_fn(net(x), t).backward()
        opt.step()
    net.eval()
    train_loss = 0.0
    with torch.no_grad():
        for x, t in train:
            train_loss += loss_fn(net(x), t).item()
    print("epoch", epoch, "train loss", train_loss / len(train))
