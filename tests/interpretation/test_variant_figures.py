"""Figures of scored variants."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from dnabert.errors import InputError
from dnabert.interpretation import variant_figures
from dnabert.sequence import tables

SEQUENCE = "ACGTTGCA"


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
    ((contig, start, sequence, values),) = variant_figures._stretches(content, variant_figures.effects(content, "llr"))
    assert (contig, start, sequence) == ("c", 20, SEQUENCE)
    for i, (_, pos, _, alt) in enumerate(rows):
        assert values[pos - 21, "ACGT".index(alt)] == i
    assert np.isnan(values).sum() == len(SEQUENCE)
    written = variant_figures.draw(table, tmp_path / "map.png", None)
    assert [path.name for path in written] == ["map.png", "map.svg"]
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")


def test_regions_apart_are_maps_of_their_own(tmp_path: Path) -> None:
    rows = saturated(20) + saturated(9000) + [("d", *row[1:]) for row in saturated(9010)]
    table = write(tmp_path / "t.parquet", rows, log_odds=[1.0] * len(rows))
    written = variant_figures.draw(table, tmp_path / "map.svg", None)
    assert [path.name for path in written if path.suffix == ".png"] == ["map.png", "map-2.png", "map-3.png"]


def test_gain_is_positive(tmp_path: Path) -> None:
    table = write(tmp_path / "t.parquet", saturated(0, "A"), log_odds=[1.0, -2.0, 3.0], p_ref=[0.1] * 3)
    content = variant_figures.read_scores(table)
    assert variant_figures.main_score(content.column_names) == "log_odds"
    assert variant_figures.effects(content, "log_odds").tolist() == [-1.0, 2.0, -3.0]


def test_a_scatter_and_its_correlation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = saturated(0)
    measured = [str(i**3) if i else "" for i in range(len(rows))]
    table = write(tmp_path / "t.tsv", rows, llr=[float(i) for i in range(len(rows))], effect=measured)
    assert (tmp_path / "s.svg") in variant_figures.draw(table, tmp_path / "s.png", "effect")
    assert "n = 23, Spearman 1.000" in (tmp_path / "s.svg").read_text()
    variant_figures.report(table, "effect")
    assert "Spearman of llr with effect: 1.000 (n = 23)" in capsys.readouterr().out
    with pytest.raises(InputError, match="--measured other: the input has no such column; it has chrom, pos"):
        variant_figures.draw(table, tmp_path / "s.png", "other")
    with pytest.raises(InputError, match="a scatter needs three points"):
        variant_figures.scatter(np.ones(2), np.ones(2))
    words = write(tmp_path / "w.tsv", rows, llr=[0.0] * len(rows), effect=["high"] * len(rows))
    with pytest.raises(InputError, match="holds other than numbers"):
        variant_figures.draw(words, tmp_path / "s.png", "effect")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((Path("f.png"), None, Path("out.vcf"), "c"), "figures are drawn from tables"),
        ((Path("f.gif"), None, Path("out.tsv"), "c"), "figures are written as .png and .svg"),
        ((Path("f.png"), None, Path("out.tsv"), None), "a map needs --saturation"),
    ],
)
def test_figures_that_cannot_be_drawn_are_refused_first(
    arguments: tuple[Path | None, str | None, Path, str | None], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        variant_figures.check(*arguments)
