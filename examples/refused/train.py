"""Trains the networks of this folder on scikit-learn's digits and writes their weights; takes seconds on one core.

Three files are broken on purpose: one holds NaN, one is cut short, one is a pickle.
"""

from pathlib import Path

import digits
import torch
from safetensors.torch import load_file, save_file, save_model
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

FOLDER = Path(__file__).parent
EPOCHS = 10
BATCH = 64


def train_set() -> tuple[Tensor, Tensor]:
    """Images in [0, 1], flat; within each class every fifth example is left for the test."""
    bunch = load_digits()
    x = torch.tensor(bunch.data / 16.0, dtype=torch.float32)
    y = torch.tensor(bunch.target, dtype=torch.int64)
    is_test = torch.zeros(len(y), dtype=torch.bool)
    for label in range(10):
        of_class = (y == label).nonzero().squeeze(1)
        is_test[of_class[4::5]] = True
    return x[~is_test], y[~is_test]


def train(net: nn.Module, x: Tensor, y: Tensor) -> None:
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3)
    net.train()
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(y)).split(BATCH):
            optimizer.zero_grad()
            cross_entropy(net(x[batch]), y[batch]).backward()
            optimizer.step()
    net.eval()


def main() -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    x, y = train_set()
    for name in ("cnn", "grouped_cnn", "mlp", "residual", "tied"):
        torch.manual_seed(0)
        net = getattr(digits, f"build_{name}")()
        train(net, x.view(-1, 1, 8, 8) if name.endswith("cnn") else x, y)
        save_model(net, str(FOLDER / f"digits_{name}.safetensors"))

    whole = FOLDER / "digits_mlp.safetensors"
    tensors = load_file(whole)
    tensors["hidden.1.weight"][3, 5] = float("nan")
    save_file(tensors, FOLDER / "digits_mlp_nan.safetensors")
    (FOLDER / "digits_mlp_truncated.safetensors").write_bytes(whole.read_bytes()[:-4096])
    torch.save({"head.bias": tensors["head.bias"]}, FOLDER / "digits_mlp.pt")


if __name__ == "__main__":
    main()
