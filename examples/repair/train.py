"""Trains the network of this folder on scikit-learn's digits, kills units on the way, and writes its weights.

Takes seconds on one core. Dead units get no gradient, so what follows the damage trains the other units only.
"""

from pathlib import Path

import torch
from digits import build_sick_mlp
from safetensors.torch import save_model
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

SEED = 0
BATCH = 64
WEIGHTS = Path(__file__).with_name("digits_sick.safetensors")


def digits() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Train and test set: flat images in [0, 1]; within each class every fifth example is for the test."""
    bunch = load_digits()
    x = torch.tensor(bunch.data / 16.0, dtype=torch.float32)
    y = torch.tensor(bunch.target, dtype=torch.int64)
    is_test = torch.zeros(len(y), dtype=torch.bool)
    for label in range(10):
        of_class = (y == label).nonzero().squeeze(1)
        is_test[of_class[4::5]] = True
    return (x[~is_test], y[~is_test]), (x[is_test], y[is_test])


def train(net: nn.Module, x: Tensor, y: Tensor, epochs: int) -> None:
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    net.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(y)).split(BATCH):
            optimizer.zero_grad()
            cross_entropy(net(x[batch]), y[batch]).backward()
            optimizer.step()
    net.eval()


@torch.no_grad()
def kill(layer: nn.Module, units: int) -> None:
    """Makes the first units of a layer unable to fire: its inputs are never negative, these weights always are."""
    layer.weight[:units] = -layer.weight[:units].abs()
    layer.bias[:units] = -0.1


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    (x, y), (x_test, y_test) = digits()
    net = build_sick_mlp()
    train(net, x, y, epochs=2)
    kill(net.hidden[0], units=12)
    kill(net.hidden[1], units=16)
    train(net, x, y, epochs=3)
    with torch.inference_mode():
        accuracy = (net(x_test).argmax(1) == y_test).double().mean().item()
    save_model(net, str(WEIGHTS))
    print(f"{WEIGHTS.name}: accuracy {accuracy:.2%} on {len(y_test)} test images")  # noqa: T201


if __name__ == "__main__":
    main()
