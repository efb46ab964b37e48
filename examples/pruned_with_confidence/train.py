"""Trains the network of this folder on scikit-learn's digits and writes its weights; takes seconds on one core."""

from pathlib import Path

import torch
from digits import build_cnn
from safetensors.torch import save_model
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, dropout2d

SEED = 1
EPOCHS = 20
BATCH = 64
WEIGHTS = Path(__file__).with_name("digits_cnn.safetensors")


def digits() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Train and test set: images in [0, 1]; within each class every fifth example is for the test."""
    bunch = load_digits()
    x = torch.tensor(bunch.images / 16.0, dtype=torch.float32).unsqueeze(1)
    y = torch.tensor(bunch.target, dtype=torch.int64)
    is_test = torch.zeros(len(y), dtype=torch.bool)
    for label in range(10):
        of_class = (y == label).nonzero().squeeze(1)
        is_test[of_class[4::5]] = True
    return (x[~is_test], y[~is_test]), (x[is_test], y[is_test])


def drop_channels(_module: nn.Module, _args: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return dropout2d(output, p=0.4)


def train(net: nn.Module, x: Tensor, y: Tensor) -> None:
    """AdamW with a cosine; whole channels are dropped at random, so that no channel is indispensable."""
    optimizer = torch.optim.AdamW(net.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=EPOCHS)
    hooks = [module.register_forward_hook(drop_channels) for module in net.modules() if isinstance(module, nn.ReLU)]
    net.train()
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(y)).split(BATCH):
            optimizer.zero_grad()
            cross_entropy(net(x[batch]), y[batch], label_smoothing=0.05).backward()
            optimizer.step()
        schedule.step()
    net.eval()
    for hook in hooks:
        hook.remove()


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    (x, y), (x_test, y_test) = digits()
    net = build_cnn()
    train(net, x, y)
    with torch.inference_mode():
        accuracy = (net(x_test).argmax(1) == y_test).double().mean().item()
    save_model(net, str(WEIGHTS))
    print(f"{WEIGHTS.name}: accuracy {accuracy:.2%} on {len(y_test)} test images")  # noqa: T201


if __name__ == "__main__":
    main()
