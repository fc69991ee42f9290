"""transformers' BERT models on packed batches.

These are transformers' own classes with another `forward`: the same parameters under the same names, so a directory
that one writes the other loads.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
import transformers

from dnabert.model.encoder import encode
from dnabert.model.packing import PackedBatch


class MaskedLMOutput(NamedTuple):
    """Loss (scalar; None without labels) and logits of the rows asked for, shape (rows, vocabulary)."""

    loss: torch.Tensor | None
    logits: torch.Tensor


class ClassificationOutput(NamedTuple):
    """Loss (scalar; None without labels) and logits, shape (sequences, classes)."""

    loss: torch.Tensor | None
    logits: torch.Tensor


class PackedBertForMaskedLM(transformers.BertForMaskedLM):
    """BERT with the masked language model head, on packed batches."""

    def forward(
        self,
        input_ids: torch.Tensor,
        position_ids: torch.Tensor,
        cu_seqlens: torch.Tensor,
        max_seqlen: int,
        rows: torch.Tensor,
        labels: torch.Tensor | None = None,
    ) -> MaskedLMOutput:
        """Predict the tokens of some rows.

        Parameters
        ----------
        input_ids, position_ids, cu_seqlens, max_seqlen
            The parts of a `PackedBatch`.
        rows : torch.Tensor, int64, shape (rows,)
            Which tokens to predict: the head, with its 4**k columns, runs on these alone.
        labels : torch.Tensor, int64, shape (rows,), optional
            The true ids of these tokens.

        Returns
        -------
        MaskedLMOutput
            The loss is the mean cross entropy over the rows, in nats.
        """
        hidden = encode(self.bert, PackedBatch(input_ids, position_ids, cu_seqlens, max_seqlen), rows)
        # The head runs in float32 whatever the encoder does: logits near 15 rounded to bfloat16 are off by up to 0.03,
        # which is as much as a base's context says about it.
        with torch.autocast(hidden.device.type, enabled=False):
            logits = self.cls(hidden.float())  # (rows, vocabulary)
        loss = None if labels is None else F.cross_entropy(logits, labels)
        return MaskedLMOutput(loss, logits)


class PackedBertForSequenceClassification(transformers.BertForSequenceClassification):
    """BERT with the sequence classification head, on packed batches."""

    def forward(
        self,
        input_ids: torch.Tensor,
        position_ids: torch.Tensor,
        cu_seqlens: torch.Tensor,
        max_seqlen: int,
        labels: torch.Tensor | None = None,
    ) -> ClassificationOutput:
        """Predict the class of each sequence.

        Parameters
        ----------
        input_ids, position_ids, cu_seqlens, max_seqlen
            The parts of a `PackedBatch`.
        labels : torch.Tensor, int64, shape (sequences,), optional
            The true classes.

        Returns
        -------
        ClassificationOutput
            The loss is the mean cross entropy over the sequences, in nats.
        """
        batch = PackedBatch(input_ids, position_ids, cu_seqlens, max_seqlen)
        first = encode(self.bert, batch, cu_seqlens[:-1].long())  # (sequences, hidden size): [CLS] of each
        # BERT's pooler takes a padded batch's column 0: give it one token a sequence
        pooled = self.bert.pooler(first[:, None])
        logits = self.classifier(self.dropout(pooled))  # (sequences, classes)
        loss = None if labels is None else F.cross_entropy(logits.float(), labels)
        return ClassificationOutput(loss, logits)


HEADS: dict[str, type[transformers.BertPreTrainedModel]] = {
    "masked-lm": PackedBertForMaskedLM,
    "classification": PackedBertForSequenceClassification,
}
"""The model class of each task."""

ARCHITECTURES = {"masked-lm": "BertForMaskedLM", "classification": "BertForSequenceClassification"}
"""What the configuration calls each task's model: transformers' own name, so that everybody's tools know it."""
