"""Right loops that split, scale or reshape the data, and that evaluate and report in the ways people do."""

from __future__ import annotations

import sys

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.model_selection import KFold, train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import ConcatDataset, DataLoader, SubsetRandomSampler, TensorDataset
from torch.utils.data import Subset as RowSubset

from tests.support.training_loops import right


@right()
def standardize_features(X, y):
    """Means and deviations of the columns are taken inside; training is on the scaled columns."""
    mean, std = X.mean(dim=0, keepdim=True), X.std(dim=0, keepdim=True)
    Xs = (X - mean) / std
    model = nn.Linear(Xs.shape[1], 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _epoch in range(120):
        optimizer.zero_grad()
        loss = F.mse_loss(model(Xs), y)
        loss.backward()
        optimizer.step()
    slope = model.weight.detach() / std
    return slope, model.bias.detach() - (slope * mean).sum()


@right()
def standardize_features_and_target(X, y, batch_size=17):
    """The target is scaled too; the loss of the log is turned back into units of y."""
    X_mean, X_std = X.mean(0), X.std(0, unbiased=False)
    y_mean, y_std = y.mean(), y.std(unbiased=False)
    dataset = TensorDataset((X - X_mean) / X_std, (y - y_mean) / y_std)
    loader = DataLoader(dataset, batch_size=batch_size, shuffle=True)
    model = nn.Linear(X.shape[1], 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for epoch in range(40):
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = F.mse_loss(model(xb), yb)
            loss.backward()
            optimizer.step()
        if epoch % 10 == 0:
            print(f"epoch {epoch}: mse {loss.item() * y_std.item() ** 2:.4f}")
    return model


@right()
def train_test_split_and_scaler(X, y):
    """scikit-learn splits and scales; the scaler learns from the training rows only."""
    X_train, X_test, y_train, y_test = train_test_split(X.numpy(), y.numpy(), test_size=0.25, random_state=42)
    scaler = StandardScaler().fit(X_train)
    X_train = torch.tensor(scaler.transform(X_train), dtype=torch.float32)
    X_test = torch.tensor(scaler.transform(X_test), dtype=torch.float32)
    y_train, y_test = torch.from_numpy(y_train), torch.from_numpy(y_test)
    model = nn.Linear(X_train.shape[1], 1)
    loss_fn = nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    train_losses, test_losses = [], []
    for epoch in range(100):
        model.train()
        loss = loss_fn(model(X_train), y_train)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.eval()
        if epoch % 10 == 0:
            with torch.inference_mode():
                test_loss = loss_fn(model(X_test), y_test)
            train_losses.append(loss.detach().numpy())
            test_losses.append(test_loss.detach().numpy())
            print(f"Epoch: {epoch} | MSE Train Loss: {loss} | MSE Test Loss: {test_loss}")
    return np.array(train_losses), np.array(test_losses)


@right()
def squeezed_outputs_and_targets(X, y, learning_rate=0.1):
    """Outputs and targets are both one-dimensional."""
    target = y.squeeze()
    model = nn.Linear(X.shape[1], 1)
    criterion = nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
    for i in range(100):
        pred = model(X).squeeze(-1)
        loss = criterion(pred, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if i % 25 == 0:
            rmse = torch.sqrt(loss).item()
            print(f"iteration {i}, RMSE {rmse:.4f}")


@right()
def targets_reshaped_in_the_loop(model, dataset, batch_size, epochs):
    """The batch of targets gets the shape of the outputs."""
    loader = DataLoader(dataset, batch_size=batch_size, shuffle=True, generator=torch.Generator().manual_seed(1))
    opt = torch.optim.SGD(model.parameters(), lr=0.05)
    for _ in range(epochs):
        for xb, yb in loader:
            yb = yb.view(-1)
            loss = ((model(xb).view(-1) - yb) ** 2).mean()
            opt.zero_grad()
            loss.backward()
            opt.step()


@right()
def permutation_in_numpy(model, X, y, lr):
    """Batches from a permutation of numpy, a bar of progress on standard error."""
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    rng = np.random.default_rng(0)
    epochs, batch_size = 25, 17
    for epoch in range(epochs):
        order = rng.permutation(len(X))
        for start in range(0, len(X), batch_size):
            rows = torch.from_numpy(order[start : start + batch_size])
            optimizer.zero_grad()
            loss = F.mse_loss(model(X[rows]), y[rows])
            loss.backward()
            optimizer.step()
        sys.stderr.write(f"\r[{'=' * (epoch + 1):<{epochs}}] {epoch + 1}/{epochs} loss={loss.item():.4f}")
    sys.stderr.write("\n")


@right()
def subset_samplers(model, X, y, optimizer):
    """Rows for training and for validation by index, in samplers."""
    indices = torch.randperm(len(X), generator=torch.Generator().manual_seed(0)).tolist()
    split = int(0.25 * len(X))
    dataset = TensorDataset(X, y)
    train_loader = DataLoader(dataset, batch_size=17, sampler=SubsetRandomSampler(indices[split:]))
    valid_loader = DataLoader(dataset, batch_size=17, sampler=SubsetRandomSampler(indices[:split]))
    for epoch in range(20):
        model.train()
        train_loss = 0.0
        for data, target in train_loader:
            optimizer.zero_grad()
            loss = F.mse_loss(model(data), target)
            loss.backward()
            optimizer.step()
            train_loss += loss.item() * data.size(0)
        model.eval()
        valid_loss = 0.0
        with torch.no_grad():
            for data, target in valid_loader:
                valid_loss += F.mse_loss(model(data), target).item() * data.size(0)
        train_loss /= len(train_loader.sampler)
        valid_loss /= len(valid_loader.sampler)
        print(f"Epoch: {epoch} \tTraining Loss: {train_loss:.6f} \tValidation Loss: {valid_loss:.6f}")


@right()
def cross_validation(X, y):
    """Three folds; each has a new model and a new optimizer."""
    dataset = TensorDataset(X, y)
    scores = []
    for fold, (train_ids, test_ids) in enumerate(KFold(n_splits=3, shuffle=True, random_state=0).split(X)):
        model = nn.Linear(X.shape[1], 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        loader = DataLoader(RowSubset(dataset, train_ids.tolist()), batch_size=17, shuffle=True)
        for _epoch in range(15):
            for xb, yb in loader:
                optimizer.zero_grad()
                F.mse_loss(model(xb), yb).backward()
                optimizer.step()
        with torch.no_grad():
            scores.append(F.mse_loss(model(X[test_ids]), y[test_ids]).item())
        print(f"fold {fold}: {scores[-1]:.4f}")
    return scores


@right()
def evaluation_of_all_training_rows(model, train_loader, optimizer, loss_fn, scheduler, num_epochs):
    """After each epoch, the loss of all training rows at fixed weights, without gradients."""
    history = []
    for _epoch in range(num_epochs):
        model.train()
        for x, y in train_loader:
            optimizer.zero_grad()
            loss_fn(model(x), y).backward()
            optimizer.step()
        scheduler.step()
        model.eval()
        squared_error = 0.0
        with torch.no_grad():
            for x, y in train_loader:
                squared_error += ((model(x) - y) ** 2).sum().item()
        history.append(squared_error / len(train_loader.dataset))
        print(history[-1])
    return history


@right()
def refit_on_all_rows(X, y, lr=0.1):
    """Chooses the number of epochs by validation rows, then trains a new model on all rows."""
    rows = torch.randperm(len(X), generator=torch.Generator().manual_seed(0))
    train, valid = TensorDataset(X[rows[:80]], y[rows[:80]]), TensorDataset(X[rows[80:]], y[rows[80:]])

    def train_for(dataset, epochs, valid=None):
        model = nn.Linear(X.shape[1], 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=lr)
        losses = []
        for _ in range(epochs):
            for xb, yb in DataLoader(dataset, batch_size=17, shuffle=True):
                optimizer.zero_grad()
                F.mse_loss(model(xb), yb).backward()
                optimizer.step()
            if valid is not None:
                with torch.no_grad():
                    losses.append(F.mse_loss(model(valid.tensors[0]), valid.tensors[1]).item())
        return model, losses

    _, losses = train_for(train, 25, valid)
    best = max(10, int(np.argmin(losses)) + 1)
    model, _ = train_for(ConcatDataset([train, valid]), best)
    return model


@right()
def linear_layer_over_a_loader(train_loader, val_loader, epochs, device):
    """The model is made for the width of the first batch; losses are averaged over batches and printed every tenth epoch."""
    x, _ = next(iter(train_loader))
    model = nn.Sequential(nn.Flatten(), nn.Linear(x.shape[1], 1)).to(device)
    criterion, optimizer = nn.MSELoss(), torch.optim.Adam(model.parameters(), lr=0.02)
    for epoch in range(2 * epochs):
        model.train()
        running_loss = 0.0
        for inputs, labels in train_loader:
            inputs, labels = inputs.to(device), labels.to(device)
            optimizer.zero_grad()
            loss = criterion(model(inputs), labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
        if epoch % 10 != 0:
            continue
        model.eval()
        with torch.no_grad():
            val_loss = sum(criterion(model(a.to(device)), b.to(device)).item() for a, b in val_loader) / len(val_loader)
        print(f"[{epoch + 1}] loss: {running_loss / len(train_loader):.3f}, val loss: {val_loss:.3f}")
    return model
