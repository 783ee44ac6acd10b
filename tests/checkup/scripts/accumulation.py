# key: accumulation-not-divided
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(7)
X = torch.randn(180, 3)
y = X.sum(1, keepdim=True) + 0.1 * torch.randn(180, 1)
loader = DataLoader(TensorDataset(X, y), batch_size=12, shuffle=True)

model = torch.nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
accum_iter = 5

for epoch in range(15):
    for batch_idx, (inputs, labels) in enumerate(loader):
        loss = F.mse_loss(model(inputs), labels)
        loss.backward()
        if (batch_idx + 1) % accum_iter == 0:
            optimizer.step()
            optimizer.zero_grad()
print(model.state_dict())
