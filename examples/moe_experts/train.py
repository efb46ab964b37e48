"""Train the network that this example operates on, and write its weights.

    python train.py

needs scikit-learn, from whose digits the same split is taken as in the plan. It takes about a minute.
"""

from pathlib import Path

import numpy as np
import torch
from network import build
from safetensors.torch import save_model
from sklearn.datasets import load_digits

EPOCHS = 12


def split() -> tuple[tuple[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
    """Return training and test data: within each class every fifth image is for the test."""
    images, labels = load_digits(return_X_y=True)
    test = np.zeros(len(labels), dtype=bool)
    for label in range(10):
        test[np.flatnonzero(labels == label)[4::5]] = True
    x = torch.tensor(images / 16, dtype=torch.float32).reshape(-1, 64)
    y = torch.tensor(labels, dtype=torch.int64)
    mask = torch.from_numpy(test)
    return (x[~mask], y[~mask]), (x[mask], y[mask])


def main() -> None:
    """Train and save."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    (x, y), (test_x, test_y) = split()
    model = build()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(EPOCHS):
        model.train()
        for batch in torch.randperm(len(x)).split(64):
            loss = torch.nn.functional.cross_entropy(model(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        right = float((model(test_x).argmax(1) == test_y).float().mean())
    print(f"test accuracy {right:.4f}")  # noqa: T201 - a script for people
    save_model(model, str(Path(__file__).with_name("weights.safetensors")))


if __name__ == "__main__":
    main()
