from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from surgery_dsl.diagnostics.codes import trust
from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.language.plan import DataSet
from surgery_dsl.run.batches import Batches
from surgery_dsl.run.data import TensorData, load
from surgery_dsl.run.grants import Grants
from surgery_dsl.vocabulary.datasets.digits import Digits
from surgery_dsl.vocabulary.datasets.npz import Npz
from surgery_dsl.vocabulary.datasets.python import Python
from surgery_dsl.vocabulary.datasets.safetensors import Safetensors
from surgery_dsl.vocabulary.values import Percent

ALL = Grants(patterns=("*",))


def test_digits_are_scikit_learns() -> None:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images, labels = Digits(split="all").load(Path())
    assert images.shape == (1797, 1, 8, 8)
    assert images.dtype == torch.float32
    assert labels.dtype == torch.int64
    assert np.array_equal(images[:, 0].numpy(), (bunch.images / 16).astype(np.float32))
    assert np.array_equal(labels.numpy(), bunch.target)


def test_every_fifth_example_of_a_class_is_for_the_test() -> None:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    wanted = np.zeros(1797, dtype=bool)
    seen = dict.fromkeys(range(10), 0)
    for index, label in enumerate(bunch.target):
        wanted[index] = seen[label] % 5 == 4
        seen[label] += 1
    train, test = Digits(split="train", flat=True).load(Path()), Digits(split="test", flat=True).load(Path())
    assert np.array_equal(test[0].numpy(), (bunch.data[wanted] / 16).astype(np.float32))
    assert np.array_equal(train[1].numpy(), bunch.target[~wanted])


def test_parts_of_a_split_do_not_overlap() -> None:
    def part(first: int, last: int) -> torch.Tensor:
        return Digits(split="train", from_=Percent(value=first), to=Percent(value=last)).load(Path())[0]

    whole = Digits(split="train").load(Path())[0]
    assert torch.equal(torch.cat([part(0, 40), part(40, 80), part(80, 100)]), whole)
    with pytest.raises(Refused) as caught:
        part(50, 50)
    assert caught.value.diagnostics[0].code is trust.DATA_MALFORMED


def block(loader: object, batch: int = 4) -> DataSet:
    return DataSet(name="d", load=loader, batch=batch)


def test_facts_say_what_is_there(folder: Path) -> None:
    data = load(block(Python(target="network:data")), folder, ALL, "plan.surg")
    facts = data.facts
    assert (facts.count, facts.input_shape, facts.input_dtype) == (96, (6,), "f32")
    assert (facts.target_shape, facts.target_dtype, facts.label_range) == ((), "i64", (0, 3))
    again = load(block(Python(target="network:data")), folder, ALL, "plan.surg")
    assert again.facts == facts
    fewer = load(block(Python(target="network:data", arguments={"count": 95})), folder, ALL, "plan.surg")
    assert fewer.facts.digest != facts.digest


def test_batches_come_in_order_and_all(folder: Path) -> None:
    data = load(block(Python(target="network:data"), batch=40), folder, ALL, "plan.surg")
    parts = list(data.batches())
    assert [len(x) for x, _ in parts] == [40, 40, 16]
    assert torch.equal(torch.cat([x for x, _ in parts]), data.inputs)
    assert [len(x) for x, _ in data.batches(limit=1, size=7)] == [7]


def test_data_needs_a_grant(folder: Path) -> None:
    with pytest.raises(Refused) as caught:
        load(block(Python(target="network:data")), folder, Grants(), "plan.surg")
    assert caught.value.diagnostics[0].code is trust.CODE_NOT_GRANTED
    assert caught.value.diagnostics[0].file == "plan.surg"


def bad(tmp_path: Path, x: torch.Tensor, y: torch.Tensor) -> object:
    save_file({"x": x, "y": y}, tmp_path / "d.safetensors")
    with pytest.raises(Refused) as caught:
        load(block(Safetensors(file="d.safetensors")), tmp_path, ALL, "plan.surg")
    return caught.value.diagnostics[0]


def test_lengths_and_numbers_are_looked_at(tmp_path: Path) -> None:
    found = bad(tmp_path, torch.zeros(3, 2), torch.zeros(4))
    assert (found.code, found.facts) == (trust.DATA_MALFORMED, {"inputs": 3, "targets": 4})
    assert bad(tmp_path, torch.zeros(0, 2), torch.zeros(0)).code is trust.DATA_MALFORMED
    x = torch.zeros(5, 2)
    x[3, 1] = float("nan")
    found = bad(tmp_path, x, torch.zeros(5))
    assert (found.code, found.facts["first"]) == (trust.DATA_NOT_FINITE, 3)


def test_numpy_archives(tmp_path: Path) -> None:
    x, y = np.random.default_rng(0).random((5, 3), dtype=np.float32), np.arange(5)
    np.savez(tmp_path / "d.npz", x=x, y=y)
    inputs, targets = Npz(file="d.npz").load(tmp_path)
    assert np.array_equal(inputs.numpy(), x)
    assert targets.tolist() == [0, 1, 2, 3, 4]


def test_archives_of_objects_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.array([{"a": 1}], dtype=object), y=np.arange(1))
    with pytest.raises(Refused) as caught:
        Npz(file="d.npz").load(tmp_path)
    assert caught.value.diagnostics[0].code is trust.DATA_UNREADABLE


@pytest.mark.parametrize("content", [b"", b"noise", b"PK\x03\x04broken"])
def test_noise_is_no_archive(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "d.npz").write_bytes(content)
    with pytest.raises(Refused) as caught:
        Npz(file="d.npz").load(tmp_path)
    assert caught.value.diagnostics[0].code is trust.DATA_UNREADABLE


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 16, 17])
def test_every_example_is_seen_once_an_epoch_and_never_alone(folder: Path, count: int) -> None:
    whole = load(block(Python(target="network:data", arguments={"count": count})), folder, ALL, "p")
    assert isinstance(whole, TensorData)
    batches = Batches([whole], 8)
    parts = list(batches.shuffled(torch.Generator().manual_seed(3)))
    assert len(parts) == len(batches)
    seen = torch.cat([x for x, _ in parts])
    assert sorted(map(tuple, seen.tolist())) == sorted(map(tuple, whole.inputs.tolist()))
    assert all(len(x) > 1 for x, _ in parts) or count == 1
    first = torch.cat([x for x, _ in batches.shuffled(torch.Generator().manual_seed(3))])
    assert torch.equal(first, seen)
