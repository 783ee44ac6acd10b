"""Fixtures by parameter names: which names are understood, what they stand for, and how the objects belong together."""

import tempfile
from pathlib import Path

import numpy as np
import pytest

from tests.support.checks import need

torch = need("torch")

from squarely.checkup.fixtures.names import UNDERSTOOD, find_fixture
from squarely.checkup.fixtures.objects import _BUILDERS, SCALARS, make_objects, set_seeds
from squarely.checkup.fixtures.targets import load_target
from squarely.checkup.problem import make_problem
from squarely.errors import OptionError

PROBLEM = make_problem()

# The names of the issue, and those of the PyTorch tutorials, d2l, fastai, Lightning, Keras, scikit-learn and nanoGPT.
NAMES = {
    "model": "model net network module regressor",
    "X": "X x inputs X_train x_train train_x features train_features X_tr Xtrain train_X inputs_train",
    "y": "y Y targets labels y_train train_y target train_labels y_tr ytrain",
    "validation_X": "X_val x_valid X_test X_validation test_features x_dev Xtest",
    "validation_y": "y_val y_valid y_test test_labels y_validation yval",
    "dataset": "dataset train_dataset train_ds trainset training_set train_set ds",
    "validation_dataset": "val_dataset valid_ds test_dataset valset testset test_set validation_dataset",
    "loader": "loader dataloader train_loader train_dataloader train_dl trainloader dl train_iter trainLoader data_loader",
    "validation_loader": "val_loader valid_loader val_dl valloader test_loader test_dataloader valid_dl eval_loader test_iter",
    "optimizer": "optimizer opt optim optimiser updater",
    "criterion": "criterion loss_fn loss_function loss loss_func crit cost_fn",
    "scheduler": "scheduler sched lr_scheduler",
    "lr": "lr learning_rate eta LR alpha step_size eta0",
    "epochs": "epochs n_epochs num_epochs max_epochs nb_epochs iterations n_iter steps num_steps max_iter EPOCHS n_iters max_iters",
    "epoch": "epoch epoch_idx",
    "batch_size": "batch_size bs BATCH_SIZE minibatch_size",
    "device": "device",
    "seed": "seed random_state random_seed",
    "rank": "rank local_rank",
    "world_size": "world_size",
    "n_features": "n_features in_features input_dim d_in input_size num_features",
    "n_outputs": "out_features output_dim n_outputs",
    "n": "n n_samples num_samples",
    "momentum": "momentum",
    "weight_decay": "weight_decay wd l2",
    "max_norm": "max_norm clip grad_clip max_grad_norm gradient_clip_val",
    "accumulation_steps": "accumulation_steps grad_accum_steps accum_steps gradient_accumulation_steps accumulate_grad_batches",
    "scaler": "scaler grad_scaler",
    "make_model": "make_model model_class model_fn build_model get_model model_factory",
    "make_optimizer": "make_optimizer optimizer_class optimizer_fn optimizer_cls",
    "settings": "args config cfg hparams",
    "log_every": "log_interval print_every log_every eval_interval",
    "path": "path save_path checkpoint_path ckpt_path",
    "folder": "save_dir checkpoint_dir output_dir log_dir",
    "gamma": "gamma",
    "weight": "w theta",
    "bias": "b bias",
}


@pytest.mark.parametrize(("name", "fixture"), [(name, fixture) for fixture, names in NAMES.items() for name in names.split()])
def test_a_name_stands_for_a_fixture(name, fixture):
    assert find_fixture(name) == fixture


@pytest.mark.parametrize("name", ["writer", "logger", "wandb", "hidden_size", "num_classes", "tokenizer", "dropout"])
def test_a_name_without_a_fixture(name):
    assert find_fixture(name) is None


def test_every_name_has_an_object(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made = set(_BUILDERS) | {"data", "validation_data", "batch"}  # those by what the function does with them
    assert set(UNDERSTOOD.values()) == made - {"pair", "validation_pair"}
    objects = make_objects(PROBLEM)
    assert all(objects[name] is not None for name in _BUILDERS)
    assert set(objects) == set(_BUILDERS)
    assert len(objects) == len(_BUILDERS)


def test_the_objects_belong_together():
    objects = make_objects(PROBLEM)
    model = objects["model"]
    assert isinstance(model, torch.nn.Linear)
    assert (model.in_features, model.out_features) == (3, 1)
    assert objects["optimizer"].param_groups[0]["params"] == [model.weight, model.bias]
    assert type(objects["optimizer"]) is torch.optim.SGD
    assert objects["optimizer"].param_groups[0]["lr"] == PROBLEM.lr
    assert objects["scheduler"].optimizer is objects["optimizer"]
    assert objects["loader"].dataset is objects["dataset"]
    assert objects["parameters"] == [model.weight, model.bias]
    assert objects["make_optimizer"](model, momentum=0.9).param_groups[0]["momentum"] == 0.9
    assert objects["make_optimizer"](model.parameters(), lr=3.0).param_groups[0]["lr"] == 3.0
    assert objects["make_model"](3, 1).weight.shape == (1, 3)
    assert objects["ema_model"] is not model


def test_a_path_is_in_a_folder_that_exists(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    objects = make_objects(PROBLEM)
    torch.save(objects["model"].state_dict(), objects["path"])
    assert [each.name for each in Path(objects["folder"]).iterdir()] == ["checkpoint.pt"]
    assert make_objects(PROBLEM)["folder"] != objects["folder"]


def test_rows_are_those_of_the_problem():
    objects = make_objects(PROBLEM)
    np.testing.assert_array_equal(objects["X"].double().numpy(), PROBLEM.X)  # float32 holds them
    np.testing.assert_array_equal(objects["y"].double().numpy(), PROBLEM.y[:, None])
    assert objects["y"].dtype == torch.float32
    np.testing.assert_array_equal(objects["validation_X"].double().numpy(), PROBLEM.X_validation)
    x, y = objects["validation_dataset"][3]
    np.testing.assert_array_equal(x.double().numpy(), PROBLEM.X_validation[3])
    assert y.item() == PROBLEM.y_validation[3]
    flat = make_objects(make_problem(target_ndim=1, as_numpy=True))
    assert isinstance(flat["X"], np.ndarray)
    assert flat["y"].shape == (107,)
    assert flat["X"].dtype == np.float32
    assert flat["dataset"].tensors[1].shape == (107,)


def test_objects_are_new_for_each_call_and_start_equally():
    one, two = make_objects(PROBLEM), make_objects(PROBLEM)
    assert one["model"] is one["model"]
    assert one["model"] is not two["model"]
    assert torch.equal(one["model"].weight, two["model"].weight)
    one["X"].zero_()
    assert two["X"].abs().sum() > 0
    assert np.abs(PROBLEM.X).sum() > 0


def test_a_model_does_not_change_the_global_generator():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    make_objects(PROBLEM)["model"]
    assert torch.equal(torch.rand(1), expected)


def test_the_loader_has_every_row_once_in_another_order_each_epoch():
    loader = make_objects(PROBLEM)["loader"]
    first, second = ([x[:, 0] for x, _ in loader] for _ in range(2))
    assert [len(each) for each in first] == [17] * 6 + [5]
    for epoch in (first, second):
        np.testing.assert_array_equal(np.sort(torch.cat(epoch).double().numpy()), np.sort(PROBLEM.X[:, 0]))
    assert not torch.equal(torch.cat(first), torch.cat(second))
    set_seeds(0)
    fixed = [torch.cat([x for x, _ in loader])]
    set_seeds(0)
    fixed.append(torch.cat([x for x, _ in loader]))
    assert torch.equal(*fixed)  # a loop that seeds in every epoch has the same order in every epoch


def test_the_loader_of_a_rank_has_its_part(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    seen = []
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        objects = make_objects(PROBLEM)
        assert (objects["rank"], objects["world_size"]) == (int(rank), 2)
        objects["loader"].sampler.set_epoch(1)
        seen.append(torch.cat([x[:, 0] for x, _ in objects["loader"]]).double().numpy())
    assert [len(each) for each in seen] == [54, 54]  # one row is padding
    assert set(np.concatenate(seen)) == set(PROBLEM.X[:, 0])


def test_settings_are_read_as_attributes_and_as_keys():
    settings = make_objects(PROBLEM)["settings"]
    assert settings.lr == settings["learning_rate"] == settings.get("lr") == PROBLEM.lr
    assert settings.num_epochs == PROBLEM.epochs
    assert settings.dry_run is False
    assert settings.get("hidden", 4) == 4
    assert "hidden" not in settings
    assert {**settings}["lr"] == vars(settings)["lr"] == PROBLEM.lr
    assert len(settings) == len(SCALARS)
    with pytest.raises(AttributeError, match="The settings of a checkup have no 'hidden'"):
        _ = settings.hidden


def test_the_device_is_a_text_and_has_a_type():
    device = make_objects(PROBLEM)["device"]
    assert device == "cpu"
    assert device.type == "cpu"
    assert torch.zeros(1).to(device).device.type == "cpu"
    assert torch.device(device) == torch.device("cpu")
    with torch.autocast(device_type=device, dtype=torch.bfloat16):
        assert torch.zeros(1, device=device).shape == (1,)


def iterated(data):
    for _ in data:
        pass


def enumerated(data):
    for _, (_, _) in enumerate(data, start=1):
        pass


def beside_y(data, labels):
    return data, labels


def unpacked(data):
    X, _ = data
    return X


def given_to_a_loader(data):
    for _ in torch.utils.data.DataLoader(data):
        pass


def indexed(train_data):
    return train_data[0]


def epoch_of_range(model, epoch):
    for _ in range(1, epoch + 1):
        pass


def epoch_of_print(epoch):
    print(epoch)


def batch_of_rows(batch):
    x, _ = batch
    return x


def batch_of_size(batch):
    return batch


def validated(test_data, val_data):
    for _ in test_data:
        pass
    X, _ = val_data
    return X


def handed_on(data):
    return iterated(data)


def split(train, val):
    iterated(train)
    return val


def with_mode(loader, train):
    return loader if train else None


def by_type(m: torch.nn.Module, d: torch.utils.data.DataLoader, o: "torch.optim.Optimizer", val_data: torch.utils.data.DataLoader):
    return m, d, o, val_data


def name_before_type(ema_model: torch.nn.Module, loss: float):
    return ema_model, loss


@pytest.mark.parametrize(
    ("function", "fixtures"),
    [
        (handed_on, {"data": "loader"}),
        (split, {"train": "loader", "val": "validation_loader"}),
        (with_mode, {"loader": "loader", "train": "yes"}),
        (by_type, {"m": "model", "d": "loader", "o": "optimizer", "val_data": "validation_loader"}),
        (name_before_type, {"ema_model": "ema_model", "loss": "criterion"}),
        (iterated, {"data": "loader"}),
        (enumerated, {"data": "loader"}),
        (beside_y, {"data": "X", "labels": "y"}),
        (unpacked, {"data": "pair"}),
        (given_to_a_loader, {"data": "dataset"}),
        (indexed, {"train_data": "dataset"}),
        (epoch_of_range, {"model": "model", "epoch": "epochs"}),
        (epoch_of_print, {"epoch": "epoch"}),
        (batch_of_rows, {"batch": "pair"}),
        (batch_of_size, {"batch": "batch_size"}),
        (validated, {"test_data": "validation_loader", "val_data": "validation_pair"}),
    ],
)
def test_a_name_of_several_meanings_is_what_the_function_makes_of_it(function, fixtures):
    assert load_target(function).fixtures == fixtures


def two_models(net, optimizer):
    return net, optimizer


def keeps_defaults(model, lr=0.5, epochs=2, hidden=3):
    return model, lr, epochs, hidden


def rows_of_none(X=None, y=None, model=None):
    return X, y, model


def takes_more(X, y, **options):
    return options


def positional(X, y=3, /, z=4, *, lr):
    return X, y, z, lr


def call(function, fixtures=None):
    target = load_target(function, fixtures)
    return target.call(make_objects(PROBLEM, fixtures))


def test_a_value_of_the_user_takes_the_place_of_a_fixture_also_in_others():
    mine = torch.nn.Linear(3, 1, bias=False)
    for name in ("net", "model"):  # the parameter, or another name of the same fixture
        model, optimizer = call(two_models, {name: mine}).returned
        assert model is not mine  # a copy, so that calls do not share it
        assert torch.equal(model.weight, mine.weight)
        assert optimizer.param_groups[0]["params"] == [model.weight]


def test_a_model_and_its_optimizer_of_the_user_stay_together():
    mine = torch.nn.Linear(3, 1)
    given = {"net": mine, "optimizer": torch.optim.Adam(mine.parameters())}
    model, optimizer = call(two_models, given).returned
    assert optimizer.param_groups[0]["params"] == [model.weight, model.bias]
    assert mine.weight is not model.weight


def test_a_class_in_place_of_a_model_is_named():
    with pytest.raises(OptionError, match=r"fixtures={'model': <class 'torch.nn.modules.linear.Linear'>} is not a model"):
        raise call(two_models, {"net": torch.nn.Linear}).error


def test_a_value_that_cannot_be_copied_is_passed_as_it_is():
    lock = __import__("threading").Lock()
    assert call(takes_more, {"lock": lock}).returned == {"lock": lock}


def test_defaults_are_kept_and_overridden():
    kept = call(keeps_defaults)
    assert kept.returned[1:] == (0.5, 2, 3)
    assert kept.settings == {"model": kept.returned[0], "lr": 0.5, "epochs": 2}
    assert kept.arguments["hidden"] == 3
    assert call(keeps_defaults, {"learning_rate": 7.0, "hidden": 8}).returned[1:] == (7.0, 2, 8)


def test_rows_with_the_default_none_are_given_and_a_model_is_not():
    X, y, model = call(rows_of_none).returned
    assert X.shape == (107, 3)
    assert y.shape == (107, 1)
    assert model is None


def test_positional_and_keyword_only_parameters():
    X, y, z, lr = call(positional).returned
    assert (X.shape, y, z, lr) == ((107, 3), 3, 4, PROBLEM.lr)
    X, y, z, lr = call(positional, {"z": 5, "y": 6}).returned
    assert (y, z) == (6, 5)
