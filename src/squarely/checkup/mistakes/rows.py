"""Mistakes in the rows that a loop trains on, and in their order."""

from __future__ import annotations

from squarely.checkup.mistakes.mistake import Mistake

ROWS = (
    Mistake(
        key="labels-misaligned",
        title="Rows are paired with the responses of other rows",
        mark="The rows of X in a batch, which one column identifies, do not belong to the values of y beside them.",
        effect="The slopes go to about 0 and the loss to the variance of y, as if X had nothing to do with y. The reported loss "
        "looks plausible.",
        fix="Index X and y by the same order:\n    order = torch.randperm(len(X))\n    X, y = X[order], y[order]",
    ),
    Mistake(
        key="not-shuffled",
        title="The batches have the same rows in the same order every epoch",
        mark="Every epoch visits the rows in the order in which they are stored.",
        effect="The run converges to a biased point, not to least squares. Averaging the weights does not remove the bias of a "
        "fixed order.",
        fix="Shuffle in every epoch:\n    loader = DataLoader(dataset, batch_size=batch_size, shuffle=True)",
    ),
    Mistake(
        key="random-state-fixed-per-epoch",
        title="The random seed is set again in every epoch",
        mark="The order is random, and the same in every epoch.",
        effect="All epochs have the same batches in the same order, so the run converges to a biased point, as without a shuffle.",
        fix="Set the seed once, before the first epoch; with a DistributedSampler, name the epoch:\n"
        "    torch.manual_seed(seed)\n"
        "    for epoch in range(epochs):\n"
        "        sampler.set_epoch(epoch)",
    ),
    Mistake(
        key="rows-dropped",
        title="Some rows are never used in an epoch",
        mark="An epoch uses fewer rows than there are.",
        effect="The rows that are always left out have no influence: the run fits a sample of the data.",
        fix="Keep the short last batch:\n    loader = DataLoader(dataset, batch_size=batch_size, shuffle=True, drop_last=False)",
    ),
    Mistake(
        key="rows-repeated",
        title="Some rows are used more than once in an epoch",
        mark="An epoch uses some rows twice.",
        effect="The repeated rows count twice, as with frequencies, so the run converges to a weighted fit.",
        fix="Visit each row once:\n"
        "    for rows in torch.randperm(len(X)).split(batch_size):\n"
        "        loss = criterion(model(X[rows]), y[rows])",
    ),
    Mistake(
        key="trains-on-validation",
        title="Validation rows are used for training",
        mark="A gradient that step() uses contains rows of the validation data.",
        effect="The validation loss no longer measures new rows: it is too low, and early stopping and model choice rest on it.",
        fix="Take validation losses without gradients and without a step:\n"
        "    model.eval()\n"
        "    with torch.no_grad():\n"
        "        val_loss = criterion(model(X_val), y_val)",
    ),
)
