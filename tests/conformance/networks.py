"""Small networks with one property each, and a deterministic data set for them.

Plans name them as ``python("networks:mlp")``. Every factory draws its weights from a generator of its own, so that two
builds are equal bit for bit, and gives norms statistics and affine weights that are not the neutral ones: a rule that
forgets a buffer then changes the function.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CLASSES = 10
FEATURES = 16
PIXELS = 8
TOKENS = 12
LENGTH = 6

INPUTS = {
    "mlp": f'x("f32", [N, {FEATURES}])',
    "dead_mlp": f'x("f32", [N, {FEATURES}])',
    "digits": 'x("f32", [N, 64])',
    "sequential": f'x("f32", [N, {FEATURES}])',
    "gelu": f'x("f32", [N, {FEATURES}])',
    "leaky_relu": f'x("f32", [N, {FEATURES}])',
    "silu": f'x("f32", [N, {FEATURES}])',
    "functional": f'x("f32", [N, {FEATURES}])',
    "residual": f'x("f32", [N, {FEATURES}])',
    "layer_norm": f'x("f32", [N, {FEATURES}])',
    "tied": f'x("f32", [N, {FEATURES}])',
    "borrowed": f'x("f32", [N, {FEATURES}])',
    "paired": f'x("f32", [N, {FEATURES}])',
    "adapted": f'x("bf16", [N, {FEATURES}])',
    "cnn": f'x("f32", [N, 1, {PIXELS}, {PIXELS}])',
    "cnn1d": f'x("f32", [N, 1, {PIXELS}])',
    "cnn3d": f'x("f32", [N, 1, {PIXELS}, {PIXELS}, {PIXELS}])',
    "grouped": f'x("f32", [N, 1, {PIXELS}, {PIXELS}])',
    "linear3d": f'x("f32", [N, {LENGTH}, {FEATURES}])',
    "embedding": f'tokens("i64", [N, {LENGTH}])',
    "fused": f'x("f32", [N, {FEATURES}])',
    "attention": f'x("f32", [N, {LENGTH}, {FEATURES}])',
    "mixture": f'x("f32", [N, {FEATURES}])',
    "characters": f'tokens("i64", [N, {LENGTH}])',
}
"""What the plan says of each network's input; its keys are the networks."""


class Mlp(nn.Module):
    """Layers in ``hidden`` and ``act``, and a head; one activation module a layer."""

    def __init__(self, activation: type[nn.Module] = nn.ReLU, width: int = 64, features: int = FEATURES) -> None:
        super().__init__()
        self.hidden = nn.ModuleList([nn.Linear(features, width), nn.Linear(width, 48)])
        self.act = nn.ModuleList([activation(), activation()])
        self.head = nn.Linear(48, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        for layer, act in zip(self.hidden, self.act, strict=True):
            x = act(layer(x))
        return self.head(x)


class Functional(nn.Module):
    """Activations are calls in the forward, not modules."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.ModuleList([nn.Linear(FEATURES, 32), nn.Linear(32, 24)])
        self.head = nn.Linear(24, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.hidden:
            x = F.relu(layer(x))
        return self.head(x)


class Block(nn.Module):
    """A residual block; the activation is one module that all blocks share."""

    def __init__(self, width: int, inner: int, act: nn.Module) -> None:
        super().__init__()
        self.fc1, self.act, self.fc2 = nn.Linear(width, inner), act, nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.fc2(self.act(self.fc1(x)))


class Residual(nn.Module):
    """A residual stream through blocks that share one activation module."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU()
        self.stem = nn.Linear(FEATURES, 24)
        self.blocks = nn.ModuleList([Block(24, 32, self.act) for _ in range(3)])
        self.hidden = nn.ModuleList([nn.Linear(24, 24)])
        self.head = nn.Linear(24, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.act(self.hidden[0](x)))


class LayerNormed(nn.Module):
    """Layer norms between linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.ModuleList([nn.Linear(FEATURES, 32), nn.Linear(32, 24)])
        self.norms = nn.ModuleList([nn.LayerNorm(32), nn.LayerNorm(24)])
        self.act = nn.ModuleList([nn.ReLU(), nn.ReLU()])
        self.head = nn.Linear(24, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        for layer, norm, act in zip(self.hidden, self.norms, self.act, strict=True):
            x = act(norm(layer(x)))
        return self.head(x)


class Tied(nn.Module):
    """Two hidden layers share one weight; their biases are their own."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(FEATURES, 24)
        self.hidden = nn.ModuleList([nn.Linear(24, 24), nn.Linear(24, 24)])
        self.hidden[1].weight = self.hidden[0].weight
        self.act = nn.ModuleList([nn.ReLU(), nn.ReLU()])
        self.head = nn.Linear(24, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for layer, act in zip(self.hidden, self.act, strict=True):
            x = act(layer(x))
        return self.head(x)


class Borrowed(nn.Module):
    """The forward reads the weight of the first hidden layer a second time."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.ModuleList([nn.Linear(FEATURES, FEATURES), nn.Linear(FEATURES, 24)])
        self.head = nn.Linear(24, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = F.linear(F.relu(self.hidden[0](x)), self.hidden[0].weight)
        return self.head(F.relu(self.hidden[1](x)))


class Halves(nn.Module):
    """What is positive and what is negative in a tensor: a pair."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return F.relu(x), F.relu(-x)


class Paired(nn.Module):
    """A module gives two tensors; the forward takes inputs of any length."""

    def __init__(self) -> None:
        super().__init__()
        self.halves, self.act = Halves(), nn.ReLU()
        self.head = nn.Linear(2, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        high, low = self.halves(x)
        return self.head(torch.stack([self.act(high).mean(1), low.mean(1)], dim=1))


class Convolutional(nn.Module):
    """Convolution, norm, activation, pooling, convolution …, flatten, linear."""

    def __init__(self, dims: int) -> None:
        super().__init__()
        conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1]
        norm = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[dims - 1]
        pool = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)[dims - 1]
        self.features = nn.Sequential(
            conv(1, 12, 3, padding=1),
            norm(12),
            nn.ReLU(),
            pool(2),
            conv(12, 16, 3, stride=2, padding=1, bias=False),
            norm(16),
            nn.ReLU(),
        )
        self.head = nn.Linear(16 * 2**dims, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).flatten(1))


class Grouped(nn.Module):
    """A grouped and a depthwise convolution between plain ones."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, padding=1, groups=4),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 16, 3, padding=1, stride=2, groups=16, bias=False),
            nn.ReLU(),
        )
        self.head = nn.Linear(16 * 16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).flatten(1))


class Linear3d(nn.Module):
    """Linear layers over sequences; the mean over positions goes to the head."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.ModuleList([nn.Linear(FEATURES, 32), nn.Linear(32, 24)])
        self.act = nn.ModuleList([nn.ReLU(), nn.ReLU()])
        self.head = nn.Linear(24, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        for layer, act in zip(self.hidden, self.act, strict=True):
            x = act(layer(x))
        return self.head(x.mean(1))


class Embedded(nn.Module):
    """Tokens through an embedding; the mean over positions goes through a hidden layer to the head."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(TOKENS, 24)
        self.hidden = nn.ModuleList([nn.Linear(24, 16)])
        self.act = nn.ModuleList([nn.ReLU()])
        self.head = nn.Linear(16, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.act[0](self.hidden[0](self.embed(tokens).mean(1))))


class Characters(nn.Module):
    """A language model over bytes that sees one byte at a time: logits for each position."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(256, 12)
        self.hidden = nn.ModuleList([nn.Linear(12, 16)])
        self.act = nn.ModuleList([nn.ReLU()])
        self.head = nn.Linear(16, 256)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.act[0](self.hidden[0](self.embed(tokens))))


class Fused(nn.Module):
    """One projection that the forward splits into two unlike parts."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.ModuleList([nn.Linear(FEATURES, 24)])
        self.both = nn.Linear(24, 20)
        self.left, self.right = nn.Linear(8, CLASSES), nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.both(F.relu(self.hidden[0](x))).split([8, 12], -1)
        return self.left(F.relu(left)) + self.right(F.relu(right))


class Pooled(nn.Module):
    """Images of any size that can be halved once."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.pool, self.act = nn.Conv2d(1, 4, 3, padding=1), nn.MaxPool2d(2), nn.ReLU()
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.act(self.pool(self.conv(x))).mean((2, 3)))


class Attention(nn.Module):
    """Attention written out, four heads of three; the forward reads the number of heads off tensors."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(width, 12) for _ in range(3))
        self.out = nn.Linear(12, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, time, _ = x.shape
        q, k, v = (layer(x).view(batch, time, -1, 3).transpose(1, 2) for layer in (self.q, self.k, self.v))
        weights = F.softmax(q @ k.transpose(-1, -2) * 3**-0.5, -1)
        return self.out((weights @ v).transpose(1, 2).reshape(batch, time, -1))


class Attending(nn.Module):
    """A residual block of attention and multilayer perceptron, for sequences."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.attn = nn.LayerNorm(width), Attention(width)
        self.mlp = nn.Sequential(nn.Linear(width, 20), nn.GELU(), nn.Linear(20, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm(x))
        return x + self.mlp(x)


class Attentive(nn.Module):
    """Two blocks with attention between linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.ModuleList([nn.Linear(FEATURES, 24)])
        self.blocks = nn.ModuleList([Attending(24) for _ in range(2)])
        self.head = nn.Linear(24, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.hidden[0](x)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean(1))


class Chosen(nn.Module):
    """Experts in stacked weights, of which a router chooses two for each example."""

    def __init__(self, width: int, experts: int) -> None:
        super().__init__()
        self.router = nn.Linear(width, experts)
        self.up = nn.Parameter(torch.empty(experts, 10, width))
        self.down = nn.Parameter(torch.empty(experts, width, 10))

    def forward(self, x: Tensor) -> Tensor:
        scores, which = self.router(x).softmax(-1).topk(2, dim=-1)
        inner = F.relu((self.up[which] @ x[:, None, :, None]).squeeze(-1))
        each = (self.down[which] @ inner[..., None]).squeeze(-1)
        return (each * scores[..., None]).sum(1)


class Mixed(nn.Module):
    """Two mixtures of experts between linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.ModuleList([nn.Linear(FEATURES, 12)])
        self.blocks = nn.ModuleList([Chosen(12, 6) for _ in range(2)])
        self.head = nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.hidden[0](x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)


# ---- factories ---------------------------------------------------------------------------------------------------


def _drawn(network: nn.Module, seed: int = 0) -> nn.Module:
    """Draw every tensor anew; on ``meta`` there is nothing to draw."""
    generator = torch.Generator().manual_seed(seed)
    tensors = [*network.named_parameters(), *network.named_buffers()]
    with torch.no_grad():
        for name, tensor in tensors:
            if tensor.is_meta or not tensor.is_floating_point():
                continue
            noise = torch.randn(tensor.shape, generator=generator, device="cpu")
            positive = name.endswith("running_var") or (tensor.dim() == 1 and name.endswith("weight"))
            if positive:
                tensor.copy_(0.5 + noise.abs())
            else:
                fan = max(1, tensor[0].numel()) if tensor.dim() > 1 else 4
                tensor.copy_(1.4 * noise / fan**0.5)
    return network


def mlp(width: int = 64) -> nn.Module:
    """A plain multilayer perceptron with ReLU."""
    return _drawn(Mlp(width=width))


def dead_mlp() -> nn.Module:
    """The same, with five units of the first layer that no input wakes."""
    network = _drawn(Mlp())
    with torch.no_grad():
        network.get_parameter("hidden.0.bias")[:5] = -1e3
    return network


def adapted() -> nn.Module:
    """The perceptron in 16 bits, in which a merge of adapters rounds."""
    return _drawn(Mlp()).to(torch.bfloat16)


def digits() -> nn.Module:
    """The perceptron for images of 8 by 8 pixels."""
    return _drawn(Mlp(features=64))


def sequential() -> nn.Module:
    """Linear layers and activations in one ``Sequential``, equal widths; ``twice`` is a ReLU of what is positive."""
    body = [module for _ in range(3) for module in (nn.Linear(FEATURES, FEATURES), nn.ReLU())]
    network = nn.Sequential()
    network.add_module("hidden", nn.Sequential(*body))
    network.add_module("twice", nn.ReLU())
    network.add_module("head", nn.Linear(FEATURES, CLASSES))
    return _drawn(network)


def gelu() -> nn.Module:
    """The perceptron with GELU."""
    return _drawn(Mlp(nn.GELU))


def leaky_relu() -> nn.Module:
    """The perceptron with leaky ReLU."""
    return _drawn(Mlp(nn.LeakyReLU))


def silu() -> nn.Module:
    """The perceptron with SiLU."""
    return _drawn(Mlp(nn.SiLU))


def functional() -> nn.Module:
    """The perceptron whose activations are calls."""
    return _drawn(Functional())


def residual() -> nn.Module:
    """Residual blocks with a shared activation."""
    return _drawn(Residual())


def layer_norm() -> nn.Module:
    """The perceptron with layer norms."""
    return _drawn(LayerNormed())


def tied() -> nn.Module:
    """Two layers with one weight."""
    return _drawn(Tied())


def borrowed() -> nn.Module:
    """A weight that its layer and the forward itself read."""
    return _drawn(Borrowed())


def paired() -> nn.Module:
    """A module that gives a pair."""
    return _drawn(Paired())


def cnn() -> nn.Module:
    """A convolutional network over images."""
    return _drawn(Convolutional(2))


def cnn1d() -> nn.Module:
    """The same over sequences."""
    return _drawn(Convolutional(1))


def cnn3d() -> nn.Module:
    """The same over volumes."""
    return _drawn(Convolutional(3))


def grouped() -> nn.Module:
    """Grouped and depthwise convolutions."""
    return _drawn(Grouped())


def linear3d() -> nn.Module:
    """Linear layers on three-dimensional inputs."""
    return _drawn(Linear3d())


def embedding() -> nn.Module:
    """A network over tokens."""
    return _drawn(Embedded())


def characters() -> nn.Module:
    """A language model over bytes."""
    return _drawn(Characters())


def fused() -> nn.Module:
    """A projection that is split."""
    return _drawn(Fused())


def attention() -> nn.Module:
    """Blocks with attention."""
    return _drawn(Attentive())


def mixture() -> nn.Module:
    """Blocks with mixtures of experts."""
    return _drawn(Mixed())


def recurrent() -> nn.Module:
    """A recurrent network: its loop runs once a step of the input."""
    return _drawn(nn.GRU(4, 3))


def bags() -> nn.Module:
    """Sums of embeddings, whose sizes no rule follows."""
    return _drawn(nn.EmbeddingBag(9, 6))


def pooled() -> nn.Module:
    """A network that halves its images."""
    return _drawn(Pooled())


class Choosing(nn.Module):
    """A forward that goes another way for a single head."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = 4
        self.up, self.down = nn.Linear(FEATURES, 24), nn.Linear(24, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.up(x)
        if self.heads == 1:
            return self.down(x)
        x = x.view(x.shape[0], -1, self.heads)
        return self.down(torch.tanh(x).flatten(1))


def choosing() -> nn.Module:
    """A network whose forward asks for the number of its heads."""
    return Choosing()


class Sharing(nn.Module):
    """A forward that views two projections by one width of heads."""

    def __init__(self) -> None:
        super().__init__()
        self.head_dim = 6
        self.keys, self.values = nn.Linear(FEATURES, 24), nn.Linear(FEATURES, 24)
        self.left, self.right = nn.Linear(24, CLASSES), nn.Linear(24, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        keys = self.keys(x).view(x.shape[0], -1, self.head_dim)
        values = self.values(x).view(x.shape[0], -1, self.head_dim)
        return self.left(torch.tanh(keys).flatten(1)) + self.right(torch.tanh(values).flatten(1))


def sharing() -> nn.Module:
    """A network with one integer for two widths."""
    return Sharing()


def no_network() -> int:
    """What is no network."""
    return 3


# ---- data --------------------------------------------------------------------------------------------------------

SHAPES = {
    "cnn": (1, PIXELS, PIXELS),
    "grouped": (1, PIXELS, PIXELS),
    "cnn1d": (1, PIXELS),
    "cnn3d": (1, PIXELS, PIXELS, PIXELS),
    "linear3d": (LENGTH, FEATURES),
    "attention": (LENGTH, FEATURES),
    "digits": (64,),
}


def data(network: str = "mlp", count: int = 48, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Inputs that fit a network, and labels: the largest of ten fixed linear functions of the input."""
    generator = torch.Generator().manual_seed(seed)
    if network == "characters":
        inputs = torch.randint(97, 123, (count, LENGTH), generator=generator)
        return inputs, inputs
    if network == "embedding":
        inputs = torch.randint(0, TOKENS, (count, LENGTH), generator=generator)
    else:
        inputs = torch.randn(count, *SHAPES.get(network, (FEATURES,)), generator=generator)
    flat = inputs.flatten(1).float()
    directions = torch.randn(flat.shape[1], CLASSES, generator=torch.Generator().manual_seed(1234))
    labels = (flat - flat.mean(0)).matmul(directions).argmax(1)
    return (inputs.to(torch.bfloat16) if network == "adapted" else inputs), labels


def vectors(network: str = "mlp", count: int = 48, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Inputs that fit a network, and targets of the shape of its output."""
    inputs, labels = data(network, count, seed)
    return inputs, F.one_hot(labels, CLASSES).float()
