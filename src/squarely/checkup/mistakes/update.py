"""Mistakes in the update: its size, its schedule, and the parameters that it reaches."""

from __future__ import annotations

from squarely.checkup.mistakes.mistake import Mistake

UPDATE = (
    Mistake(
        key="optimizer-of-another-model",
        title="The optimizer has the parameters of another model",
        mark="The gradients are right, step() runs, and none of the parameters of the model is in the optimizer.",
        effect="step() changes parameters that the loss does not use. The weights of the model never move.",
        fix="Make the model first, and then its optimizer:\n"
        "    model = make_model()\n"
        "    optimizer = torch.optim.SGD(model.parameters(), lr=lr)",
    ),
    Mistake(
        key="parameter-not-trained",
        title="A parameter of the model is not trained",
        mark="One parameter keeps its first value while others change.",
        effect="The parameter keeps its random first value, and the others converge to the best fit around it, not to least "
        "squares.",
        fix="Give all parameters to the optimizer, and let them require gradients:\n"
        "    model.requires_grad_(True)\n"
        "    optimizer = torch.optim.SGD(model.parameters(), lr=lr)",
    ),
    Mistake(
        key="weights-never-move",
        title="The weights never change",
        mark="The weights after the last step are those before the first.",
        effect="The model keeps its random first weights, and the loss is constant.",
        fix="Call step() after each backward(), with the optimizer of this model:\n    loss.backward()\n    optimizer.step()",
    ),
    Mistake(
        key="state-carried-over",
        title="A run starts with the state of the run before",
        mark="The first weights of the second run, or the momentum of its optimizer, are the last of the first run.",
        effect="The second run does not start at its own first weights, so the runs cannot be compared: the later one looks "
        "better.",
        fix="Make a new model and a new optimizer for each run:\n"
        "    model = torch.nn.Linear(X.shape[1], 1)\n"
        "    optimizer = torch.optim.SGD(model.parameters(), lr=lr)",
    ),
    Mistake(
        key="sum-for-mean",
        title="The loss is a sum over rows instead of a mean",
        mark="The gradient is that of the mean times the number of rows in the batch.",
        effect="The learning rate is in effect lr times the rows of a batch. The limit falls from 2/lam_1 to 2/(B lam_1) for B "
        "rows, and a short last batch takes a smaller step.",
        fix="Take the mean over rows:\n    loss = ((model(X) - y) ** 2).mean()",
    ),
    Mistake(
        key="accumulation-not-divided",
        title="Accumulated gradients are not divided by their number",
        mark="The gradient of a step is K times the mean gradient of its K batches.",
        effect="The learning rate is in effect K times lr. The limit of lr is K times smaller, and changes with K.",
        fix="Divide each loss by the number of batches of a step:\n    (loss / accumulation_steps).backward()",
    ),
    Mistake(
        key="ranks-summed",
        title="Gradients are summed over processes, not averaged",
        mark="The gradient of a step is W times the mean gradient of its W processes.",
        effect="The learning rate is in effect W times lr, and changes with the number of processes.",
        fix="Divide by the number of processes, or let DistributedDataParallel do it:\n"
        "    dist.all_reduce(p.grad)\n"
        "    p.grad /= dist.get_world_size()",
    ),
    Mistake(
        key="gradient-clipped",
        title="The gradients are clipped",
        mark="The gradient that step() uses is shorter than the right one, and has the length of a bound.",
        effect="While the bound is reached, every step has the same length, lr times the bound. The number of epochs then grows "
        "with the distance from the optimum.",
        fix="Leave the clipping out, or set a bound that a healthy run does not reach:\n"
        "    torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=100.0)",
    ),
    Mistake(
        key="undeclared-momentum",
        title="The update has momentum that the optimizer does not declare",
        mark="Each change of the weights contains a fixed share, beta, of the change before it.",
        effect="The learning rate is in effect lr / (1 - beta): ten times as large for 0.9. The theory for the declared optimizer "
        "does not hold.",
        fix="Declare it in the optimizer, and clear the gradients:\n"
        "    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)\n"
        "    optimizer.zero_grad()",
    ),
    Mistake(
        key="undeclared-weight-decay",
        title="The weights are shrunk without weight decay in the optimizer",
        mark="The update has a part proportional to the weights.",
        effect="The run converges to ridge regression, (H + wd I)^-1 H w*, not to least squares: a direction with eigenvalue lam "
        "keeps lam / (lam + wd) of its size.",
        fix="Leave it out, or declare it in the optimizer:\n"
        "    optimizer = torch.optim.SGD(model.parameters(), lr=lr, weight_decay=0.01)",
    ),
    Mistake(
        key="lr-too-high",
        title="The learning rate is above its limit",
        mark="lr is above 2/lam_1, and the loss grows.",
        effect="Each step makes the error along the first eigenvector larger by |1 - lr lam_1| > 1. The loss grows without end.",
        fix="Stay below 2/lam_1. In full batch 2/(lam_1 + lam_p) is best:\n"
        "    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)",
    ),
    Mistake(
        key="lr-too-low",
        title="The learning rate is too low for this number of epochs",
        mark="After the last epoch most of the excess loss is left.",
        effect="k steps leave (1 - lr lam)^(2k) of the excess loss. With lam = 2, 1,000 steps at lr = 0.0001 leave 67 %, at 0.01 "
        "none.",
        fix="Raise lr toward 2/(lam_1 + lam_p), or train for more epochs:\n"
        "    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)",
    ),
    Mistake(
        key="not-standardised",
        title="The columns are not standardized",
        mark="The columns that reach the model have means far from 0 or very different scales.",
        effect="The number of epochs grows with kappa = lam_1 / lam_p. For mpg on displacement in raw units kappa is 210,000 and "
        "the limit of lr 0.00002; standardized they are 1 and 1.",
        fix="Standardize with the mean and scale of the training rows:\n"
        "    mean, scale = X.mean(0), X.std(0)\n"
        "    X = (X - mean) / scale",
    ),
    Mistake(
        key="scheduler-per-batch",
        title="A scheduler for epochs steps once per batch",
        mark="The learning rate changes within an epoch, as often as there are batches.",
        effect="With m batches in an epoch the learning rate decays m times as fast, and training stops early in effect.",
        fix="Step the scheduler once after the loop over batches:\n    for X, y in loader:\n        ...\n    scheduler.step()",
    ),
    Mistake(
        key="scheduler-before-optimizer",
        title="The scheduler steps before the optimizer",
        mark="scheduler.step() runs before the first optimizer.step().",
        effect="The first learning rate of the schedule is never used, and all later ones come one step early.",
        fix="Step the optimizer first:\n    optimizer.step()\n    scheduler.step()",
    ),
)
