"""Trains the network of this folder on scikit-learn's digits and writes its weights; takes seconds on one core."""

from pathlib import Path

import torch
from safetensors.torch import save_model
from scan import build
from sklearn.datasets import load_digits
from torch.nn.functional import cross_entropy

EPOCHS = 40
WEIGHTS = Path(__file__).with_name("reader.safetensors")


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(1)
    bunch = load_digits()
    x = torch.tensor(bunch.images / 16.0, dtype=torch.float32).unsqueeze(1)
    y = torch.tensor(bunch.target, dtype=torch.int64)
    is_test = torch.zeros(len(y), dtype=torch.bool)
    for label in range(10):
        is_test[(y == label).nonzero().squeeze(1)[4::5]] = True
    net = build()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=EPOCHS)
    for _ in range(EPOCHS):
        for batch in torch.randperm(int((~is_test).sum())).split(64):
            optimizer.zero_grad()
            cross_entropy(net(x[~is_test][batch]), y[~is_test][batch], label_smoothing=0.05).backward()
            optimizer.step()
        schedule.step()
    with torch.inference_mode():
        accuracy = (net(x[is_test]).argmax(1) == y[is_test]).double().mean().item()
    save_model(net, str(WEIGHTS))
    print(f"accuracy on the test set: {accuracy:.4f}")  # noqa: T201


if __name__ == "__main__":
    main()
