# key: not-standardised, lr-too-low
import torch
import torch.nn.functional as F

torch.manual_seed(0)
n = 300
weight = 2970 + 800 * torch.randn(n)
horsepower = 104 + 35 * torch.randn(n)
year = 76 + 3.7 * torch.randn(n)
mpg = -15 - 0.006 * weight - 0.01 * horsepower + 0.75 * year + 3 * torch.randn(n)

X = torch.stack([weight, horsepower, year], 1)
w = torch.zeros(3, requires_grad=True)
b = torch.zeros(1, requires_grad=True)
lr = 1e-8  # larger ones explode

for i in range(500):
    pred = X @ w + b
    loss = F.mse_loss(pred, mpg)
    loss.backward()
    with torch.no_grad():
        w -= lr * w.grad
        b -= lr * b.grad
    w.grad.zero_()
    b.grad.zero_()
    if i % 100 == 0:
        print(i, loss.item())
print("R2:", 1 - loss.item() / mpg.var().item())
