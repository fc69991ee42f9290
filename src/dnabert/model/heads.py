"""transformers' BERT models on packed batches.

These are transformers' own classes with another `forward`: the same parameters under the same names, so a directory
that one writes the other loads.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
import transformers
from torch import nn

from dnabert.model.encoder import encode
from dnabert.model.packing import PackedBatch


class MaskedLMOutput(NamedTuple):
    """Loss (scalar; None without labels), logits of the rows asked for, shape (rows, vocabulary), and where sources are
    told apart those of the sources, shape (sequences, sources)."""

    loss: torch.Tensor | None
    logits: torch.Tensor
    source_logits: torch.Tensor | None = None


class ClassificationOutput(NamedTuple):
    """Loss (scalar; None without labels) and logits, shape (sequences or bases, outputs)."""

    loss: torch.Tensor | None
    logits: torch.Tensor


class PackedBertForMaskedLM(transformers.BertForMaskedLM):
    """BERT with the masked language model head, on packed batches.

    In pre-training it may have a second head, `source_head`, which tells from the mean of a sequence's k-mers which
    source it is of. The finished model does not have it; checkpoints do, to resume.
    """

    def __init__(self, config: transformers.BertConfig) -> None:
        super().__init__(config)
        self.source_head: nn.Linear | None = None
        self.source_weight = 1.0

    def tell_apart(self, sources: int, weight: float) -> None:
        """Add a head for this many sources, whose loss has this weight beside that of the tokens.

        It starts at 0, so that the encoder is not pulled about by chance.
        """
        self.source_weight = weight
        self.source_head = nn.Linear(self.config.hidden_size, sources)
        nn.init.zeros_(self.source_head.weight)
        nn.init.zeros_(self.source_head.bias)

    def forward(
        self,
        input_ids: torch.Tensor,
        position_ids: torch.Tensor,
        cu_seqlens: torch.Tensor,
        max_seqlen: int,
        segment_ids: torch.Tensor | None = None,
        rows: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        sources: torch.Tensor | None = None,
    ) -> MaskedLMOutput:
        """Predict the tokens of some rows.

        Parameters
        ----------
        input_ids, position_ids, cu_seqlens, max_seqlen, segment_ids
            The parts of a `PackedBatch`.
        rows : torch.Tensor, int64, shape (rows,), optional
            Which tokens to predict, all by default: the head, with its 4**k columns, runs on these alone.
        labels : torch.Tensor, int64, shape (rows,), optional
            The true ids of these tokens.
        sources : torch.Tensor, int64, shape (sequences,), optional
            The source of each sequence, for a model that tells them apart. All of the last layer is then computed.

        Returns
        -------
        MaskedLMOutput
            The loss is the mean cross entropy over the rows, in nats, and that over the sequences beside it.
        """
        batch = PackedBatch(input_ids, position_ids, cu_seqlens, max_seqlen, segment_ids)
        head = None if sources is None else self.source_head
        hidden = encode(self.bert, batch, rows if head is None else None)
        source_logits = None
        # Heads run in float32 whatever the encoder does: logits near 15 rounded to bfloat16 are off by up to 0.03,
        # which is as much as a base's context says about it.
        with torch.autocast(hidden.device.type, enabled=False):
            if head is not None:
                source_logits = head(mean_of_kmers(hidden, batch))  # (sequences, sources)
                hidden = hidden if rows is None else hidden.index_select(0, rows)
            logits = self.cls(hidden.float())  # (rows, vocabulary)
        loss = None if labels is None else F.cross_entropy(logits, labels)
        if loss is not None and source_logits is not None and sources is not None:
            loss = loss + self.source_weight * F.cross_entropy(source_logits, sources)
        return MaskedLMOutput(loss, logits, source_logits)


class PackedBertForSequenceClassification(transformers.BertForSequenceClassification):
    """BERT with the sequence classification head, on packed batches: classes, labels or numbers for each sequence.

    Entries of the configuration that decide what it computes, beside transformers' own `problem_type`:

    - `features`: what the head reads, `mean` (over the k-mers), `layers` (that mean of the embeddings and of each
      layer, side by side) or `cls` (BERT's pooler on `[CLS]`, which is what directories of other tools mean, where the
      entry is absent);
    - `long`: how the vectors of a long sequence's windows become one: `mean`, `attention`, `lstm` or `concat`; absent
      for sequences that are one window;
    - `long_windows`: windows that `concat` has room for.
    """

    def __init__(self, config: transformers.BertConfig) -> None:
        super().__init__(config)
        if reads_mean(config):
            self.bert.pooler = None  # nothing reads it
        size = config.hidden_size * (config.num_hidden_layers + 1 if reads_layers(config) else 1)
        long = getattr(config, "long", None)
        if long == "attention":
            self.window_scores = nn.Linear(size, 1)
        elif long == "lstm":
            self.window_lstm = nn.LSTM(size, size // 2, bidirectional=True)
        elif long == "concat":
            size *= config.long_windows
        if size != config.hidden_size:
            self.classifier = nn.Linear(size, config.num_labels)
        self.post_init()
        self.class_weights: torch.Tensor | None = None

    def forward(
        self,
        input_ids: torch.Tensor,
        position_ids: torch.Tensor,
        cu_seqlens: torch.Tensor,
        max_seqlen: int,
        segment_ids: torch.Tensor | None = None,
        windows: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
    ) -> ClassificationOutput:
        """Predict the outputs of each sequence.

        Parameters
        ----------
        input_ids, position_ids, cu_seqlens, max_seqlen, segment_ids
            The parts of a `PackedBatch`.
        windows : torch.Tensor, int64, shape (sequences,), optional
            How many neighbouring entries of the batch are windows of each sequence; by default each entry is one.
        labels : torch.Tensor, optional
            int64, shape (sequences,), for classes; float32, shape (sequences, outputs), for labels and numbers.

        Returns
        -------
        ClassificationOutput
            The loss is the mean over the sequences: cross entropy in nats for classes and labels (the mean over these),
            the squared error for numbers.
        """
        batch = PackedBatch(input_ids, position_ids, cu_seqlens, max_seqlen, segment_ids)
        return self.from_vectors(self.vectors(batch), windows, labels)

    def vectors(self, batch: PackedBatch) -> torch.Tensor:
        """Compute the vector of each entry of a batch that the head reads, shape (entries, features)."""
        if reads_layers(self.config):
            return means_of_layers(self.bert, batch)
        if reads_mean(self.config):
            return mean_of_kmers(encode(self.bert, batch), batch)
        first = encode(self.bert, batch, batch.cu_seqlens[:-1].long())  # (entries, hidden size): [CLS] of each
        # BERT's pooler takes a padded batch's column 0: give it one token a sequence
        pooled: torch.Tensor = self.bert.pooler(first[:, None])
        return pooled

    def from_vectors(
        self, vectors: torch.Tensor, windows: torch.Tensor | None = None, labels: torch.Tensor | None = None
    ) -> ClassificationOutput:
        """Do what comes after `vectors`."""
        if getattr(self.config, "long", None):
            counts = torch.ones(len(vectors), dtype=torch.int64, device=vectors.device) if windows is None else windows
            vectors = self._pooled(vectors, counts)
        with torch.autocast(vectors.device.type, enabled=False):  # as above: 8 bits are too few for a user's numbers
            logits = self.classifier(self.dropout(vectors).float())  # (sequences, outputs)
        if labels is None:
            return ClassificationOutput(None, logits)
        return ClassificationOutput(loss_of(self.config.problem_type, logits, labels, self.class_weights), logits)

    def _pooled(self, vectors: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """Make one vector of those of each sequence's windows: (windows, size) -> (sequences, features)."""
        padded = nn.utils.rnn.pad_sequence(vectors.split(counts.tolist()), batch_first=True)  # (sequences, most, size)
        inside = torch.arange(padded.shape[1], device=counts.device) < counts[:, None]  # (sequences, most)
        if self.config.long == "concat":
            room = self.config.long_windows - padded.shape[1]
            return F.pad(padded, (0, 0, 0, room)).flatten(1)  # (sequences, windows x size)
        if self.config.long == "lstm":
            packed = nn.utils.rnn.pack_sequence(vectors.split(counts.tolist()), enforce_sorted=False)
            _, (last, _) = self.window_lstm(packed)  # (2, sequences, size / 2): the end of both directions
            return last.transpose(0, 1).flatten(1)
        scores = (
            self.window_scores(padded)[..., 0] if self.config.long == "attention" else padded.new_zeros(inside.shape)
        )
        shares = scores.masked_fill(~inside, -torch.inf).softmax(dim=1)  # (sequences, most)
        return (shares[..., None] * padded).sum(dim=1)


class PackedBertForTokenClassification(transformers.BertForTokenClassification):
    """BERT with the token classification head, on packed batches: a class for each base.

    A base is read from one token: the one that has it at its middle offset (`packing.token_of_base`), or the first or
    last token where there is none.
    """

    def __init__(self, config: transformers.BertConfig) -> None:
        super().__init__(config)
        self.class_weights: torch.Tensor | None = None

    def forward(
        self,
        input_ids: torch.Tensor,
        position_ids: torch.Tensor,
        cu_seqlens: torch.Tensor,
        max_seqlen: int,
        segment_ids: torch.Tensor | None = None,
        rows: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
    ) -> ClassificationOutput:
        """Predict the class of each base.

        Parameters
        ----------
        input_ids, position_ids, cu_seqlens, max_seqlen, segment_ids
            The parts of a `PackedBatch`.
        rows : torch.Tensor, int64, shape (bases,), optional
            The token that each base is read from; by default each k-mer in its order.
        labels : torch.Tensor, int64, shape (bases,), optional
            The true classes, -1 where nothing is known.

        Returns
        -------
        ClassificationOutput
            Logits of shape (bases, classes). The loss is the mean cross entropy over the known bases, in nats.
        """
        batch = PackedBatch(input_ids, position_ids, cu_seqlens, max_seqlen, segment_ids)
        hidden = encode(self.bert, batch)
        with torch.autocast(hidden.device.type, enabled=False):  # as in the other heads
            tokens = self.classifier(self.dropout(hidden).float())  # (tokens, classes)
        logits = tokens[batch.kmers if rows is None else rows]
        loss = None if labels is None else loss_of(None, logits, labels, self.class_weights)
        return ClassificationOutput(loss, logits)


def loss_of(
    problem: str | None, logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None
) -> torch.Tensor:
    """Compute the mean loss of a task, in float32.

    Parameters
    ----------
    problem : str or None
        transformers' `problem_type`; anything but labels and numbers is of classes.
    logits : torch.Tensor, shape (entries, outputs)
    labels : torch.Tensor
        int64, shape (entries,), for classes, -1 where nothing is known; float32, shape (entries, outputs), for labels
        and numbers.
    weights : torch.Tensor, optional
        Of each class, or of each label's 1 against its 0.

    Returns
    -------
    torch.Tensor, scalar
        Cross entropy in nats, or the squared error.
    """
    if problem == "regression":
        return F.mse_loss(logits.float(), labels)
    if problem == "multi_label_classification":
        return F.binary_cross_entropy_with_logits(logits.float(), labels, pos_weight=weights)
    total = F.cross_entropy(logits.float(), labels, weight=weights, ignore_index=-1, reduction="sum")
    known = labels >= 0
    counted = known if weights is None else torch.where(known, weights[labels.clamp(min=0)], 0)
    return total / counted.sum().clamp(min=torch.finfo(torch.float32).tiny)  # nothing known: 0, not NaN


def reads_mean(config: transformers.BertConfig) -> bool:
    """Whether the head reads the mean of the k-mers (of the last layer, or of all), or `[CLS]`."""
    return getattr(config, "features", "cls") in ("mean", "layers")


def reads_layers(config: transformers.BertConfig) -> bool:
    """Whether the head reads the embeddings and each layer, or the last layer alone."""
    return getattr(config, "features", "cls") == "layers"


def means_of_layers(bert: transformers.BertModel, batch: PackedBatch) -> torch.Tensor:
    """Average the k-mers of each sequence, of the embeddings and of each layer, side by side.

    Returns
    -------
    torch.Tensor, float32, shape (sequences, (layers + 1) x hidden size)
    """
    means: list[torch.Tensor] = []
    encode(bert, batch, each=lambda hidden: means.append(mean_of_kmers(hidden, batch)))
    return torch.cat(means, dim=1)


def mean_of_kmers(hidden: torch.Tensor, batch: PackedBatch) -> torch.Tensor:
    """Average the k-mers of each sequence, `[CLS]` and `[SEP]` left out: (tokens, size) -> (sequences, size)."""
    inside, sequence = batch.is_kmer.float(), batch.of_sequence
    total = hidden.new_zeros(batch.sequences, hidden.shape[1], dtype=torch.float32)
    total = total.index_add(0, sequence, hidden.float() * inside[:, None])
    counts = inside.new_zeros(batch.sequences).index_add(0, sequence, inside)
    return total / counts.clamp(min=1)[:, None]  # batches of one shape end in empty sequences


class Head(NamedTuple):
    """How a task is computed and what the configuration calls that.

    Attributes
    ----------
    model : type
        The model class.
    architecture : str
        transformers' own name of it, so that everybody's tools know the directory.
    problem : str or None
        transformers' `problem_type`.
    """

    model: type[transformers.BertPreTrainedModel]
    architecture: str
    problem: str | None = None


HEADS = {
    "masked-lm": Head(PackedBertForMaskedLM, "BertForMaskedLM"),
    "classification": Head(
        PackedBertForSequenceClassification, "BertForSequenceClassification", "single_label_classification"
    ),
    "multilabel": Head(
        PackedBertForSequenceClassification, "BertForSequenceClassification", "multi_label_classification"
    ),
    "regression": Head(PackedBertForSequenceClassification, "BertForSequenceClassification", "regression"),
    "per-base": Head(PackedBertForTokenClassification, "BertForTokenClassification"),
}
"""The head of each task."""


def task_of(config: transformers.BertConfig) -> str:
    """Name the task of a configuration; `masked-lm` where it names no head that is known here."""
    architecture = (config.architectures or ["BertForMaskedLM"])[0]
    fitting = [task for task, head in HEADS.items() if head.architecture == architecture]
    stated = [task for task in fitting if HEADS[task].problem == getattr(config, "problem_type", None)]
    return (stated or fitting or ["masked-lm"])[0]
