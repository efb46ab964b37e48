"""The main job as an engineer would script it: the yardstick for the overhead of ``apply``.

The same network, weights, scores, cut, training and measurements as ``examples/slim_digits/plan.surg``, without proofs,
transaction, certificate or reload.
"""

import copy
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

ROOT = Path(__file__).resolve().parents[1]
KEEP = {"features.0": 12, "features.3": 20, "features.6": 40}


def data() -> tuple[tuple[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
    """Return the fixed stratified split: of each class every fifth example is for the test."""
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32).div_(16).unsqueeze(1)
    labels = torch.tensor(digits.target)
    test = torch.zeros(len(labels), dtype=torch.bool)
    for label in range(10):
        test[torch.nonzero(labels == label).flatten()[4::5]] = True
    return (images[~test], labels[~test]), (images[test], labels[test])


def scores(net: nn.Module, x: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return first-order Taylor scores of every channel over eight batches."""
    total = {name: torch.zeros(net.get_submodule(name).out_channels) for name in KEEP}
    for start in range(0, 8 * 64, 64):
        net.zero_grad()
        functional.cross_entropy(net(x[start : start + 64]), y[start : start + 64]).backward()
        for name in KEEP:
            weight = net.get_submodule(name).weight
            total[name] += (weight * weight.grad).abs().sum((1, 2, 3))
    return total


def cut(net: nn.Module, total: dict[str, torch.Tensor]) -> None:
    """Slice every convolution, its norm and its reader."""
    layers = net.features
    before: torch.Tensor | None = None
    for name, keep in KEEP.items():
        index = int(name.split(".")[1])
        kept = total[name].topk(keep).indices.sort().values
        conv, norm = layers[index], layers[index + 1]
        weight = conv.weight.data[kept]
        conv.weight = nn.Parameter(weight if before is None else weight[:, before])
        conv.out_channels, conv.in_channels = conv.weight.shape[0], conv.weight.shape[1]
        norm.weight, norm.bias = nn.Parameter(norm.weight.data[kept]), nn.Parameter(norm.bias.data[kept])
        norm.running_mean, norm.running_var = norm.running_mean[kept], norm.running_var[kept]
        norm.num_features = keep
        before = kept
    assert before is not None
    columns = (before[:, None] * 4 + torch.arange(4)).flatten()
    net.head.weight = nn.Parameter(net.head.weight.data[:, columns])
    net.head.in_features = len(columns)


def train(net: nn.Module, base: nn.Module, x: torch.Tensor, y: torch.Tensor) -> None:
    """Three epochs of cross-entropy and distillation with warm-up and cosine."""
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    steps = 3 * (-(-len(x) // 64))
    generator = torch.Generator().manual_seed(7)
    step = 0
    net.train()
    for _ in range(3):
        for batch in torch.randperm(len(x), generator=generator).split(64):
            rate = min(1.0, (step + 1) / 20)
            if step >= 20:
                rate = 0.5 * (1 + torch.cos(torch.tensor(torch.pi * (step - 20) / (steps - 20))).item())
            for group in optimizer.param_groups:
                group["lr"] = 1e-3 * rate
            outputs = net(x[batch])
            with torch.no_grad():
                teacher = base(x[batch])
            soft = functional.kl_div(
                functional.log_softmax(outputs / 4, 1), functional.softmax(teacher / 4, 1), reduction="batchmean"
            )
            loss = 0.5 * functional.cross_entropy(outputs, y[batch]) + 0.5 * 16 * soft
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
    net.eval()


def main() -> None:
    """Run the job and save the network."""
    sys.path.insert(0, str(ROOT / "examples" / "slim_digits"))
    from digits import build_cnn

    (x, y), (test_x, test_y) = data()
    base = build_cnn().eval()
    base.load_state_dict(load_file(ROOT / "examples" / "slim_digits" / "digits_cnn.safetensors"), strict=False)
    net = copy.deepcopy(base)
    cut(net, scores(net, x, y))
    train(net, base, x, y)
    with torch.no_grad():
        before, after = base(test_x), net(test_x)
    for outputs in (before, after):
        print(f"accuracy {(outputs.argmax(1) == test_y).float().mean():.4f}", end=" ")
        print(f"loss {functional.cross_entropy(outputs, test_y):.4f}")
    print(f"largest change {(before - after).abs().max():.3f}")
    functional.cross_entropy(net(x[:64]), y[:64]).backward()
    print(f"smallest gradient {min(p.grad.norm() for p in net.parameters() if p.grad is not None):.2e}")
    save_file(dict(net.state_dict()), sys.argv[1])


if __name__ == "__main__":
    main()
