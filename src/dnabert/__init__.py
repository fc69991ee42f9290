"""DNABERT made whole: pre-train, fine-tune and predict with BERT over DNA k-mers.

Importing this package imports neither torch nor transformers; the first use of a name below does.
"""

import importlib
from typing import TYPE_CHECKING, Any

from dnabert.errors import InputError

if TYPE_CHECKING:
    from dnabert.inference.loaded import LoadedModel, load
    from dnabert.inference.predict import Predictions, predict_file
    from dnabert.inference.variant_run import score_variants
    from dnabert.interpretation.explain import explain
    from dnabert.interpretation.motifs import find_motifs
    from dnabert.sequence.genome import Genome
    from dnabert.sequence.negatives import make_negatives
    from dnabert.sequence.simulate import simulate
    from dnabert.sequence.tokenizer import KmerTokenizer
    from dnabert.training.evaluate import evaluate
    from dnabert.training.finetune import finetune
    from dnabert.training.leakage import check_leakage
    from dnabert.training.pretrain import pretrain
    from dnabert.training.suite import benchmark

_HOMES = {
    "Genome": "dnabert.sequence.genome",
    "KmerTokenizer": "dnabert.sequence.tokenizer",
    "LoadedModel": "dnabert.inference.loaded",
    "Predictions": "dnabert.inference.predict",
    "benchmark": "dnabert.training.suite",
    "check_leakage": "dnabert.training.leakage",
    "evaluate": "dnabert.training.evaluate",
    "explain": "dnabert.interpretation.explain",
    "find_motifs": "dnabert.interpretation.motifs",
    "finetune": "dnabert.training.finetune",
    "load": "dnabert.inference.loaded",
    "make_negatives": "dnabert.sequence.negatives",
    "predict_file": "dnabert.inference.predict",
    "pretrain": "dnabert.training.pretrain",
    "score_variants": "dnabert.inference.variant_run",
    "simulate": "dnabert.sequence.simulate",
}

__all__ = [
    "Genome",
    "InputError",
    "KmerTokenizer",
    "LoadedModel",
    "Predictions",
    "benchmark",
    "check_leakage",
    "evaluate",
    "explain",
    "find_motifs",
    "finetune",
    "load",
    "make_negatives",
    "predict_file",
    "pretrain",
    "score_variants",
    "simulate",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'dnabert' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
