"""LoRA: a few small matrices are learned beside the encoder's weights (Hu et al. 2021, arXiv 2106.09685)."""

import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import transformers

from dnabert.model.presets import seeded

RANK = 8
LAYERS = r".*encoder\.layer\.\d+\.(attention\.self\.(query|key|value)|(attention\.output|intermediate|output)\.dense)"
"""The linear layers of the encoder, as peft finds them by name: all of them."""
ADAPTER = "adapter_config.json"


def add(model: transformers.BertPreTrainedModel, base: str | os.PathLike[str], rank: int = RANK, seed: int = 0) -> Any:
    """Put adapters into a model, in place; the encoder's own weights are frozen, the head is learned whole.

    Parameters
    ----------
    model : transformers.BertPreTrainedModel
    base : path
        Where the model came from, for the adapters' record.
    rank : int
        Rows of the small matrices; the update is scaled by 2.
    seed : int
        Of the small matrices' start.

    Returns
    -------
    peft.PeftModel
        Around the same model.
    """
    import peft

    # what starts from random weights is learned whole: the head, and a pooler
    new = [name for name, _ in model.named_children() if name not in ("bert", "dropout")]
    if model.bert.pooler is not None:
        new.append("pooler")
    config = peft.LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        target_modules=LAYERS,
        modules_to_save=new,
    )
    with _quiet(), seeded(seed):
        adapted = peft.get_peft_model(model, config)
    config.base_model_name_or_path = str(base)  # given before, it would be replaced, with a warning
    return adapted


def write(adapted: Any, folder: Path, record: dict[str, Any]) -> None:
    """Write adapters alone, with the record of the model they belong to, into a folder that exists."""
    adapted.save_pretrained(folder, save_embedding_layers=False)  # they are the base's; else it looks on the hub
    (folder / "README.md").unlink(missing_ok=True)  # a model card without content
    (folder / "dnabert.json").write_text(json.dumps(record, indent=2, default=str) + "\n")


def merge(adapted: Any) -> transformers.BertPreTrainedModel:
    """Add the adapters to the weights and take them out: an ordinary model again."""
    merged: transformers.BertPreTrainedModel = adapted.merge_and_unload()
    return merged


def merged_into(model: transformers.BertPreTrainedModel, folder: Path) -> transformers.BertPreTrainedModel:
    """Read adapters of a folder and add them to the weights of the model they were made for."""
    import peft

    with _quiet():
        return merge(peft.PeftModel.from_pretrained(model, str(folder)))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep peft from warning of names in transformers that are its own business."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        yield
