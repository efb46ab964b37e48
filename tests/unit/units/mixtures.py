"""Mixtures whose experts are modules of a list, in the ways in which people write them."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH, EXPERTS, CHOSEN, WORDS = 6, 4, 2, 13


class Expert(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w1 = nn.Linear(WIDTH, 10, bias=False)
        self.w2 = nn.Linear(10, WIDTH, bias=False)
        self.w3 = nn.Linear(WIDTH, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class Mixture(nn.Module):
    """A router and a list of experts."""

    def __init__(self) -> None:
        super().__init__()
        self.num_experts, self.top_k = EXPERTS, CHOSEN
        self.gate = nn.Linear(WIDTH, EXPERTS)
        self.experts = nn.ModuleList(Expert() for _ in range(EXPERTS))

    def chosen(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.topk(self.gate(x).softmax(-1), self.top_k, dim=-1)


class Weighted(Mixture):
    """Every expert for every token, its weight a slice."""

    def forward(self, x: Tensor) -> Tensor:
        values, chosen = self.chosen(x)
        weights = torch.zeros(*x.shape[:-1], self.num_experts, dtype=x.dtype).scatter(-1, chosen, values)
        out = torch.zeros_like(x)
        for e in range(self.num_experts):
            out = out + weights[..., e : e + 1] * self.experts[e](x)
        return out


class Compared(Mixture):
    """Every expert for every token, its weight found by comparing numbers."""

    def forward(self, x: Tensor) -> Tensor:
        values, chosen = self.chosen(x)
        return sum(((chosen == e) * values).sum(-1, keepdim=True) * one(x) for e, one in enumerate(self.experts))


class Stacked(Mixture):
    """All results side by side."""

    def forward(self, x: Tensor) -> Tensor:
        results = torch.stack([one(x) for one in self.experts])
        return torch.einsum("bte,ebtd->btd", self.gate(x).softmax(-1), results)


class Zipped(Mixture):
    """Experts and weights side by side."""

    def forward(self, x: Tensor) -> Tensor:
        out = torch.zeros_like(x)
        for one, weight in zip(self.experts, self.gate(x).softmax(-1).unbind(-1), strict=True):
            out += weight.unsqueeze(-1) * one(x)
        return out


class Rounds(Mixture):
    """Once through the list for each choice."""

    def forward(self, x: Tensor) -> Tensor:
        values, chosen = self.chosen(x)
        out = torch.zeros_like(x)
        for k in range(self.top_k):
            for e, one in enumerate(self.experts):
                out = out + ((chosen[..., k] == e).to(x.dtype) * values[..., k])[..., None] * one(x)
        return out


class Sparse(Mixture):
    """The loop of Mixtral as transformers had it: the tokens of each expert by a mask."""

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        x = x.view(-1, width)
        values, chosen = self.chosen(x)
        values = values / values.sum(dim=-1, keepdim=True)
        out = torch.zeros((batch * length, width), dtype=x.dtype)
        mask = F.one_hot(chosen, num_classes=self.num_experts).permute(2, 1, 0)
        for e in range(self.num_experts):
            which, tokens = torch.where(mask[e])
            current = x[None, tokens].reshape(-1, width)
            out.index_add_(0, tokens, self.experts[e](current) * values[tokens, which, None])
        return out.reshape(batch, length, width)


class Hit(Sparse):
    """The same, for the experts alone that have tokens."""

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        x = x.view(-1, width)
        values, chosen = self.chosen(x)
        out = torch.zeros((batch * length, width), dtype=x.dtype)
        mask = F.one_hot(chosen, num_classes=self.num_experts).permute(2, 1, 0)
        for e in torch.greater(mask.sum(dim=(-1, -2)), 0).nonzero():
            which, tokens = torch.where(mask[e].squeeze(0))
            current = x[None, tokens].reshape(-1, width)
            out.index_add_(0, tokens, self.experts[e](current) * values[tokens, which, None])
        return out.reshape(batch, length, width)


class Skipping(Mixture):
    """The loop of many tutorials: an expert that has no token is skipped."""

    def forward(self, x: Tensor) -> Tensor:
        scores = self.gate(x)
        values, chosen = scores.topk(self.top_k, dim=-1)
        gates = torch.full_like(scores, -torch.inf).scatter(-1, chosen, values).softmax(-1)
        out, rows, gates = torch.zeros_like(x), x.view(-1, x.size(-1)), gates.view(-1, gates.size(-1))
        for e, one in enumerate(self.experts):
            mask = (chosen == e).any(dim=-1)
            flat = mask.view(-1)
            if flat.any():
                out[mask] += one(rows[flat]) * gates[flat, e].unsqueeze(1)
        return out


class Corrected(nn.Module):
    """DeepSeek's: sigmoids, a bias in a buffer that only chooses, a shared expert, and the list's own length."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(WIDTH, EXPERTS, bias=False)
        self.register_buffer("correction", torch.linspace(0, 0.3, EXPERTS))
        self.experts = nn.ModuleList(Expert() for _ in range(EXPERTS))
        self.shared = Expert()

    def forward(self, x: Tensor) -> Tensor:
        rows = x.view(-1, x.shape[-1])
        scores = self.gate(rows).sigmoid()
        chosen = torch.topk(scores + self.correction, CHOSEN, dim=-1, sorted=False)[1]
        values = scores.gather(1, chosen)
        values = values / values.sum(-1, keepdim=True)
        out = torch.zeros_like(rows)
        mask = F.one_hot(chosen, num_classes=len(self.experts)).permute(2, 0, 1)
        for e in range(len(self.experts)):
            tokens, which = torch.where(mask[e])
            if tokens.numel() > 0:
                out.index_add_(0, tokens, self.experts[e](rows[tokens]) * values[tokens, which].unsqueeze(-1))
        return out.view(*x.shape) + self.shared(x)


class Named(nn.Module):
    """Switch Transformers': experts of a dictionary, one for each token."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.n_experts = nn.Linear(WIDTH, EXPERTS), EXPERTS
        self.experts = nn.ModuleDict({f"expert_{e}": Expert() for e in range(EXPERTS)})

    def forward(self, x: Tensor) -> Tensor:
        shares = self.gate(x).softmax(-1)
        chosen, most = shares.argmax(-1), shares.max(-1).values
        out = torch.zeros_like(x)
        for e in range(self.n_experts):
            out = out + ((chosen == e) * most).unsqueeze(-1) * self.experts[f"expert_{e}"](x)
        return out


# ---- what cannot be followed ---------------------------------------------------------------------------------------


class Crossed(Mixture):
    """Each expert has the weight of another."""

    def forward(self, x: Tensor) -> Tensor:
        weights, out = self.gate(x).softmax(-1), torch.zeros_like(x)
        for e in range(self.num_experts):
            out = out + weights[..., self.num_experts - 1 - e, None] * self.experts[e](x)
        return out


class Favoured(Mixture):
    """The first expert is one more thing besides."""

    def forward(self, x: Tensor) -> Tensor:
        weights, out = self.gate(x).softmax(-1), self.experts[0](x)
        for e in range(self.num_experts):
            out = out + weights[..., e, None] * self.experts[e](x)
        return out


class Counted(Mixture):
    """The number of experts stands in the code."""

    def forward(self, x: Tensor) -> Tensor:
        weights, out = self.gate(x).softmax(-1), torch.zeros_like(x)
        for e in range(4):
            out = out + weights[..., e, None] * self.experts[e](x)
        return out


FOLLOWED = (Weighted, Compared, Stacked, Zipped, Rounds, Sparse, Hit, Skipping, Corrected, Named)
NOT_FOLLOWED = (Crossed, Favoured, Counted)


class Decoder(nn.Module):
    """Two layers of mixtures."""

    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.embed = nn.Embedding(WORDS, WIDTH)
        self.blocks = nn.ModuleList(nn.ModuleDict({"norm": nn.LayerNorm(WIDTH), "moe": kind()}) for _ in range(2))
        self.head = nn.Linear(WIDTH, WORDS)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        for block in self.blocks:
            x = x + block["moe"](block["norm"](x))  # type: ignore[index]
        return self.head(x)


def build(kind: type[nn.Module], seed: int = 0) -> Decoder:
    """Build a decoder in float64, every parameter drawn anew."""
    model = Decoder(kind).double().eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.5)
    return model


def outputs(model: nn.Module) -> Tensor:
    tokens = torch.randint(0, WORDS, (3, 11), generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        found: Tensor = model(tokens)
        return found
