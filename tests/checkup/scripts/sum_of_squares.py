# key: sum-for-mean
import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=0.002)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=20)
    args = parser.parse_args()

    torch.manual_seed(0)
    X = torch.randn(160, 2)
    y = X @ torch.tensor([[2.0], [-1.0]]) + 0.2 * torch.randn(160, 1)
    loader = DataLoader(TensorDataset(X, y), batch_size=args.batch_size, shuffle=True)
    model = nn.Linear(2, 1)
    criterion = nn.MSELoss(reduction="sum")
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)
    for _ in range(args.epochs):
        for data, target in loader:
            optimizer.zero_grad()
            loss = criterion(model(data), target)
            loss.backward()
            optimizer.step()
    print(model.weight)


if __name__ == "__main__":
    main()
