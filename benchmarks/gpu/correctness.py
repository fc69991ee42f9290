"""Packed attention and heads, in bfloat16 and float32, against transformers' padded model in float32."""

import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers

from benchmarks.gpu.options import Out, Smoke, device, run
from benchmarks.inference import padded_batches
from benchmarks.inputs import K, random_model, random_table
from benchmarks.record import record
from dnabert.model import checkpoint
from dnabert.model.device import computing
from dnabert.model.packing import pack_rows
from dnabert.sequence.tables import Table


def logits_and_gradients(model: torch.nn.Module, table: Table, where: torch.device, dtype: torch.dtype) -> np.ndarray:
    """Return the logits and the gradient of their sum of squares, as one long vector in float64."""
    model.zero_grad()
    batch = pack_rows(table, np.arange(table.rows), K).to(where)
    with computing(where, dtype):
        logits = model(*batch).logits.float()
    logits.square().sum().backward()
    return flat(logits, model)


def flat(logits: torch.Tensor, model: torch.nn.Module) -> np.ndarray:
    """Append the gradients of all parameters to the logits."""
    parts = [logits, *(one.grad for one in model.parameters() if one.grad is not None)]
    return torch.cat([part.detach().double().cpu().flatten() for part in parts]).numpy()


def main(out: Out, smoke: Smoke = False) -> None:
    """Compare logits and gradients on sequences of equal and mixed lengths."""
    where = device(smoke)
    figures = {}
    sets = {"equal": [75] * 16, "mixed": [512, 9, 75, 300, 75, 40, 510, 12]}
    if smoke:  # a CPU without bfloat16 computes it slowly
        sets = {"equal": [20] * 4, "mixed": [75, 9, 20, 12]}
    for name, lengths in sets.items():
        table = random_table(lengths)
        with tempfile.TemporaryDirectory() as folder:
            path = random_model("mini" if smoke else "base", "classification", Path(folder))
            ours = checkpoint.load(path).model.to(where).eval()
            theirs = transformers.BertForSequenceClassification.from_pretrained(path).to(where).eval()
        logits = theirs(**padded_batches(table, table.rows, where)[0]).logits
        logits.square().sum().backward()
        exact = flat(logits, theirs)
        count = logits.numel()
        for dtype in (torch.float32, torch.bfloat16):
            found = logits_and_gradients(ours, table, where, dtype)
            difference = np.abs(found - exact)
            figures[f"{name} lengths, {str(dtype).removeprefix('torch.')}"] = {
                "largest difference of a logit": float(f"{difference[:count].max():.2g}"),
                "relative difference of the gradient": float(
                    f"{np.linalg.norm(difference[count:]) / np.linalg.norm(exact[count:]):.2g}"
                ),
            }
    record("gpu_correctness", figures, out)
    for name, one in figures.items():
        logit, gradient = (1e-3, 1e-3) if "float32" in name else (0.1, 0.1)
        agree = one["largest difference of a logit"] < logit and one["relative difference of the gradient"] < gradient
        assert agree, f"packed and padded models disagree: {name}"


if __name__ == "__main__":
    run(main)
