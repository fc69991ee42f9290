"""Inference on a CPU by OpenVINO in bfloat16, beside this package's engine, in turns.

    pip install openvino
    python -m benchmarks.openvino_cpu

It would be a second engine behind the same interface if it were the faster one.
"""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import transformers
import typer

import dnabert
from benchmarks.inputs import random_model, random_table
from benchmarks.record import interleaved, rate, record


class _Logits(torch.nn.Module):
    """A model that takes two tensors and returns one, as the conversion wants it."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits


def by_openvino(folder: Path) -> Callable[[np.ndarray, int], np.ndarray]:
    """Compile a classifier; return a function of token ids, int64, shape (sequences, tokens), and a batch size."""
    import openvino

    model = transformers.BertForSequenceClassification.from_pretrained(folder, attn_implementation="sdpa").eval()
    some = torch.ones(2, 75, dtype=torch.long)
    settings = {"INFERENCE_PRECISION_HINT": "bf16", "INFERENCE_NUM_THREADS": torch.get_num_threads(), "NUM_STREAMS": 1}
    converted = openvino.convert_model(_Logits(model), example_input=(some, torch.ones_like(some)))
    compiled = openvino.Core().compile_model(converted, "CPU", settings)

    def predict(ids: np.ndarray, size: int) -> np.ndarray:
        parts = (ids[start : start + size] for start in range(0, len(ids), size))
        return np.concatenate([compiled([part, np.ones_like(part)])[0].copy() for part in parts])

    return predict


def main(
    preset: Annotated[str, typer.Option(help="Size of the model.")] = "base",
    tokens: Annotated[int, typer.Option(help="Tokens of each set of sequences.")] = 4_800,
    repeats: Annotated[int, typer.Option(help="Timed turns.")] = 5,
) -> None:
    """Time sequences of 75, 300 and 512 tokens."""
    figures: dict[str, Any] = {"threads": torch.get_num_threads()}
    with tempfile.TemporaryDirectory() as name:
        folder = random_model(preset, "classification", Path(name) / "model")
        theirs, ours = by_openvino(folder), dnabert.load(folder, device="cpu", precision="bfloat16")
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        for length in (75, 300, 512):
            table = random_table([length] * (tokens // length))
            ids = tokenizer(table.sequences.to_pylist(), return_tensors="np")["input_ids"].astype(np.int64)
            ways: dict[str, Callable[[], object]] = {
                "dnabert": partial(ours.predict, table),
                "OpenVINO, batches of 8": partial(theirs, ids, 8),
                "OpenVINO, batches of 32": partial(theirs, ids, 32),
            }
            seconds = interleaved(ways, repeats)
            found: dict[str, Any] = {way: rate(table.rows, seconds[way], 2) for way in ways}
            own, *others = (one["median"] for one in found.values())
            found["ratio to OpenVINO at its best"] = round(own / max(others), 2)
            off = np.abs(theirs(ids, 32) - ours.predict(table).logits).max()
            found["largest difference of the logits"] = float(f"{off:.2g}")
            figures[f"{preset}, {length} tokens"] = found
    record("openvino_cpu", figures)


if __name__ == "__main__":
    typer.run(main)
