"""Right engines of PyTorch-Ignite."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from ignite.engine import Engine, Events, create_supervised_evaluator, create_supervised_trainer
from ignite.handlers import CosineAnnealingScheduler, EarlyStopping, EMAHandler, LRScheduler
from ignite.metrics import Loss, MeanSquaredError, RootMeanSquaredError, RunningAverage
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.support.training_loops import right


@right()
def supervised_trainer(model, train_loader, val_loader, optimizer, criterion, device="cpu"):
    """The quick start: after each epoch, an evaluator runs over the training and the validation rows."""
    trainer = create_supervised_trainer(model, optimizer, criterion, device)
    metrics = {"loss": Loss(criterion), "rmse": RootMeanSquaredError()}
    train_evaluator = create_supervised_evaluator(model, metrics=metrics, device=device)
    val_evaluator = create_supervised_evaluator(model, metrics=metrics, device=device)

    @trainer.on(Events.ITERATION_COMPLETED(every=5))
    def log_training_loss(engine):
        print(f"Epoch[{engine.state.epoch}], Iter[{engine.state.iteration}] Loss: {engine.state.output:.2f}")

    @trainer.on(Events.EPOCH_COMPLETED)
    def log_results(engine):
        for name, evaluator, loader in (("Training", train_evaluator, train_loader), ("Validation", val_evaluator, val_loader)):
            evaluator.run(loader)
            print(f"{name} - Epoch: {engine.state.epoch} Avg loss: {evaluator.state.metrics['loss']:.4f}")

    trainer.run(train_loader, max_epochs=15)


@right()
def own_update_function(model, loader, learning_rate):
    """An engine around the user's update, with a running average of its output."""
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate, weight_decay=1e-3)

    def update(engine, batch):
        model.train()
        optimizer.zero_grad()
        x, y = batch
        loss = F.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        return {"loss": loss.item()}

    trainer = Engine(update)
    RunningAverage(output_transform=lambda output: output["loss"]).attach(trainer, "running_loss")
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: print(engine.state.epoch, engine.state.metrics))
    trainer.run(loader, max_epochs=25)


@right()
def schedule_per_iteration(model, train_loader, loss_fn, epochs=20):
    """A cosine over all iterations, attached to the start of each."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    trainer = create_supervised_trainer(model, optimizer, loss_fn)
    cosine = CosineAnnealingScheduler(optimizer, "lr", 0.2, 0.01, cycle_size=epochs * len(train_loader))
    trainer.add_event_handler(Events.ITERATION_STARTED, cosine)
    trainer.run(train_loader, max_epochs=epochs)


@right()
def schedule_of_torch_per_epoch(model, train_loader, criterion, num_epochs=25):
    """A schedule of torch in Ignite's wrapper, called when an epoch starts."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    trainer = create_supervised_trainer(model, optimizer, criterion)
    scheduler = LRScheduler(torch.optim.lr_scheduler.StepLR(optimizer, step_size=10, gamma=0.5))
    trainer.add_event_handler(Events.EPOCH_STARTED, scheduler)
    trainer.run(train_loader, max_epochs=num_epochs)


@right()
def accumulation_of_the_engine(model, loader, optimizer, criterion):
    """`gradient_accumulation_steps` divides the loss and steps every second iteration of the whole run."""
    trainer = create_supervised_trainer(model, optimizer, criterion, gradient_accumulation_steps=2)
    trainer.run(loader, max_epochs=40)


@right()
def early_stopping_and_best_weights(X, y, val_loader):
    model = nn.Linear(X.shape[1], 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.5)
    trainer = create_supervised_trainer(model, optimizer, nn.MSELoss())
    evaluator = create_supervised_evaluator(model, metrics={"mse": MeanSquaredError()})
    best = {"mse": float("inf"), "state": None}

    def score(engine):
        return -engine.state.metrics["mse"]

    @trainer.on(Events.EPOCH_COMPLETED)
    def validate(engine):
        evaluator.run(val_loader)
        mse = evaluator.state.metrics["mse"]
        if mse < best["mse"]:
            best.update(mse=mse, state=copy.deepcopy(model.state_dict()))

    evaluator.add_event_handler(Events.COMPLETED, EarlyStopping(patience=6, score_function=score, trainer=trainer))
    trainer.run(DataLoader(TensorDataset(X, y), batch_size=17, shuffle=True), max_epochs=50)
    model.load_state_dict(best["state"])
    return model


@right()
def moving_average_of_the_weights(model, loader, optimizer, criterion):
    trainer = create_supervised_trainer(model, optimizer, criterion)
    ema = EMAHandler(model, momentum=0.02)
    ema.attach(trainer, name="ema_momentum", event=Events.ITERATION_COMPLETED)
    trainer.run(loader, max_epochs=30)
    return ema.ema_model


@right()
def amp_engine(model, loader, optimizer, criterion):
    """Mixed precision in the user's update; a scaler for the CPU."""
    scaler = torch.amp.GradScaler("cpu")

    def update(engine, batch):
        x, y = batch
        model.train()
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = criterion(model(x), y)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return loss.item()

    Engine(update).run(loader, max_epochs=20)
