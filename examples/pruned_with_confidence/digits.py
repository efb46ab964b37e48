"""A small convolutional classifier for 8x8 digits."""

from torch import Tensor, nn


class DigitsCnn(nn.Module):
    """Three convolutions, each with batch norm and ReLU; stride and pooling leave a 2x2 image, which is flattened.

    Input ``[N, 1, 8, 8]`` in [0, 1], output ``[N, 10]`` logits.
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 20, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(20),
            nn.ReLU(),
            nn.Conv2d(20, 32, kernel_size=3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.Conv2d(32, 64, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.AvgPool2d(2),
        )
        self.head = nn.Linear(64 * 2 * 2, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).flatten(1))


def build_cnn() -> nn.Module:
    return DigitsCnn()
