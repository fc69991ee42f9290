"""Model directories: a Hugging Face BERT directory plus `dnabert.json`.

Any directory of a BERT whose vocabulary has 4**k + 5 tokens loads, and everything saved here loads in transformers.
"""

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from safetensors import SafetensorError

from dnabert.errors import InputError
from dnabert.files import replacing_files
from dnabert.model import adapters
from dnabert.model.attention import PACKED_ATTENTION
from dnabert.model.heads import HEADS, task_of
from dnabert.model.presets import seeded
from dnabert.progress import say
from dnabert.sequence.kmers import K_RANGE, k_of_vocabulary, vocabulary_size
from dnabert.sequence.tokenizer import KmerTokenizer
from dnabert.versions import version

RECORD = "dnabert.json"
BASELINE = "baseline"
"""The `kind` in the record of a directory that holds a baseline, not a BERT."""


class Checkpoint(NamedTuple):
    """A model and what is needed to use it.

    Attributes
    ----------
    model : transformers.BertPreTrainedModel
        With packed attention.
    task : str
        One of `heads.HEADS`: `masked-lm`, `classification`, `multilabel`, `regression` or `per-base`.
    k : int
        Bases per token.
    stride : int
        Bases between the starts of neighbouring tokens.
    labels : tuple of str
        The classes, labels or outputs in the order of the logits; empty for `masked-lm`.
    """

    model: transformers.BertPreTrainedModel
    task: str
    k: int
    stride: int
    labels: tuple[str, ...]

    @property
    def longest(self) -> int:
        """k-mers of the longest sequence the model takes."""
        return int(self.model.config.max_position_embeddings) - 2


def load(
    path: str | os.PathLike[str],
    task: str | None = None,
    labels: tuple[str, ...] = (),
    seed: int = 0,
    **changes: Any,
) -> Checkpoint:
    """Load a model directory.

    Parameters
    ----------
    path : path
        A folder that dnabert (adapters too) or transformers wrote, or a repository `owner/name` on the hub.
    task : str, optional
        Task of a new head. Without it the directory's own head is loaded.
    labels : tuple of str
        What the new head tells apart.
    seed : int
        Of the new head's weights.
    **changes
        Entries of the configuration to override, for example `hidden_dropout_prob`.

    Returns
    -------
    Checkpoint

    Raises
    ------
    InputError
        If there is no such directory, it is no BERT, its vocabulary fits no k or not the k it states, or a new head is
        asked for on adapters.
    """
    folder = _folder(path)
    record = read_record(folder)
    if (folder / adapters.ADAPTER).is_file():
        if task is not None:
            raise _no_new_head(folder)
        if "base" not in record:
            raise InputError(
                f"{folder}: adapters of another program; merge them into their model, and name its directory"
            )
        base = load(record["base"], record["task"], tuple(record["labels"]), **record["config"])
        return base._replace(model=adapters.merged_into(base.model, folder))
    config = _configuration(folder)
    k = _k_of(folder, config, record)
    new_head = task is not None
    if task is None:
        task = task_of(config)
        labels = () if task == "masked-lm" else tuple(config.id2label[i] for i in range(config.num_labels))
    else:
        changes = outputs(task, labels) | changes
        for name in READ_BY_HEAD:  # how an earlier head read sequences is not how this one does
            if hasattr(config, name):
                delattr(config, name)
    for name, value in changes.items():
        setattr(config, name, value)
    model = _read_model(folder, config, task, seed, new_head)
    return Checkpoint(model, task, k, int(record.get("stride", 1)), labels)


def _read_model(
    folder: Path, config: transformers.BertConfig, task: str, seed: int, new_head: bool
) -> transformers.BertPreTrainedModel:
    """Read the weights of a directory into a model, all of its encoder's; a new head starts from the seed."""
    with seeded(seed), quiet_transformers():
        try:
            model, found = HEADS[task].model.from_pretrained(
                folder,
                config=config,
                dtype=torch.float32,  # whatever it was stored in: precision is chosen where the model runs
                attn_implementation=PACKED_ATTENTION,
                ignore_mismatched_sizes=new_head,
                output_loading_info=True,
            )
        except (OSError, RuntimeError, ValueError, SafetensorError) as error:
            raise InputError(f"{folder}: the weights do not load ({str(error).splitlines()[0]})") from error
    lacking = {*found["missing_keys"], *(name for name, *_ in found["mismatched_keys"])}
    of_encoder = sorted(name for name in lacking if re.match(r"bert\.(?!pooler\.)", name))
    if of_encoder:
        raise InputError(
            f"{folder}: {len(of_encoder)} of the encoder's tensors are not there, or of another shape ({of_encoder[0]} "
            "first); copy the directory again, whole, or name another"
        )
    if not new_head:
        if lacking:
            say(
                f"Warning: {folder} has no head, or half of one: its embeddings mean something, what it predicts "
                "does not"
            )
    elif any(name not in lacking for name, _ in model.named_parameters() if not name.startswith("bert.")):
        # the directory's own head, or a part of it, has been read in place of the new one
        with seeded(seed):
            new = HEADS[task].model._from_config(config)
        for name, part in new.named_children():
            if name != "bert":
                setattr(model, name, part.train(model.training))
    return model


def outputs(task: str, labels: tuple[str, ...]) -> dict[str, Any]:
    """Write the entries of a configuration that say what a head tells apart."""
    return {
        "id2label": dict(enumerate(labels)),
        "label2id": {label: i for i, label in enumerate(labels)},
        "problem_type": HEADS[task].problem,
    }


READ_BY_HEAD = (
    *("features", "strand", "label_columns", "bases", "pairs"),
    *("long", "window", "window_step", "long_windows"),
)
"""Entries of the configuration that say how a head reads sequences."""


class Shape(NamedTuple):
    """What is known of a model without its weights: bases per token, bases between tokens, k-mers at most of the
    sequences that it takes, its task and hidden size."""

    k: int
    stride: int
    longest: int
    task: str
    hidden: int


def in_full(path: str | os.PathLike[str]) -> str:
    """Write a model's folder so that it is the same from everywhere; a name on the hub stays what it is."""
    return str(Path(path).resolve()) if Path(path).exists() else str(path)


def files_of(path: str | os.PathLike[str]) -> list[str]:
    """List the files of a model's folder that say what it computes, in full; none of a model on the hub."""
    folder = Path(path).resolve()
    weights = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))
    return [str(file) for file in (folder / "config.json", *weights) if file.is_file()]


def load_shape(path: str | os.PathLike[str]) -> Shape:
    """Read what a model is without loading its weights; errors are those of `load` with a task."""
    folder = _folder(path)
    if (folder / adapters.ADAPTER).is_file():
        raise _no_new_head(folder)
    config, record = _configuration(folder), read_record(folder)
    longest = config.max_position_embeddings - 2
    stride = int(record.get("stride", 1))
    return Shape(_k_of(folder, config, record), stride, longest, task_of(config), config.hidden_size)


def save(
    checkpoint: Checkpoint, folder: str | os.PathLike[str], record: dict[str, Any], shard_bytes: int = 5 * 10**9
) -> None:
    """Write a model directory. A write that fails leaves no file of it behind.

    Parameters
    ----------
    checkpoint : Checkpoint
    folder : path
        Made if needed; other files in it stay.
    record : dict
        How the model was made (data, seed, settings), for `dnabert.json`. k, stride, task, labels, versions and the
        command are added.
    shard_bytes : int
        Largest file of weights.
    """
    with replacing_files(folder, last=RECORD) as temporary, quiet_transformers():
        try:
            checkpoint.model.save_pretrained(temporary, max_shard_size=shard_bytes)
        except SafetensorError as error:  # a full disk, among others
            raise OSError(str(error)) from error
        # transformers writes the name of our subclass; its own name is what other tools look for
        config = json.loads((temporary / "config.json").read_text())
        config["architectures"] = [HEADS[checkpoint.task].architecture]
        (temporary / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        tokenizer = KmerTokenizer(
            k=checkpoint.k, stride=checkpoint.stride, model_max_length=checkpoint.model.config.max_position_embeddings
        )
        tokenizer.save_pretrained(temporary)
        facts = {
            "format": 1,
            "task": checkpoint.task,
            "k": checkpoint.k,
            "stride": checkpoint.stride,
            "labels": list(checkpoint.labels),
            "versions": {name: version(name) for name in ("dnabert", "torch", "transformers")},
            "command": sys.argv,
        }
        (temporary / RECORD).write_text(json.dumps(facts | record, indent=2, default=str) + "\n")


def read_record(folder: Path) -> dict[str, Any]:
    """Read `dnabert.json` of a model directory; empty for directories that other tools wrote."""
    path = folder / RECORD
    if not path.is_file():
        return {}
    try:
        record: dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"{path}: not readable as JSON ({error}); restore the file or delete it") from error
    return record


def _folder(path: str | os.PathLike[str]) -> Path:
    folder = Path(path)
    if folder.is_dir():
        if not (folder / "config.json").is_file() and not (folder / adapters.ADAPTER).is_file():
            if read_record(folder).get("kind") == BASELINE:
                raise InputError(
                    f"{folder}: this is a baseline, which predicts and no more; name a directory of a pre-trained or "
                    "fine-tuned model"
                )
            checkpoints = sorted(folder.glob("checkpoint-*"))
            hint = f"; {checkpoints[-1]} is one" if checkpoints else ""
            raise InputError(f"{folder}: a model directory is required, but it has no config.json{hint}")
        return folder
    if folder.exists() or not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", str(path)):
        raise InputError(f"{path}: no such model directory; check the path, or name a hub repository as owner/name")
    import huggingface_hub

    try:
        return Path(
            huggingface_hub.snapshot_download(str(path), allow_patterns=["*.json", "*.txt", "*.bin", "*.safetensors"])
        )
    except Exception as error:
        raise InputError(
            f"{path}: no such model directory here, and the hub gave none ({type(error).__name__}); check the path"
        ) from error


def _no_new_head(folder: Path) -> InputError:
    return InputError(f"{folder}: adapters take no new head; name the model they are merged into, {folder.parent}")


def _configuration(folder: Path) -> transformers.BertConfig:
    try:
        entries = json.loads((folder / "config.json").read_text())
    except ValueError as error:
        raise InputError(f"{folder / 'config.json'}: not readable as JSON ({error})") from error
    if entries.get("model_type", "bert") != "bert":
        raise InputError(f"{folder}: a BERT model is required, this is '{entries['model_type']}'")
    return transformers.BertConfig.from_dict(entries)


def _k_of(folder: Path, config: transformers.BertConfig, record: dict[str, Any]) -> int:
    found = k_of_vocabulary(config.vocab_size)
    if found is None:
        raise InputError(
            f"{folder}: the vocabulary has {config.vocab_size} tokens, which fits no k-mer model: 4**k + 5 are needed "
            f"({', '.join(f'k={k}: {vocabulary_size(k)}' for k in K_RANGE)})"
        )
    stated = record.get("k", found)
    if stated != found:
        raise InputError(
            f"{folder}: dnabert.json says k={stated} ({vocabulary_size(stated)} tokens), but the vocabulary has "
            f"{config.vocab_size} tokens (k={found}); restore the directory's own files"
        )
    return found


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers from reporting expected things (a new head, files written) as warnings and bars."""
    level, bars = transformers.logging.get_verbosity(), transformers.logging.is_progress_bar_enabled()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(level)
        if bars:
            transformers.logging.enable_progress_bar()
