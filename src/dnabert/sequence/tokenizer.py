"""The k-mer vocabulary as a transformers tokenizer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoTokenizer, BatchEncoding, PreTrainedConfig, PreTrainedTokenizer
from transformers.tokenization_utils_base import TruncationStrategy
from transformers.utils import PaddingStrategy

from dnabert.errors import InputError
from dnabert.sequence.alphabet import CODE_OF_BYTE, FOREIGN, decode_bases, describe_foreign, encode_bases
from dnabert.sequence.kmers import (
    FIRST_KMER,
    SEP,
    UNK,
    RowTokens,
    check_k,
    decode,
    encode,
    encode_rows,
    k_of_vocabulary,
    vocabulary,
)
from dnabert.sequence.letters import positions


class KmerTokenizer(PreTrainedTokenizer):
    """Tokenizer of DNA into k-mers, with the ids of DNABERT's vocabularies.

    It takes raw DNA (`"ACGTTGCA"`, any case, U reads as T) and the original's spaced k-mers (`"ACGTTG CGTTGC GTTGCA"`).
    Importing this class makes `transformers.AutoTokenizer` know it.

    Parameters
    ----------
    vocab_file : str, optional
        A vocabulary, one token a line; k is read off it. It must be one of DNABERT's.
    k : int, optional
        Bases per token, 1 to 8. Needed without `vocab_file`.
    stride : int
        Bases between the starts of neighbouring tokens: 1 for DNABERT's overlapping k-mers, k for separate ones.

    Raises
    ------
    InputError
        If the vocabulary is not that of a k, or disagrees with `k`.
    """

    vocab_files_names = {"vocab_file": "vocab.txt"}  # noqa: RUF012 - transformers reads this attribute
    model_input_names = ["input_ids", "token_type_ids", "attention_mask"]  # noqa: RUF012

    def __init__(self, vocab_file: str | None = None, k: int | None = None, stride: int = 1, **kwargs: Any) -> None:
        if vocab_file is not None:
            k = _k_of_file(Path(vocab_file), k)
        if k is None:
            raise InputError("KmerTokenizer needs k (bases per token) or a vocab_file")
        check_k(k, stride)
        self.k = k
        self.stride = stride
        self._tokens = vocabulary(k)
        self._ids = {token: i for i, token in enumerate(self._tokens)}
        kwargs.pop("do_lower_case", None)  # the original's files say it; case is ignored here
        names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
        special = dict(zip(names, self._tokens, strict=False))
        super().__init__(**({"k": k, "stride": stride, "special_tokens_pattern": "cls_sep"} | special | kwargs))

    @property
    def vocab_size(self) -> int:
        """The number of tokens: 4**k + 5."""
        return len(self._tokens)

    def get_vocab(self) -> dict[str, int]:
        """Return the id of each token."""
        return dict(self._ids)

    def _tokenize(self, text: str, **_: Any) -> list[str]:
        return [self._tokens[i] for i in self._kmer_ids(text)]

    def _convert_token_to_id(self, token: str) -> int:
        return self._ids.get(token.upper().replace("U", "T"), UNK)

    def _convert_id_to_token(self, index: int) -> str:
        return self._tokens[index]

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """Join tokens as the original writes them: separated by spaces."""
        return " ".join(tokens)

    def spell(self, ids: Sequence[int]) -> str:
        """Spell the DNA that token ids stand for.

        Parameters
        ----------
        ids : sequence of int, shape (tokens,)
            Token ids; `[CLS]`, `[SEP]` and `[PAD]` are dropped.

        Returns
        -------
        str
            Upper-case bases; `N` where no token spells a base.
        """
        array = np.asarray(ids, dtype=np.int64)
        return decode_bases(decode(array[(array >= FIRST_KMER) | (array == UNK)], self.k, self.stride))

    def _kmer_ids(self, text: str) -> np.ndarray:
        words = text.split()
        if len(words) > 1:
            if any(len(word) != self.k for word in words):
                raise InputError(
                    f"a text of several words must be k-mers of {self.k} letters separated by spaces; "
                    f"'{text[:30]}' is not, give raw DNA or {self.k}-mers"
                )
            return encode(encode_bases("".join(words)), self.k, self.k)
        return encode(encode_bases(words[0] if words else ""), self.k, self.stride)

    def _encode_plus(
        self,
        text: Any,
        text_pair: Any = None,
        add_special_tokens: bool = True,
        padding_strategy: PaddingStrategy = PaddingStrategy.DO_NOT_PAD,
        truncation_strategy: TruncationStrategy = TruncationStrategy.DO_NOT_TRUNCATE,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        **kwargs: Any,
    ) -> BatchEncoding:
        plain = text_pair is None and add_special_tokens and not any(kwargs.get(name) for name in _RARE_OPTIONS)
        if plain and isinstance(text, (list, tuple)) and text and all(_is_raw_dna(part) for part in text):
            limit = None if truncation_strategy == TruncationStrategy.DO_NOT_TRUNCATE else max_length
            input_ids = self._batch_ids(text, limit)
        else:  # pairs, spaced k-mers, [MASK] in the text: transformers' way, one text at a time
            input_ids = None
        if input_ids is None or padding_strategy == PaddingStrategy.MAX_LENGTH or pad_to_multiple_of or padding_side:
            return super()._encode_plus(
                self._as_ids(text),
                self._as_ids(text_pair),
                add_special_tokens=add_special_tokens,
                padding_strategy=padding_strategy,
                truncation_strategy=truncation_strategy,
                max_length=max_length,
                pad_to_multiple_of=pad_to_multiple_of,
                padding_side=padding_side,
                return_tensors=return_tensors,
                return_token_type_ids=return_token_type_ids,
                return_attention_mask=return_attention_mask,
                **kwargs,
            )
        padded = padding_strategy == PaddingStrategy.LONGEST
        outputs = {
            "input_ids": _rows(input_ids.input_ids, input_ids.lengths, padded),
            "token_type_ids": _rows(np.zeros_like(input_ids.input_ids), input_ids.lengths, padded),
            "attention_mask": _rows(np.ones_like(input_ids.input_ids), input_ids.lengths, padded),
        }
        if return_token_type_ids is False:
            del outputs["token_type_ids"]
        if return_attention_mask is False:
            del outputs["attention_mask"]
        return BatchEncoding(outputs, tensor_type=return_tensors)

    def _batch_ids(self, texts: Sequence[str], limit: int | None) -> RowTokens:
        letters = np.frombuffer("".join(texts).encode("latin-1", "replace"), dtype=np.uint8)
        foreign = CODE_OF_BYTE[letters] == FOREIGN
        offsets = np.concatenate([[0], np.cumsum([len(text) for text in texts])])
        if foreign.any():
            at = int(foreign.argmax())
            row = int(np.searchsorted(offsets, at, side="right")) - 1
            raise InputError(f"sequence {row + 1} of {len(texts)}: {describe_foreign(int(letters[at]))}")
        tokens = encode_rows(letters, offsets[:-1], offsets[1:], self.k, self.stride)
        if limit is None or tokens.lengths.max() <= limit:
            return tokens
        kept = np.minimum(tokens.lengths, limit)
        first = np.cumsum(tokens.lengths) - tokens.lengths
        input_ids = tokens.input_ids[positions(first, kept)]
        input_ids[np.cumsum(kept) - 1] = SEP
        return RowTokens(input_ids, kept)

    def _as_ids(self, text: Any) -> Any:
        if isinstance(text, str) and "[" not in text and text.strip():
            # a text without a k-mer stays text: transformers takes no empty list of ids
            return self._kmer_ids(text).tolist() or ""
        if isinstance(text, (list, tuple)) and text and isinstance(text[0], (str, list, tuple)):
            return type(text)(self._as_ids(part) for part in text)
        return text

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str]:
        """Write `vocab.txt`, the original's file for this k."""
        name = (f"{filename_prefix}-" if filename_prefix else "") + "vocab.txt"
        path = Path(save_directory) / name
        path.write_text("\n".join(self._tokens) + "\n")
        return (str(path),)


_RARE_OPTIONS = (
    "is_split_into_words",
    "return_overflowing_tokens",
    "return_special_tokens_mask",
    "return_offsets_mapping",
    "return_length",
)


def _is_raw_dna(text: Any) -> bool:
    return isinstance(text, str) and text.isalpha()


def _rows(flat: np.ndarray, lengths: np.ndarray, padded: bool) -> Any:
    """Cut flat values into rows: a list a row, or one array filled up with 0, which is `[PAD]`."""
    if not padded:
        values, ends = flat.tolist(), np.cumsum(lengths).tolist()
        return [values[end - length : end] for end, length in zip(ends, lengths.tolist(), strict=True)]
    table = np.zeros((len(lengths), int(lengths.max())), dtype=np.int64)
    table[np.arange(table.shape[1]) < lengths[:, None]] = flat
    return table


def _k_of_file(path: Path, k: int | None) -> int:
    tokens = tuple(path.read_text().split())
    found = k_of_vocabulary(len(tokens))
    if found is None or tokens != vocabulary(found):
        raise InputError(
            f"{path}: {len(tokens)} tokens that are not a DNABERT vocabulary (5 special tokens and the 4**k k-mers "
            "over A, T, C, G in this order)"
        )
    if k is not None and k != found:
        raise InputError(f"{path}: the vocabulary is of k={found}, but k={k} was asked for")
    return found


def spaced_kmers(sequence: str, k: int) -> str:
    """Write a sequence as the original's text: its overlapping k-mers separated by spaces.

    Parameters
    ----------
    sequence : str
        DNA.
    k : int
        Bases per token.

    Returns
    -------
    str
    """
    return " ".join(sequence[i : i + k] for i in range(len(sequence) - k + 1))


class _KmerConfig(PreTrainedConfig):
    """A name under which `AutoTokenizer` files the class; no model has this type."""

    model_type = "dnabert-kmers"


AutoTokenizer.register(_KmerConfig, KmerTokenizer, exist_ok=True)
