"""The model as users hold it: `dnabert.load(path)`."""

import os

import numpy as np

from dnabert.errors import InputError
from dnabert.inference import attention, embed, predict
from dnabert.inference.engine import Engine, Given
from dnabert.inference.predict import Predictions, Predictor


class LoadedModel:
    """A model ready to use. Made by `dnabert.load`.

    Attributes
    ----------
    predictor : Engine or Baseline
        What predicts.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor

    @property
    def engine(self) -> Engine:
        """The checkpoint, its device and precision.

        Raises
        ------
        InputError
            If this is a baseline: it predicts, and has nothing else to give.
        """
        if not isinstance(self.predictor, Engine):
            raise InputError(
                f"'{self.predictor.name}' is a baseline, which predicts and no more; load a pre-trained or fine-tuned "
                "model for this"
            )
        return self.predictor

    def __repr__(self) -> str:
        if not isinstance(self.predictor, Engine):
            return f"<dnabert baseline {self.predictor.name} {self.predictor.task} on {self.predictor.place}>"
        loaded = self.engine.checkpoint
        return f"<dnabert {loaded.task} k={loaded.k} on {self.engine.device} in {self.engine.precision}>"

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes; empty for a pre-trained model."""
        return self.predictor.labels

    def predict(
        self,
        sequences: Given,
        *,
        strand: str | None = None,
        scan: str | None = None,
        window: int | None = None,
        step: int | None = None,
    ) -> Predictions:
        """Predict classes, labels or numbers of sequences: `dnabert.inference.predict.predict`."""
        return predict.predict(self.predictor, sequences, strand=strand, scan=scan, window=window, step=step)

    def embed(self, sequences: Given, pooling: str = "mean") -> np.ndarray:
        """Turn each sequence into a vector: `dnabert.inference.embed.embed`."""
        return embed.embed(self.engine, sequences, pooling)

    def attention(
        self,
        sequences: Given,
        *,
        layers: attention.Chosen = None,
        heads: attention.Chosen = None,
        rollout: bool = False,
    ) -> np.ndarray:
        """Score each base by attention: `dnabert.inference.attention.attention`."""
        return attention.attention(self.engine, sequences, layers=layers, heads=heads, rollout=rollout)


def load(path: str | os.PathLike[str], *, device: str = "auto", precision: str = "auto") -> LoadedModel:
    """Load a model to predict or embed with.

    Parameters
    ----------
    path : path
        A model directory that dnabert or transformers wrote, that of a baseline, or `owner/name` on the Hugging Face
        hub.
    device : str
        `auto` (CUDA if there is one), `cpu`, `cuda`, `cuda:1`, ...
    precision : str
        `auto` (bfloat16 where the processor computes in it, else float32), `float32` or `bfloat16`.

    Returns
    -------
    LoadedModel

    Raises
    ------
    InputError
        If there is no such directory or device, or the directory holds no model over k-mers.
    """
    return LoadedModel(predict.start(path, device, precision))
