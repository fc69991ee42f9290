"""Figures of scored variants."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from dnabert.errors import InputError
from dnabert.interpretation import variant_figures
from dnabert.sequence import tables
from tests.conftest import write_fasta

SEQUENCE = "ACGTTGCA"
FIELDS = ("llr", "cosine")


def saturated(start: int, sequence: str = SEQUENCE) -> list[tuple[str, int, str, str]]:
    return [("c", start + i + 1, base, alt) for i, base in enumerate(sequence) for alt in "ACGT" if alt != base]


def write(path: Path, rows: list[tuple[str, int, str, str]], **columns: list[float] | list[str]) -> Path:
    chrom, pos, ref, alt = (list(column) for column in zip(*rows, strict=True))
    tables.write(pa.table({"chrom": chrom, "pos": pos, "ref": ref, "alt": alt} | columns), path)
    return path


@pytest.mark.parametrize("suffix", [".tsv", ".parquet"])
def test_a_map_holds_every_substitution_in_its_place(suffix: str, tmp_path: Path) -> None:
    rows = saturated(20)
    table = write(tmp_path / f"t{suffix}", rows, llr=[float(i) for i in range(len(rows))])
    content = variant_figures.read_scores(table)
    effects, name = variant_figures.effects(content, FIELDS)
    assert name == "llr"
    sequence, values = variant_figures._map_of(content, effects, ("c", 19, 20 + len(SEQUENCE)))
    assert sequence == "N" + SEQUENCE
    for i, (_, pos, _, alt) in enumerate(rows):
        assert values[pos - 20, "ACGT".index(alt)] == i
    assert np.isnan(values).sum() == 4 + len(SEQUENCE)
    region = ("c", 20, 20 + len(SEQUENCE))
    written = variant_figures.draw(table, tmp_path / "map.png", FIELDS, regions=[region])
    assert [path.name for path in written] == ["map.png", "map.svg"]
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")


def test_each_region_is_a_map_of_its_own(tmp_path: Path) -> None:
    rows = saturated(20) + saturated(40) + [("d", *row[1:]) for row in saturated(40)]
    table = write(tmp_path / "t.parquet", rows, log_odds=[1.0] * len(rows))
    regions = [("c", 20, 28), ("c", 40, 48), ("d", 40, 48)]
    written = variant_figures.draw(table, tmp_path / "map.svg", ("log_odds",), regions=regions)
    assert [path.name for path in written if path.suffix == ".png"] == ["map.png", "map-2.png", "map-3.png"]


def test_gain_is_positive(tmp_path: Path) -> None:
    table = write(tmp_path / "t.parquet", saturated(0, "A"), log_odds=[1.0, -2.0, 3.0], p_ref=[0.1] * 3)
    content = variant_figures.read_scores(table)
    effects, name = variant_figures.effects(content, ("p_ref", "log_odds"))
    assert (effects.tolist(), name) == ([-1.0, 2.0, -3.0], "-log_odds")


def test_a_scatter_and_its_correlation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = saturated(0)
    measured = [str(i**3) if i else "" for i in range(len(rows))]
    table = write(tmp_path / "t.tsv", rows, llr=[float(i) for i in range(len(rows))], effect=measured)
    assert (tmp_path / "s.svg") in variant_figures.draw(table, tmp_path / "s.png", FIELDS, "effect")
    assert "n = 23, Spearman 1.000" in (tmp_path / "s.svg").read_text()
    variant_figures.report(table, FIELDS, "effect")
    assert "Spearman of llr with effect: 1.000 (n = 23)" in capsys.readouterr().out
    with pytest.raises(InputError, match="a scatter needs three points"):
        variant_figures.scatter(np.ones(2), np.ones(2))
    words = write(tmp_path / "w.tsv", rows, llr=[0.0] * len(rows), effect=["high"] * len(rows))
    with pytest.raises(InputError, match="holds other than numbers"):
        variant_figures.draw(words, tmp_path / "s.png", FIELDS, "effect")
    few = write(tmp_path / "f.tsv", rows[:2], llr=[0.0, 1.0], effect=["1", "2"])
    with pytest.raises(InputError, match="3 rows with a score and a measured effect are needed, there are 2"):
        variant_figures.report(few, FIELDS, "effect")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"out": Path("out.vcf"), "saturation": "c:0-9"}, "figures are drawn from tables"),
        ({"figure": Path("f.gif"), "saturation": "c:0-9"}, "figures are written as .png and .svg"),
        ({}, "a map needs --saturation"),
        ({"saturation": "c:0-6000"}, "a map of 6,000 bases cannot be read; 5,000 are the most"),
        ({"variants": Path("in.vcf"), "measured": "AF"}, "measured effects are a column of a table of variants"),
        ({"variants": Path("in.tsv"), "measured": "other"}, "no such column; it has chrom, pos, ref, alt"),
        ({"variants": Path("index.txt"), "measured": "A"}, "measured effects are a column of a table of variants"),
        (
            {"variants": Path("own.tsv"), "measured": "sequence", "genome": None},
            "the input has no such column; it has pos, ref, alt, label",
        ),
    ],
)
def test_figures_that_cannot_be_drawn_are_refused_first(
    options: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    genome = write_fasta(tmp_path / "g.fa", {"c": "ACGT" * 2000})
    (tmp_path / "in.tsv").write_text("chrom\tpos\tref\talt\n")
    (tmp_path / "index.txt").write_text("0\t1\t2\tA\n")
    (tmp_path / "own.tsv").write_text("sequence\tpos\tref\talt\tlabel\nACGT\t1\tA\tC\t1\n")
    given = {"figure": Path("f.png"), "measured": None, "out": Path("out.tsv"), "variants": None, "saturation": None}
    with pytest.raises(InputError, match=message):
        variant_figures.check(**given | {"genome": genome, "sequences": None} | options)
