# right
import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def train(args, model, loader, optimizer):
    model.train()
    for data, target in loader:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(data), target)
        loss.backward()
        optimizer.step()


def test(model, loader):
    model.eval()
    total = 0.0
    with torch.no_grad():
        for data, target in loader:
            total += nn.functional.mse_loss(model(data), target, reduction="sum").item()
    print(f"\nTest set: average loss: {total / len(loader.dataset):.4f}\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=20)
    args = parser.parse_args()

    torch.manual_seed(0)
    X = torch.randn(203, 2)
    y = X @ torch.tensor([[2.0], [-1.0]]) + 0.2 * torch.randn(203, 1)
    loader = DataLoader(TensorDataset(X[:160], y[:160]), batch_size=args.batch_size, shuffle=True)
    test_loader = DataLoader(TensorDataset(X[160:], y[160:]), batch_size=100)
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)
    for _ in range(args.epochs):
        train(args, model, loader, optimizer)
        test(model, test_loader)


if __name__ == "__main__":
    main()
