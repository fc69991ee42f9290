"""The model that a fine-tuning starts from: pre-trained weights, or some or none of them, with a new head."""

import os
from typing import Any

from dnabert.errors import InputError
from dnabert.inference.predict import as_read
from dnabert.model import checkpoint, presets
from dnabert.model.checkpoint import Checkpoint
from dnabert.model.dropout import quicken
from dnabert.sequence import windows
from dnabert.training.splits import Splits
from dnabert.training.targets import Task

KEPT = ("all", "kmers")
"""What is kept of the pre-trained weights."""
FEATURES = ("mean", "layers", "cls")
"""What the head reads of a sequence: the mean of its k-mers in the last layer, or in each, or BERT's pooler on
`[CLS]`."""
POOLINGS = ("mean", "attention", "lstm", "concat")
"""How the windows of a long sequence become one vector."""
OVERLAP = 8
"""Windows of long sequences overlap by an eighth."""


def load(
    model: str | os.PathLike[str],
    task: Task,
    parts: Splits,
    *,
    strand: str,
    features: str,
    long: str | None,
    window: int | None,
    keep: str,
    from_scratch: bool,
    dropout: float,
    seed: int,
) -> Checkpoint:
    """Load a model with a new head, and check that all rows fit it.

    Parameters
    ----------
    model : path
    task : Task
    parts : Splits
    strand, features, long, window, keep, from_scratch, dropout, seed
        As in `finetune`.

    Returns
    -------
    Checkpoint

    Raises
    ------
    InputError
        If the model does not load, a window is not one it takes, or a row does not fit it.
    """
    loaded = checkpoint.load(
        model,
        task.kind,
        task.names,
        seed=seed,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=0.0,
        features=features,
        strand=strand,
        label_columns=list(task.columns),
        bases=int((parts.train.ends - parts.train.starts).max()),
        pairs=parts.train.second is not None,
        **_long_entries(long, window, parts, model),
    )
    if from_scratch or keep == "kmers":
        anew = presets.new_model(loaded.model.config, task.kind, loaded.k, seed)
        if keep == "kmers":
            table = loaded.model.bert.embeddings.word_embeddings
            anew.bert.embeddings.word_embeddings.load_state_dict(table.state_dict())
        loaded = loaded._replace(model=anew)
    quicken(loaded.model)
    for part in parts:
        if part is not None:
            windows.check_lengths(as_read(loaded, part), loaded.k, loaded.stride, loaded.longest)
    return loaded


def _long_entries(long: str | None, window: int | None, parts: Splits, model: str | os.PathLike[str]) -> dict[str, Any]:
    """Write the entries of the configuration that say how long sequences are read."""
    if long is None:
        if window is not None:
            raise InputError(f"--window {window} goes with --long; give --long mean, or leave it out")
        return {}
    shape = checkpoint.load_shape(model)
    longest = (shape.longest - 1) * shape.stride + shape.k
    bases = window or longest
    if not shape.k <= bases <= longest:
        raise InputError(f"--window {bases}: {shape.k} to {longest} bases are required, what the model takes")
    if any(part is not None and part.second is not None for part in parts):
        raise InputError("--long: rows with a second sequence cannot be cut into windows; leave it out")
    step = max(1, bases - bases // OVERLAP)
    most = max(int(windows.cut(part, bases, step).counts.max()) for part in parts if part is not None)
    return {"long": long, "window": bases, "window_step": step, "long_windows": most}
