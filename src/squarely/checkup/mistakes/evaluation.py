"""Mistakes in what a loop reports, and in how it evaluates."""

from __future__ import annotations

from squarely.checkup.mistakes.mistake import Mistake

EVALUATION = (
    Mistake(
        key="mean-of-batch-means",
        title="The reported loss is the mean of batch means",
        mark="The reported number is the mean over batches, and the last batch has fewer rows.",
        effect="Rows of the short last batch weigh more than others. One such loop reports 13.18 where the loss is 12.81.",
        fix="Weight each batch by its rows:\n    total += loss.item() * len(X)\n    ...\n    print(total / len(loader.dataset))",
    ),
    Mistake(
        key="last-batch-loss",
        title="The reported loss is that of the last batch",
        mark="The reported number is the loss of the rows of the last batch.",
        effect="The number has the noise of a few rows: it rises and falls from epoch to epoch while the model improves.",
        fix="Add up all batches, weighted by their rows:\n"
        "    total += loss.item() * len(X)\n"
        "    ...\n"
        "    print(total / len(loader.dataset))",
    ),
    Mistake(
        key="loss-while-moving",
        title="The reported loss is added up while the weights change",
        mark="The reported number is the mean of batch losses, each at other weights.",
        effect="The number is no loss of any model: early batches count at the weights before the epoch. It lags behind by about "
        "half an epoch.",
        fix="Evaluate after the epoch, at the weights that you keep:\n"
        "    model.eval()\n"
        "    with torch.no_grad():\n"
        "        loss = criterion(model(X_all), y_all)",
    ),
    Mistake(
        key="no-eval-mode",
        title="The model is evaluated in training mode",
        mark="model.training is True during a forward pass without gradients or on validation rows.",
        effect="A linear model gives the same numbers. Dropout and batch normalization give others: noise, and statistics that "
        "validation rows change.",
        fix="Switch the mode before validation:\n    model.eval()\n    with torch.no_grad():\n        ...",
    ),
    Mistake(
        key="no-train-mode",
        title="The model is trained in evaluation mode",
        mark="model.training is False during forward passes whose gradients are used.",
        effect="A linear model trains as before. Dropout is off and batch normalization keeps its first statistics, so other "
        "models train differently.",
        fix="Switch back at the start of each epoch:\n    for epoch in range(epochs):\n        model.train()",
    ),
    Mistake(
        key="grad-in-validation",
        title="Validation builds graphs for gradients",
        mark="Gradients are on during a forward pass on validation rows.",
        effect="The numbers stay the same. Each validation batch takes more memory and time, and a backward() by mistake would "
        "train on it.",
        fix="Turn gradients off:\n    with torch.no_grad():\n        val_loss = criterion(model(X_val), y_val)",
    ),
)
