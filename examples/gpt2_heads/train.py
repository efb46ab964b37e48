"""Train the tiny language model that this example operates on, and write its weights.

    python train.py

needs transformers. The text is a part of Python's own documentation, as the module ``pydoc_data.topics`` ships it;
the model learns the first 80 % of it. It takes about a minute.
"""

from pathlib import Path

import torch
from safetensors.torch import save_model
from transformers import AutoConfig, AutoModelForCausalLM

HERE = Path(__file__).parent
CONFIG, WEIGHTS, STEPS = "tiny-gpt2.json", "tiny_gpt2.safetensors", 800


def main() -> None:
    """Train and save."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(HERE / CONFIG))
    ids = torch.tensor(list((HERE / "docs.txt").read_bytes()))
    rows = ids[: len(ids) // 64 * 64].view(-1, 64)
    rows = rows[: len(rows) * 8 // 10]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, total_steps=STEPS)
    generator = torch.Generator().manual_seed(0)
    for step in range(STEPS):
        batch = rows[torch.randint(0, len(rows), (16,), generator=generator)]
        loss = model(input_ids=batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 200 == 0:
            print(f"step {step}: {loss.item():.3f} nats")  # noqa: T201 - a script for people
    save_model(model.eval(), str(HERE / WEIGHTS))


if __name__ == "__main__":
    main()
