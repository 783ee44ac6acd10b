"""Right loops in the style of the tutorials and examples of PyTorch."""

from __future__ import annotations

import copy
import io
import time

import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

from tests.support.training_loops import right


def train_loop(dataloader, model, loss_fn, optimizer):
    size = len(dataloader.dataset)
    model.train()
    for batch, (X, y) in enumerate(dataloader):
        pred = model(X)
        loss = loss_fn(pred, y)

        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

        if batch % 5 == 0:
            loss, current = loss.item(), batch * dataloader.batch_size + len(X)
            print(f"loss: {loss:>7f}  [{current:>5d}/{size:>5d}]")


def test_loop(dataloader, model, loss_fn):
    model.eval()
    num_batches = len(dataloader)
    test_loss = 0.0
    with torch.no_grad():
        for X, y in dataloader:
            pred = model(X)
            test_loss += loss_fn(pred, y).item()
    test_loss /= num_batches
    print(f"Test Error: Avg loss: {test_loss:>8f}\n")


@right()
def quickstart(model, train_dataloader, val_loader, loss_fn, optimizer, epochs=20):
    for t in range(epochs):
        print(f"Epoch {t + 1}\n-------------------------------")
        train_loop(train_dataloader, model, loss_fn, optimizer)
        test_loop(val_loader, model, loss_fn)
    print("Done!")


def train_one_epoch(epoch_index, training_loader, model, loss_fn, optimizer):
    running_loss = 0.0
    last_loss = 0.0
    for i, data in enumerate(training_loader):
        inputs, labels = data
        optimizer.zero_grad()
        outputs = model(inputs)
        loss = loss_fn(outputs, labels)
        loss.backward()
        optimizer.step()

        running_loss += loss.item()
        if i % 3 == 2:
            last_loss = running_loss / 3
            print(f"  batch {i + 1} of epoch {epoch_index + 1} loss: {last_loss}")
            running_loss = 0.0
    return last_loss


@right()
def training_with_pytorch(model, train_loader, val_loader):
    """The validation loss is kept as a tensor and averaged over the batches; the best state is kept too."""
    loss_fn = nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    best_vloss, best_state = 1_000_000.0, None
    for epoch in range(20):
        print(f"EPOCH {epoch + 1}:")
        model.train(True)
        avg_loss = train_one_epoch(epoch, train_loader, model, loss_fn, optimizer)

        running_vloss = 0.0
        model.eval()
        with torch.no_grad():
            for i, vdata in enumerate(val_loader):
                vinputs, vlabels = vdata
                voutputs = model(vinputs)
                running_vloss += loss_fn(voutputs, vlabels)
        avg_vloss = running_vloss / (i + 1)
        print(f"LOSS train {avg_loss} valid {avg_vloss}")
        if avg_vloss < best_vloss:
            best_vloss = avg_vloss
            best_state = copy.deepcopy(model.state_dict())
    return best_state


def loss_batch(model, loss_func, xb, yb, opt=None):
    loss = loss_func(model(xb), yb)
    if opt is not None:
        loss.backward()
        opt.step()
        opt.zero_grad()
    return loss.item(), len(xb)


@right()
def what_is_torch_nn_really(model, train_loader, val_loader, opt, n_epochs):
    loss_func = F.mse_loss
    for epoch in range(n_epochs):
        model.train()
        for xb, yb in train_loader:
            loss_batch(model, loss_func, xb, yb, opt)

        model.eval()
        with torch.no_grad():
            losses, nums = zip(*[loss_batch(model, loss_func, xb, yb) for xb, yb in val_loader], strict=True)
        val_loss = sum(loss * n for loss, n in zip(losses, nums, strict=True)) / sum(nums)
        print(epoch, val_loss)


@right()
def mnist_example(model, device, train_loader, val_loader, lr):
    """The test loss is summed over the rows and divided by their number; the schedule is one step per epoch."""
    model = model.to(device)
    optimizer = optim.Adadelta(model.parameters(), lr=20 * lr)
    scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=10, gamma=0.7)
    for epoch in range(1, 61):
        model.train()
        for batch_idx, (data, target) in enumerate(train_loader):
            data, target = data.to(device), target.to(device)
            optimizer.zero_grad()
            output = model(data)
            loss = F.mse_loss(output, target)
            loss.backward()
            optimizer.step()
            if batch_idx % 10 == 0:
                done, total = batch_idx * len(data), len(train_loader.dataset)
                print(
                    f"Train Epoch: {epoch} [{done}/{total} ({100.0 * batch_idx / len(train_loader):.0f}%)]\tLoss: {loss.item():.6f}"
                )
        model.eval()
        test_loss = 0
        with torch.no_grad():
            for data, target in val_loader:
                data, target = data.to(device), target.to(device)
                output = model(data)
                test_loss += F.mse_loss(output, target, reduction="sum").item()
        test_loss /= len(val_loader.dataset)
        print(f"\nTest set: Average loss: {test_loss:.4f}\n")
        scheduler.step()


class AverageMeter:
    """Computes and stores the average and current value."""

    def __init__(self, name, fmt=":f"):
        self.name, self.fmt = name, fmt
        self.val = self.sum = self.count = self.avg = 0

    def update(self, val, n=1):
        self.val = val
        self.sum += val * n
        self.count += n
        self.avg = self.sum / self.count

    def __str__(self):
        return f"{self.name} {self.val:.4e} ({self.avg:.4e})"


def run_epoch(train_loader, model, criterion, optimizer, device):
    batch_time = AverageMeter("Time", ":6.3f")
    losses = AverageMeter("Loss", ":.4e")
    model.train()
    end = time.time()
    for i, (images, target) in enumerate(train_loader):
        images = images.to(device, non_blocking=True)
        target = target.to(device, non_blocking=True)
        output = model(images)
        loss = criterion(output, target)
        losses.update(loss.item(), images.size(0))

        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        batch_time.update(time.time() - end)
        end = time.time()
        if i % 4 == 0:
            print(f"[{i}/{len(train_loader)}] {losses}")
    return losses.avg


@right()
def imagenet_example(model, train_loader, val_loader, criterion, device="cpu", epochs=30):
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=1e-4)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=12, gamma=0.1)
    best = float("inf")
    for _epoch in range(epochs):
        run_epoch(train_loader, model, criterion, optimizer, device)
        losses = AverageMeter("Loss")
        model.eval()
        with torch.no_grad():
            for images, target in val_loader:
                losses.update(criterion(model(images), target).item(), images.size(0))
        scheduler.step()
        best = min(best, losses.avg)
    return best


@right()
def transfer_learning_phases(model, train_loader, val_loader, criterion, optimizer, scheduler, num_epochs=25):
    """One loop for both phases, with gradients only in the phase that trains; the best weights are loaded at the end."""
    dataloaders = {"train": train_loader, "val": val_loader}
    dataset_sizes = {phase: len(loader.dataset) for phase, loader in dataloaders.items()}
    best_model_wts = copy.deepcopy(model.state_dict())
    best_loss = float("inf")
    for epoch in range(num_epochs):
        for phase in ["train", "val"]:
            if phase == "train":
                model.train()
            else:
                model.eval()
            running_loss = 0.0
            for inputs, labels in dataloaders[phase]:
                optimizer.zero_grad()
                with torch.set_grad_enabled(phase == "train"):
                    outputs = model(inputs)
                    loss = criterion(outputs, labels)
                    if phase == "train":
                        loss.backward()
                        optimizer.step()
                running_loss += loss.item() * inputs.size(0)
            if phase == "train":
                scheduler.step()
            epoch_loss = running_loss / dataset_sizes[phase]
            print(f"Epoch {epoch} {phase} Loss: {epoch_loss:.4f}")
            if phase == "val" and epoch_loss < best_loss:
                best_loss = epoch_loss
                best_model_wts = copy.deepcopy(model.state_dict())
    model.load_state_dict(best_model_wts)
    return model


@right()
def learning_pytorch_with_examples(X, y):
    """The loss is a declared sum, and the learning rate is chosen for it."""
    model = torch.nn.Sequential(torch.nn.Linear(X.shape[1], 1), torch.nn.Flatten(0, 1))
    loss_fn = torch.nn.MSELoss(reduction="sum")
    learning_rate = 1e-3
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
    y = y.flatten()
    for t in range(200):
        y_pred = model(X)
        loss = loss_fn(y_pred, y)
        if t % 100 == 99:
            print(t, loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"Result: y = {model[0].bias.item()} + {model[0].weight.tolist()} x")


@right()
def linear_regression_basics(X, y):
    """The example of many courses: full batch, a module of the user's, the loss every tenth epoch."""

    class LinearRegressionModel(nn.Module):
        def __init__(self, input_dim, output_dim):
            super().__init__()
            self.linear = nn.Linear(input_dim, output_dim)

        def forward(self, x):
            return self.linear(x)

    model = LinearRegressionModel(X.shape[1], 1)
    criterion = nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(100):
        outputs = model(X)
        loss = criterion(outputs, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (epoch + 1) % 10 == 0:
            print(f"Epoch [{epoch + 1}/100], Loss: {loss.item():.4f}")
    return model(X).detach().numpy()


@right()
def resume_from_a_checkpoint(X, y, batch_size=17):
    """Trains ten epochs, saves, builds a new model and optimizer, loads both, and trains on."""

    def build():
        model = nn.Linear(X.size(1), 1)
        return model, optim.SGD(model.parameters(), lr=0.05, momentum=0.5)

    def run(model, optimizer, first, last):
        for _epoch in range(first, last):
            for xb, yb in loader:
                optimizer.zero_grad()
                loss = F.mse_loss(model(xb), yb)
                loss.backward()
                optimizer.step()
        return loss.item()

    loader = DataLoader(TensorDataset(X, y), batch_size=batch_size, shuffle=True)
    model, optimizer = build()
    loss = run(model, optimizer, 0, 10)
    file = io.BytesIO()
    torch.save({"epoch": 10, "model": model.state_dict(), "optimizer": optimizer.state_dict(), "loss": loss}, file)
    file.seek(0)

    model, optimizer = build()
    checkpoint = torch.load(file, weights_only=True)
    model.load_state_dict(checkpoint["model"])
    optimizer.load_state_dict(checkpoint["optimizer"])
    model.train()
    run(model, optimizer, checkpoint["epoch"], 25)
    return model


@right()
def line_through_synthetic_points():
    """Takes nothing: a script of a blog, as a function."""
    torch.manual_seed(42)
    X = torch.randn(100, 1)
    y = 3 * X + 2 + 0.1 * torch.randn(100, 1)
    model = nn.Linear(1, 1)
    criterion = nn.MSELoss()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    for epoch in range(100):
        model.train()
        y_pred = model(X)
        loss = criterion(y_pred, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (epoch + 1) % 20 == 0:
            print(f"Epoch [{epoch + 1}/100], Loss: {loss.item():.4f}")
    print(f"Learned: y = {model.weight.item():.2f} x + {model.bias.item():.2f}")
