"""Classification with the engine beside transformers' own way, in one run; the scripts choose sizes and devices.

transformers' way: `BertForSequenceClassification` as `from_pretrained` gives it, batches padded to their longest
sequence, token ids made beforehand. The engine's time includes tokenising and packing.
"""

import statistics
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from benchmarks.inputs import K, padded, random_model, random_table, unpacked
from benchmarks.record import interleaved, rate
from dnabert.inference import engine, predict
from dnabert.inference.engine import Engine
from dnabert.model.flops import forward_flops, peak_flops
from dnabert.model.packing import pack_rows
from dnabert.sequence import windows
from dnabert.sequence.tables import Table

PEARSON = "Pearson of the logits to transformers' float32"


def padded_batches(table: Table, size: int, device: torch.device) -> list[dict[str, torch.Tensor]]:
    """Pad the sequences (k = 6) in their order, `size` at a time, to the longest of each batch."""
    batches = []
    for first in range(0, table.rows, size):
        part = pack_rows(table, np.arange(first, min(first + size, table.rows)), K)
        inputs = padded(unpacked(part.input_ids, part))
        batches.append({name: value.to(device) for name, value in inputs.items()})
    return batches


def compare(
    model: Path, table: Table, device: str, batch_size: int, repeats: int, theirs: Mapping[str, torch.dtype]
) -> dict[str, Any]:
    """Time the engine (`auto` and float32) and transformers (one column a type) on the same sequences.

    Parameters
    ----------
    model : pathlib.Path
        A classifier's directory.
    table : Table
    device : str
    batch_size : int
        Sequences of transformers' batches.
    repeats : int
    theirs : mapping of str to torch.dtype
        Names and types of transformers' model.

    Returns
    -------
    dict
        Sequences a second of each way, ratios of medians to transformers' first way, Pearson correlation and largest
        difference of the logits to its float32 ones, and the share of the device's peak that real tokens take.
    """
    started = {name: engine.start(model, device, name) for name in ("auto", "float32")}
    where = started["auto"].device
    batches = padded_batches(table, batch_size, where)
    rivals = {
        name: transformers.BertForSequenceClassification.from_pretrained(model, dtype=dtype).to(where).eval()
        for name, dtype in theirs.items()
    }

    def as_padded(rival: torch.nn.Module) -> np.ndarray:
        with torch.inference_mode():
            return torch.cat([rival(**batch).logits.float().cpu() for batch in batches]).numpy()

    def as_packed(one: Engine) -> np.ndarray:
        return predict.predict(one, table).logits

    exact = as_padded(next(iter(rivals.values())))
    ways: dict[str, Any] = {f"transformers, {name}": partial(as_padded, rival) for name, rival in rivals.items()}
    ours = {f"dnabert, {name}": one for name, one in started.items()}
    ways |= {name: partial(as_packed, one) for name, one in ours.items()}
    seconds = interleaved(ways, repeats)
    first = statistics.median(next(iter(seconds.values())))
    lengths = windows.check_lengths(table, K, 1, 510)
    flops = forward_flops(started["auto"].checkpoint.model.config, lengths) * float(lengths.sum())
    figures: dict[str, Any] = {}
    for name, times in seconds.items():
        figures[name] = {"sequences/s": rate(table.rows, times), "ratio": round(first / statistics.median(times), 2)}
    for name, one in ours.items():
        logits = ways[name]()
        peak = peak_flops(where, one.precision)
        figures[name] |= {
            "precision": str(one.precision).removeprefix("torch."),
            PEARSON: round(float(np.corrcoef(logits[:, 0], exact[:, 0])[0, 1]), 6),
            "largest difference of the logits": float(f"{np.abs(logits - exact).max():.2g}"),
            "peak, measured (GFLOP/s)": round(peak / 1e9),
            "share of the peak": round(flops / statistics.median(seconds[name]) / peak, 3),
        }
    return figures


def compare_random(preset: str, lengths: Sequence[int], **options: Any) -> dict[str, Any]:
    """Compare on random sequences of these packed lengths, with random weights."""
    with tempfile.TemporaryDirectory() as folder:
        figures = compare(
            random_model(preset, "classification", Path(folder) / "model"), random_table(lengths), **options
        )
    for one in figures.values():
        one.pop(PEARSON, None)  # says nothing: random weights tell sequences hardly apart
    return figures
