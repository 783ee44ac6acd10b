"""Read the argument `params`: a mapping, a Series, an array, an estimator, results, a module or a file. Nothing is unpickled.

Objects of other libraries are recognized by their public attributes, so that none of these libraries is imported.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from squarely.certification.answers.answer import Answer, Origin, by_name, by_order, find_other_loss
from squarely.certification.answers.json_file import read_json
from squarely.certification.answers.numbers import find_roundoff, read_mapping, read_numbers
from squarely.certification.answers.scaling import Scaling, read_scaler, read_step
from squarely.design import Design
from squarely.errors import InputError, listed

_KINDS = (
    "a dict or a Series of numbers, a fitted estimator or Pipeline of scikit-learn, results of statsmodels, a torch module, or a "
    ".json or .safetensors file"
)
_PICKLES = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".bin", ".ckpt", ".npy", ".npz", ".h5")
_VECTORS = ("coef_", "coef", "weight", "weights", "slopes")  # names of all slopes in a dict or in JSON
_LEVELS = ("intercept_", "intercept", "bias")
_WRAPPERS = ("best_estimator_", "module_")  # of a search of scikit-learn, and of skorch


def read_answer(params: Any, scaler: Any, design: Design) -> Answer:
    """Read coefficients from anything, in the order and the units of a design; `scaler` undoes a scaling of the columns.

    Raises
    ------
    InputError : it has no coefficients of a linear model, or not those of this formula.
    """
    answer = _read(params, "params=", design)
    if scaler is None:
        return answer
    scaling = read_scaler(scaler, design)
    return answer.unscale(scaling.center, scaling.scale, scaling.response)


def _read(params: Any, label: str, design: Design) -> Answer:
    if isinstance(params, str | bytes | os.PathLike):
        return _read_file(Path(os.fsdecode(params)), design)
    if isinstance(params, type):
        raise InputError(f"{label} is the class {params.__name__}. Give a fitted object of it.")
    for name in _WRAPPERS:
        if hasattr(params, name):
            return _read(getattr(params, name), label, design)
    return _choose_reader(params)(params, label, design)


def _choose_reader(params: Any) -> Callable[[Any, str, Design], Answer]:
    """Return the function that reads an object with these attributes."""
    readers = (
        (("steps", "named_steps"), _read_pipeline),
        (("regressor", "transformer"), _read_scaled_response),
        (("state_dict", "named_parameters"), _read_module),
        (("coef_",), _read_estimator),
        (("fit", "get_params"), _read_estimator),
        (("params",), _read_results),
    )
    return next((read for names, read in readers if all(hasattr(params, name) for name in names)), _read_plain)


def _read_plain(params: Any, label: str, design: Design) -> Answer:
    """Read a mapping, a Series, or numbers without names."""
    if isinstance(params, Mapping):
        read = _read_vectors if _has_vectors(params, design) else _read_named
        return read(params, label, design)
    if hasattr(params, "columns"):
        raise InputError(f"{label} is a {type(params).__name__}. Give one column of it, such as table['coef'].")
    if hasattr(params, "index") and hasattr(params, "items"):  # a Series
        if not all(isinstance(name, str) for name in params.index):
            return by_order(label, read_numbers(label, params.array), None, design, _plain_origin(params.array))
        return by_name(label, list(params.index), read_numbers(label, params.array), design, _plain_origin(params.array))
    if isinstance(params, Sequence | np.ndarray) or hasattr(params, "detach"):
        return by_order(label, read_numbers(label, params), None, design, _plain_origin(params))
    raise InputError(f"{label} is a {type(params).__name__}, which has no coefficients. Give {_KINDS}.")


def _plain_origin(*values: Any) -> Origin:
    return Origin(kind="params", roundoff=find_roundoff(*[np.asarray(v) if isinstance(v, Sequence) else v for v in values]))


def _has_vectors(params: Mapping[Any, Any], design: Design) -> bool:
    """Return whether a mapping has all slopes as one array, and not a number for each column."""
    for name, value in params.items():
        is_sequence = isinstance(value, Sequence) and not isinstance(value, str)
        shape = getattr(value, "shape", (len(value),) if is_sequence else ())
        is_weight = str(name).rsplit(".", 1)[-1] in _VECTORS and name not in design.labels
        if len(shape) and (is_weight or max(shape) > 1):
            return True
    return False


def _read_named(params: Mapping[Any, Any], label: str, design: Design) -> Answer:
    names, numbers = read_mapping(label, params)
    return by_name(label, names, numbers, design, Origin(kind="params", roundoff=find_roundoff(numbers)))


def _read_vectors(params: Mapping[Any, Any], label: str, design: Design) -> Answer:
    """Read a mapping with the slopes as one array: a state dict of one linear layer, or {"coef": [...], "intercept": ...}."""
    last = {str(name): str(name).rsplit(".", 1)[-1] for name in params}
    slopes, levels = ([name for name in params if last[str(name)] in known] for known in (_VECTORS, _LEVELS))
    others = [name for name in params if name not in slopes and name not in levels]
    if len(slopes) != 1 or len(levels) > 1 or others:
        raise InputError(
            f"{label} has the arrays {listed(map(repr, params))}, and a linear model has one weight and at most one bias. Give "
            "these two, or the module itself."
        )
    values, level = read_numbers(label, params[slopes[0]]), None
    if levels:
        level = float(read_mapping(label, {levels[0]: params[levels[0]]})[1][0])
    kind = "state dict" if last[str(slopes[0])] == "weight" else "params"
    origin = Origin(kind=kind, roundoff=_plain_origin(*[params[name] for name in (*slopes, *levels)]).roundoff)
    return by_order(label, values, level, design, origin)


def _read_estimator(estimator: Any, label: str, design: Design, names: Any = None) -> Answer:
    kind = type(estimator).__name__
    if hasattr(estimator, "classes_"):
        raise InputError(f"{label} is a {kind}, which classifies. The coefficients of a regression are needed.")
    if not hasattr(estimator, "coef_"):
        fitted = any(name.endswith("_") and not name.startswith("_") for name in vars(estimator))
        what = "has no coefficients: it is not a linear model" if fitted else "is not fitted: call its fit first"
        raise InputError(f"{label} is a {kind} that {what}. Give {_KINDS}.")
    values = read_numbers(f"{label} ({kind})", estimator.coef_)
    level = read_numbers(f"{label} ({kind})", getattr(estimator, "intercept_", 0.0))
    fits_level = getattr(estimator, "fit_intercept", True) and hasattr(estimator, "intercept_")
    epochs, most = getattr(estimator, "n_iter_", 0), getattr(estimator, "max_iter", None)
    updates = getattr(estimator, "t_", None)
    origin = Origin(
        kind=kind,
        nobs=round((float(updates) - 1) / epochs) if updates is not None and epochs else None,
        loss=find_other_loss(kind, getattr(estimator, "loss", None)),
        used_up=epochs if np.ndim(epochs) == 0 and epochs and epochs == most else 0,
        roundoff=find_roundoff(estimator.coef_),
    )
    names = getattr(estimator, "feature_names_in_", None) if names is None else names
    intercept = float(level[0]) if fits_level else None
    if names is None:
        return by_order(f"{label} ({kind})", values, intercept, design, origin)
    all_names = [*names, *(["Intercept"] if fits_level else [])]
    return by_name(f"{label} ({kind})", all_names, np.append(values, level[:1] if fits_level else []), design, origin)


def _read_pipeline(pipeline: Any, label: str, design: Design) -> Answer:
    """Read a Pipeline of scalers and a linear model; the scalings are undone from the last to the first."""
    *scalers, last = [step for _, step in pipeline.steps if step is not None and not isinstance(step, str)]
    scalings = [read_step(step, label) for step in scalers]
    names = getattr(pipeline, "feature_names_in_", getattr(last, "feature_names_in_", None))
    if hasattr(last, "regressor"):
        answer = _read_scaled_response(last, label, design, names)
    else:
        answer = _read_estimator(last, label, design, names)
    place = _order_of_columns(names, design) if answer.has_names else np.arange(len(answer.slopes))
    for center, scale in reversed(scalings):
        if len(center) != len(answer.slopes):
            raise InputError(
                f"{label} scales {len(center):,} columns, and the formula has {len(answer.slopes):,}. Give both the same."
            )
        answer = answer.unscale(center[place], scale[place], (0.0, 1.0))
    return answer


def _order_of_columns(names: Any, design: Design) -> np.ndarray:
    """Return the place in `names` of each column of the design, which is that of its number in a coefficient vector."""
    positions = by_name("", names, np.arange(len(names), dtype=np.float64), design, Origin(kind="params"))
    return positions.slopes.astype(int)


def _read_scaled_response(model: Any, label: str, design: Design, names: Any = None) -> Answer:
    """Read a TransformedTargetRegressor: a model of a scaled response."""
    if not hasattr(model, "regressor_"):
        raise InputError(f"{label} is a {type(model).__name__} that is not fitted. Call its fit first.")
    names = getattr(model, "feature_names_in_", names)
    inner = model.regressor_
    answer = _read_pipeline(inner, label, design) if hasattr(inner, "steps") else _read_estimator(inner, label, design, names)
    mean, size = (float(part[0]) for part in read_step(model.transformer_, label))
    scaling = Scaling(np.zeros(len(answer.slopes)), np.ones(len(answer.slopes)), (mean, size))
    return answer.unscale(scaling.center, scaling.scale, scaling.response)


def _read_results(results: Any, label: str, design: Design) -> Answer:
    """Read results with `params`, such as those of statsmodels."""
    model, params = getattr(results, "model", None), results.params
    kind = type(results if model is None else model).__name__
    names = list(params.index) if hasattr(params, "index") else getattr(model, "exog_names", None)
    nobs = getattr(results, "nobs", None)
    origin = Origin(
        kind=kind,
        nobs=None if nobs is None else round(float(nobs)),
        loss=find_other_loss(kind, None),
        roundoff=find_roundoff(params),
    )
    label = f"{label} ({kind})"
    values = read_numbers(label, params)
    return by_order(label, values, None, design, origin) if names is None else by_name(label, names, values, design, origin)


def _read_module(module: Any, label: str, design: Design) -> Answer:
    """Read a torch module by its outputs, so that one with several layers counts as long as it is linear."""
    from squarely.descent import affine_form  # here, because numbers need no PyTorch

    features = next((p.shape[-1] for p in module.parameters() if len(p.shape) == 2), len(design.labels) - 1)
    form = affine_form(module, int(features))
    dtype = next(iter(module.parameters()))
    return by_order(
        f"{label} ({type(module).__name__})", form.weight, form.bias, design, Origin(kind="module", roundoff=find_roundoff(dtype))
    )


def _read_file(path: Path, design: Design) -> Answer:
    """Read a JSON file of coefficients, or the tensors of a safetensors file."""
    label, ending = f"The file {str(path)!r}", path.suffix.lower()
    if ending in _PICKLES:
        raise InputError(
            f"{label} may hold code that runs when it is read, so it is not opened. Save the coefficients as JSON, or with "
            "safetensors.torch.save_file(model.state_dict(), 'model.safetensors')."
        )
    if ending == ".safetensors":
        from squarely.descent import read_tensors  # here, because JSON needs no PyTorch

        return _read_vectors(read_tensors(path), label, design)
    document = read_json(path)
    if not isinstance(document, dict | list):
        raise InputError(f'{label} has no coefficients, but {document!r}. Write them as {{"Intercept": 35.2, "x": -0.06}}.')
    return _read_plain(document, label, design)
