"""The corpus as a function."""

import itertools
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from dnabert.errors import InputError
from dnabert.model import checkpoint
from dnabert.sequence import kmers
from dnabert.sequence.alphabet import decode_bases, encode_bases, reverse_complement
from dnabert.sequence.genome import Genome
from dnabert.training import masking
from dnabert.training.corpus import (
    UNLABELLED,
    Corpus,
    HeldOut,
    MaskedBatch,
    evaluation_batches,
    of_fixed_shape,
    training_batch,
)
from dnabert.training.pretrain import _Items, _only
from dnabert.training.regions import Regions, Window, open_source, read_window, region_bounds, split_regions, tile
from tests.conftest import random_dna, tiny_model, write_fasta


@pytest.fixture
def genomes(tmp_path: Path, rng: np.random.Generator) -> tuple[Genome, ...]:
    one = write_fasta(tmp_path / "one.fa", {"a": random_dna(6000, rng), "b": random_dna(3000, rng), "tiny": "ACGTACG"})
    two = write_fasta(tmp_path / "two.fa", {"c": random_dna(2000, rng)})
    return Genome.open(one), Genome.open(two)


def make_corpus(genomes: tuple[Genome, ...], holdout: tuple[str, ...] = (), **changes: object) -> Corpus:
    train, _ = split_regions(genomes, holdout, 6)
    bounds = region_bounds(train, None, len(genomes), 6, 200)
    return Corpus(genomes, train, bounds, 6, masking.policy("dnabert"), 1, 1024, 200, 50)._replace(**changes)  # type: ignore[arg-type]


def whole(genome: Genome) -> Regions:
    return split_regions([genome], (), 6)[0]


def original_ids(item: MaskedBatch) -> torch.Tensor:
    ids = item.batch.input_ids.clone()
    ids[item.rows] = item.labels
    return ids


def same(one: MaskedBatch, other: MaskedBatch) -> bool:
    flat = [torch.as_tensor(part) for item in (one, other) for part in (*item.batch[:4], *item[1:])]
    return all(torch.equal(a, b) for a, b in zip(flat[: len(flat) // 2], flat[len(flat) // 2 :], strict=True))


def test_an_item_depends_on_seed_and_number_alone(genomes: tuple[Genome, ...]) -> None:
    corpus = make_corpus(genomes)
    assert same(training_batch(corpus, 7), training_batch(corpus, 7))
    assert not same(training_batch(corpus, 7), training_batch(corpus, 8))
    assert not same(training_batch(corpus, 7), training_batch(corpus._replace(seed=2), 7))
    assert same(training_batch(pickle.loads(pickle.dumps(corpus)), 7), training_batch(corpus, 7))


def test_a_batch_says_which_source_each_window_is_of(rows: Path, genomes: tuple[Genome, ...]) -> None:
    corpus = make_corpus((open_source(rows), *genomes))
    texts = [decode_bases(source.codes) for source in corpus.sources]
    seen = set()
    for i in range(10):
        item = training_batch(corpus, i)
        ids = original_ids(item).numpy()
        bounds = itertools.pairwise(item.batch.cu_seqlens.tolist())
        for (start, end), source in zip(bounds, item.sources.tolist(), strict=True):
            text = decode_bases(kmers.decode(ids[start + 1 : end - 1], 6))
            other = decode_bases(reverse_complement(encode_bases(text)))
            assert text in texts[source] or other in texts[source]
            seen.add(source)
    assert seen == {0, 1, 2}


def test_batches_of_one_shape_hold_the_same(genomes: tuple[Genome, ...]) -> None:
    corpus = make_corpus(genomes)
    shapes, missing = set(), set()
    for i in range(20):
        item = training_batch(corpus, i)
        filled = of_fixed_shape(item, corpus)
        tokens, rows, sequences = len(item.batch.input_ids), len(item.rows), item.batch.sequences
        missing.add(1024 - tokens)
        shapes.add((len(filled.batch.input_ids), len(filled.rows) % 16, filled.batch.max_seqlen))
        assert filled.batch.input_ids[:tokens].equal(item.batch.input_ids)
        assert (filled.batch.input_ids[tokens:] == kmers.PAD).all()
        assert filled.batch.position_ids[:tokens].equal(item.batch.position_ids)
        assert filled.batch.cu_seqlens[: sequences + 1].equal(item.batch.cu_seqlens)
        assert (filled.batch.cu_seqlens[sequences + 1 :] == 1024).all()
        assert len(filled.batch.cu_seqlens) - 1 > sequences  # room for the [PAD] tokens' own sequence
        assert (len(filled.batch.cu_seqlens) - 1).bit_count() == 1
        assert filled.labels[:rows].equal(item.labels)
        assert (filled.labels[rows:] == UNLABELLED).all()
        assert filled.probes.equal(item.probes)
        assert filled.sources[:sequences].equal(item.sources)
        assert (filled.sources[sequences:] == UNLABELLED).all()
    assert shapes == {(1024, 0, 202)}
    assert len(missing) > 1


def test_loss_and_gradients_of_a_filled_batch_are_those_of_the_batch(
    genomes: tuple[Genome, ...], tmp_path: Path
) -> None:
    corpus = make_corpus(genomes)
    items = (training_batch(corpus, i) for i in range(20))
    item = next(one for one in items if len(one.batch.input_ids) < 1024)
    model = checkpoint.load(tiny_model(tmp_path, k=6)).model.eval()
    model.tell_apart(2, 1.0)
    torch.nn.init.normal_(model.source_head.weight)
    found = []
    for one in (item, of_fixed_shape(item, corpus)):
        model.zero_grad()
        loss = model(*one.batch, rows=one.rows, labels=one.labels, sources=one.sources).loss
        loss.backward()
        found.append((loss, [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]))
    (loss, gradients), (loss_filled, gradients_filled) = found
    torch.testing.assert_close(loss_filled, loss, atol=1e-6, rtol=0)
    torch.testing.assert_close(gradients_filled, gradients, atol=1e-6, rtol=0)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on one core
def test_loader_workers_see_the_same_sequence(genomes: tuple[Genome, ...]) -> None:
    items = _Items(make_corpus(genomes, batches=6), fixed_shape=False)
    for workers in (0, 2):
        loaded = list(DataLoader(items, batch_size=1, num_workers=workers, collate_fn=_only))
        assert [one["input_ids"].tolist() for one in loaded] == [items[i]["input_ids"].tolist() for i in range(6)]


@pytest.mark.parametrize("name", ["dnabert", "growing"])
def test_every_policy_masks_as_much_of_the_held_out_windows(name: str, rng: np.random.Generator) -> None:
    windows = tuple(Window(kmers.encode(rng.integers(0, 4, 505).astype(np.uint8), 6), 0) for _ in range(200))
    batches = evaluation_batches(HeldOut(windows, 6, masking.policy(name), 0, 4096))
    assert sum(len(batch.rows) for batch in batches) / (200 * 500) == pytest.approx(0.15, abs=0.005)


def test_windows_stand_in_the_genome_on_both_strands(genomes: tuple[Genome, ...]) -> None:
    corpus = make_corpus(genomes)
    texts = [
        decode_bases(genome.codes[s:e])
        for genome in genomes
        for s, e in zip(genome.starts, genome.starts[1:], strict=False)
    ]
    forwards = backwards = 0
    lengths: list[int] = []
    for i in range(40):
        item = training_batch(corpus, i)
        assert len(item.batch.input_ids) <= 1024
        assert len(item.batch.input_ids) > 1024 - 7
        ids = original_ids(item).numpy()
        for start, end in zip(item.batch.cu_seqlens, item.batch.cu_seqlens[1:], strict=False):
            codes = kmers.decode(ids[start + 1 : end - 1], 6)
            lengths.append(int(end - start) - 2)
            forwards += any(decode_bases(codes) in text for text in texts)
            backwards += any(decode_bases(reverse_complement(codes)) in text for text in texts)
    assert forwards + backwards >= len(lengths)
    assert min(forwards, backwards) > 0.4 * len(lengths)
    assert max(lengths) == 200
    assert 0.3 < np.mean(np.array(lengths) == 200) < 0.6  # half, less those cut to fit the batch


def test_weights_choose_between_genomes(genomes: tuple[Genome, ...]) -> None:
    train, _ = split_regions(genomes, (), 6)
    shares = np.diff(region_bounds(train, [1, 3], 2, 6, 200), prepend=0)
    assert shares[train.source == 1].sum() == pytest.approx(0.75)
    plain = np.diff(region_bounds(train, None, 2, 6, 200), prepend=0)
    assert plain[train.source == 1].sum() == pytest.approx(2000 / 11000, rel=0.01)
    for bad in ([1], [1, -1], [0, 0], [float("nan"), 1], [float("inf"), 1]):
        with pytest.raises(InputError, match="2 numbers are required"):
            region_bounds(train, bad, 2, 6, 200)
    train, _ = split_regions(genomes, ("c",), 6)
    with pytest.raises(InputError, match="the files whose weight is above 0 are held out whole"):
        region_bounds(train, [0, 1], 2, 6, 200)


def test_held_out_contigs_are_never_drawn(genomes: tuple[Genome, ...]) -> None:
    corpus = make_corpus(genomes, ("b",))
    text = decode_bases(genomes[0].window("b", 0, 3000))
    backwards = decode_bases(genomes[0].window("b", 0, 3000, "-"))
    for i in range(20):
        item = training_batch(corpus, i)
        ids = original_ids(item).numpy()
        first = decode_bases(kmers.decode(ids[1 : item.batch.cu_seqlens[1] - 1], 6))
        assert first not in text
        assert first not in backwards


def test_a_held_out_fraction_is_the_middle_of_each_contig(genomes: tuple[Genome, ...]) -> None:
    train, held = split_regions(genomes[:1], ("0.1",), 6)
    assert (0, 2700, 3300) in set(zip(*held, strict=True))
    assert {(0, 0, 2700), (0, 3300, 6000)} <= set(zip(*train, strict=True))
    everything = sorted([*zip(*train, strict=True), *zip(*held, strict=True)])
    assert all(a[2] <= b[1] for a, b in itertools.pairwise(everything))
    with pytest.raises(InputError, match="no contig 'chr1'; this genome has a, b, tiny"):
        split_regions(genomes[:1], ("chr1",), 6)
    with pytest.raises(InputError, match="a fraction from 0 to below 1"):
        split_regions(genomes, ("1.5",), 6)
    with pytest.raises(InputError, match="nothing is left to train on"):
        split_regions(genomes, ("a", "b", "c", "tiny"), 6)


def test_a_contig_may_be_called_like_a_number(tmp_path: Path, rng: np.random.Generator) -> None:
    genome = Genome.open(write_fasta(tmp_path / "n.fa", {"0.5": random_dna(900, rng), "21": random_dna(2000, rng)}))
    for name, bases in (("21", 2000), ("0.5", 900)):
        assert split_regions([genome], (name,), 6)[1].lengths.tolist() == [bases]


def test_windows_of_n_are_skipped(tmp_path: Path, rng: np.random.Generator) -> None:
    genome = Genome.open(write_fasta(tmp_path / "n.fa", {"a": random_dna(1500, rng) + "N" * 6000}))
    corpus = make_corpus((genome,))
    for i in range(10):
        ids = original_ids(training_batch(corpus, i))
        assert (ids == kmers.UNK).float().mean() < 0.5
    windows = tile([genome], whole(genome), 6, 200)
    count = len(windows.source)
    assert all((read_window([genome], windows, i, 6).ids == kmers.UNK).mean() <= 0.5 for i in range(count))
    assert 6 <= count <= 9
    empty = Genome.open(write_fasta(tmp_path / "nn.fa", {"a": "N" * 2000}))
    with pytest.raises(InputError, match="were mostly N"):
        training_batch(make_corpus((empty,)), 0)


def test_tiles_alternate_strands(tmp_path: Path, rng: np.random.Generator) -> None:
    sequence = random_dna(1000, rng)
    genome = Genome.open(write_fasta(tmp_path / "g.fa", {"a": sequence}))
    windows = tile([genome], whole(genome), 6, 300)
    first, second = (read_window([genome], windows, i, 6) for i in range(2))
    assert first.ids.tolist() == kmers.encode(encode_bases(sequence[:305]), 6).tolist()
    assert second.ids.tolist() == kmers.encode(reverse_complement(encode_bases(sequence[305:610])), 6).tolist()


@pytest.fixture
def rows(tmp_path: Path, rng: np.random.Generator) -> Path:
    path = tmp_path / "rows.csv"
    lines = [f"{random_dna(40, rng)},{i % 2}" for i in range(200)] + [f"{random_dna(80, rng)},1" for _ in range(100)]
    path.write_text("sequence,label\n" + "\n".join(lines) + "\nACGT,0\n")
    return path


def test_rows_of_a_table_are_windows_of_their_own(rows: Path) -> None:
    table = open_source(rows)
    assert (table.names, len(table.starts)) == ((), 302)
    corpus = make_corpus((table,), batches=40)
    texts = {decode_bases(table.codes[s:e]) for s, e in itertools.pairwise(table.starts.tolist())}
    both = texts | {decode_bases(reverse_complement(encode_bases(text))) for text in texts}
    whole_rows = 0
    for i in range(40):
        item = training_batch(corpus, i)
        assert 1024 - 7 < len(item.batch.input_ids) <= 1024  # short rows fill a batch as well as long windows do
        ids = original_ids(item).numpy()
        read = [
            decode_bases(kmers.decode(ids[start + 1 : end - 1], 6))
            for start, end in itertools.pairwise(item.batch.cu_seqlens.tolist())
        ]
        assert all(any(text in row for row in both) for text in read)
        whole_rows += sum(text in both for text in read)
    assert whole_rows > 400


def test_each_base_is_read_equally_often(rows: Path, genomes: tuple[Genome, ...]) -> None:
    corpus = make_corpus((open_source(rows), genomes[0]), batches=2000, batch_tokens=1024)
    read = np.zeros(2)
    rng = np.random.default_rng(0)
    for _ in range(20_000):
        drawn = int(np.searchsorted(corpus.bounds, rng.random(), side="right"))
        length = 200 if rng.random() < 0.5 else int(rng.integers(5, 201))
        read[corpus.regions.source[drawn]] += min(length + 5, int(corpus.regions.lengths[drawn]))
    held = np.bincount(corpus.regions.source, weights=corpus.regions.lengths)
    assert read[0] / read[1] == pytest.approx(held[0] / held[1], rel=0.03)


def test_a_share_of_the_rows_is_held_out(rows: Path, genomes: tuple[Genome, ...]) -> None:
    table = open_source(rows)
    train, held = split_regions([table], ("0.1",), 6)
    assert (len(train.source), len(held.source)) == (270, 30)
    assert not set(train.start.tolist()) & set(held.start.tolist())
    assert np.ptp(np.diff(np.searchsorted(table.starts, held.start))) <= 1  # evenly spread
    assert set((tile([table], held, 6, 200).lengths - 5).tolist()) == {35, 75}
    train, held = split_regions([table, genomes[0]], ("b",), 6)
    assert set(held.source.tolist()) == {1}
    with pytest.raises(InputError, match="rows of a table have no names; give a fraction"):
        split_regions([table], ("chr1",), 6)
