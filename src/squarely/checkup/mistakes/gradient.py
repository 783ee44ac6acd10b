"""Mistakes in the order of forward pass, `zero_grad`, `backward` and `step`, and in the graph between them."""

from __future__ import annotations

from squarely.checkup.mistakes.mistake import Mistake

GRADIENT = (
    Mistake(
        key="no-zero-grad",
        title="The gradients are never cleared",
        mark="The gradient at each step is the sum of all gradients so far.",
        effect="Each step uses the sum of all gradients so far: e[k+1] = (2 - lr lam) e[k] - e[k-1]. The weights oscillate "
        "forever, at every learning rate.",
        fix="Clear the gradients before each backward pass:\n    optimizer.zero_grad()\n    loss.backward()\n    optimizer.step()",
    ),
    Mistake(
        key="backward-on-accumulated-loss",
        title="backward() runs on the sum of all losses so far",
        mark="The gradient at each step is the sum of those of all earlier losses, although the gradients are cleared.",
        effect="Each step uses the gradients of all earlier losses again, so the weights oscillate and never converge. Memory and "
        "time per step grow.",
        fix="Call backward() on the loss of this batch, and add up its number:\n    loss.backward()\n    total += loss.item()",
    ),
    Mistake(
        key="step-before-backward",
        title="step() runs before backward()",
        mark="step() finds no gradient, or only those of earlier steps.",
        effect="If zero_grad() comes before step(), the weights never move. Without zero_grad(), e[k+1] = 2 e[k] - (1 + lr lam) "
        "e[k-1], which grows at every learning rate.",
        fix="Keep this order:\n    optimizer.zero_grad()\n    loss.backward()\n    optimizer.step()",
    ),
    Mistake(
        key="zero-grad-before-step",
        title="zero_grad() runs between backward() and step()",
        mark="backward() writes gradients, and step() finds none.",
        effect="The optimizer has no gradient to use, so the weights keep their first values and the loss stays constant.",
        fix="Clear the gradients before backward():\n    optimizer.zero_grad()\n    loss.backward()\n    optimizer.step()",
    ),
    Mistake(
        key="stale-gradient",
        title="Each step uses the gradient of the step before",
        mark="The gradient that step() uses is the right one for the weights one step earlier.",
        effect="The update is one step late: e[k+1] = e[k] - lr lam e[k-1]. The limit of the learning rate is 1/lam_1, half of "
        "2/lam_1.",
        fix="Compute the loss and its gradient before the step:\n"
        "    loss = criterion(model(X), y)\n"
        "    optimizer.zero_grad()\n"
        "    loss.backward()\n"
        "    optimizer.step()",
    ),
    Mistake(
        key="double-step",
        title="step() runs twice for one gradient",
        mark="Each gradient is applied twice.",
        effect="The learning rate is in effect twice what the optimizer declares. The limit of lr is half as large.",
        fix="Call step() once after each backward():\n    loss.backward()\n    optimizer.step()",
    ),
    Mistake(
        key="graph-detached",
        title="The loss is cut off from the parameters",
        mark="backward() runs, or fails for want of a graph, and no parameter gets a gradient.",
        effect="The parameters get no gradient, so the weights never move.",
        fix="Compute the loss from the output of the model, without detach(), item(), numpy() or torch.tensor() in between:\n"
        "    loss = criterion(model(X), y)",
    ),
    Mistake(
        key="graph-kept",
        title="Loss tensors are kept together with their graphs",
        mark="Losses of earlier steps, which still hold their graphs, are alive at the end.",
        effect="Each kept loss holds the graph of its step and the rows of its batch. Memory grows with every step.",
        fix="Keep the number, not the tensor:\n    losses.append(loss.item())",
    ),
    Mistake(
        key="shape-broadcast",
        title="Predictions and responses have different shapes",
        mark="The loss gets shapes such as (n,) and (n, 1), and its value is that of all n x n pairs.",
        effect="The loss compares each prediction with the response of every row. The slopes go to 0, the intercept to the mean "
        "of y, and the loss to the variance of y.",
        fix="Give both the same shape:\n    loss = criterion(model(X), y.reshape(-1, 1))",
    ),
    Mistake(
        key="wrong-loss",
        title="The gradient is that of another loss",
        mark="The gradient is not that of the mean squared error, and is that of another loss or of a multiple of it.",
        effect="Another loss has another minimum, or steps of another size: half the squared error halves the steps, and the "
        "absolute error fits the median.",
        fix="Use the mean squared error:\n    criterion = torch.nn.MSELoss()\n    loss = criterion(model(X), y)",
    ),
    Mistake(
        key="nan-loss",
        title="The loss is not a finite number",
        mark="A loss, a gradient or a weight is NaN or infinite; the first one is named.",
        effect="After one step with NaN every weight is NaN, and all later steps are lost.",
        fix="Look for a division by zero, the logarithm or square root of a negative number, or missing values in the data:\n"
        "    assert torch.isfinite(X).all() and torch.isfinite(y).all()",
    ),
    Mistake(
        key="wrong-device-or-dtype",
        title="Model and data differ in device or dtype",
        mark="PyTorch stops with an error that names two devices or two dtypes, or a dtype changes on the way to the loss.",
        effect="The forward pass or the loss fails, or is computed in a precision that nobody chose.",
        fix="Move model and batch to one device and one dtype:\n"
        "    model = model.to(device)\n"
        "    X, y = X.to(device).float(), y.to(device).float()",
    ),
)
