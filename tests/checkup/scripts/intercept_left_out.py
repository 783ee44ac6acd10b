# key: parameter-not-trained
import torch

torch.manual_seed(0)
X = torch.randn(150, 2)
y = 1.5 + X @ torch.tensor([0.7, -0.3]) + 0.2 * torch.randn(150)

w = torch.zeros(2, requires_grad=True)
b = torch.zeros(1, requires_grad=True)
optimizer = torch.optim.SGD([w], lr=0.1)

for step in range(150):
    loss = ((X @ w + b - y) ** 2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(w, b, loss.item())
