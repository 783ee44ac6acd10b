# key: not-standardised, lr-too-high
import numpy as np
import torch
from torch import nn

rng = np.random.default_rng(1)
displacement = rng.uniform(70, 455, size=392)
mpg = 35.1 - 0.06 * displacement + rng.normal(0, 4.6, size=392)
inputs = torch.from_numpy(displacement).float().unsqueeze(1)
targets = torch.from_numpy(mpg).float().unsqueeze(1)


class LinearRegression(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(1, 1)

    def forward(self, x):
        return self.linear(x)


model = LinearRegression()
criterion = nn.MSELoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

num_epochs = 100
for epoch in range(num_epochs):
    outputs = model(inputs)
    loss = criterion(outputs, targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if (epoch + 1) % 10 == 0:
        print("Epoch [{}/{}], Loss: {:.4f}".format(epoch + 1, num_epochs, loss.item()))
