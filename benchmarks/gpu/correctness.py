"""Packed attention, heads and inference, in bfloat16 and float32, against transformers' padded model in float32."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from benchmarks.gpu.options import Out, Smoke, device, run
from benchmarks.inference import padded_batches
from benchmarks.inputs import K, random_model, random_table
from benchmarks.record import record
from dnabert.inference import engine, predict
from dnabert.model import checkpoint
from dnabert.model.device import PRECISIONS, computing
from dnabert.model.packing import PackedBatch, pack_rows
from dnabert.sequence.tables import Table

HEADS: dict[str, Any] = {
    "classification": transformers.BertForSequenceClassification,
    "masked-lm": transformers.BertForMaskedLM,
}
LARGEST = {"float32": (1e-3, 1e-3), "bfloat16": (0.1, 0.1)}
"""Difference of a logit, and relative difference of the gradient, from which on it is a fault."""


def logits_and_gradients(model: torch.nn.Module, batch: PackedBatch, dtype: torch.dtype, **rows: Any) -> np.ndarray:
    """Return the logits and the gradient of their sum of squares, as one long vector in float64."""
    model.zero_grad()
    with computing(batch.input_ids.device, dtype):
        logits = model(*batch, **rows).logits.float()
    logits.square().sum().backward()
    return flat(logits, model)


def flat(logits: torch.Tensor, model: torch.nn.Module) -> np.ndarray:
    """Append the gradients of all parameters to the logits."""
    parts = [logits, *(one.grad for one in model.parameters() if one.grad is not None)]
    return torch.cat([part.detach().double().cpu().flatten() for part in parts]).numpy()


def compare(task: str, preset: str, table: Table, where: torch.device) -> dict[str, dict[str, float]]:
    """Compare a head in training, and predictions of the inference engine where it makes them, by precision."""
    with tempfile.TemporaryDirectory() as folder:
        path = random_model(preset, task, Path(folder))
        theirs = HEADS[task].from_pretrained(path).to(where).eval()
        ours = checkpoint.load(path).model.to(where).eval()
        engines = {name: engine.start(path, str(where), name) for name in LARGEST if task == "classification"}
    padded = padded_batches(table, table.rows, where)[0]
    logits = theirs(**padded).logits
    rows = {}
    if task == "masked-lm":
        logits = logits[padded["attention_mask"].bool()]  # (tokens, vocabulary)
        rows = {"rows": torch.arange(len(logits), device=where)}
    logits.square().sum().backward()
    exact, count = flat(logits, theirs), logits.numel()
    batch = pack_rows(table, np.arange(table.rows), K).to(where)
    figures = {}
    for name in LARGEST:
        difference = np.abs(logits_and_gradients(ours, batch, PRECISIONS[name], **rows) - exact)
        figures[name] = {
            "largest difference of a logit": float(f"{difference[:count].max():.2g}"),
            "relative difference of the gradient": float(
                f"{np.linalg.norm(difference[count:]) / np.linalg.norm(exact[count:]):.2g}"
            ),
        }
        if name in engines:
            predicted = predict.predict(engines[name], table).logits.ravel()
            figures[name]["largest difference in inference"] = float(f"{np.abs(predicted - exact[:count]).max():.2g}")
    return figures


def main(out: Out, smoke: Smoke = False) -> None:
    """Compare logits and gradients of two heads on sequences of equal and mixed lengths."""
    where = device(smoke)
    sets = {"equal": [75] * 16, "mixed": [512, 9, 75, 300, 75, 40, 510, 12]}
    if smoke:  # a CPU without bfloat16 computes it slowly
        sets = {"equal": [20] * 4, "mixed": [75, 9, 20, 12]}
    figures = {
        f"{task}, {name} lengths, {precision}": one
        for task in HEADS
        for name, lengths in sets.items()
        for precision, one in compare(task, "mini" if smoke else "base", random_table(lengths), where).items()
    }
    record("gpu_correctness", figures, out)
    for name, one in figures.items():
        logit, gradient = LARGEST[name.rpartition(" ")[2]]
        agree = one["relative difference of the gradient"] < gradient
        agree = agree and all(value < logit for what, value in one.items() if what.startswith("largest"))
        assert agree, f"packed and padded models disagree: {name}"


if __name__ == "__main__":
    run(main)
