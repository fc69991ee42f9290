"""Figures: what they show, and that the same figure is the same file."""

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from dnabert import InputError
from dnabert.interpretation import plots
from tests.conftest import random_dna


@pytest.fixture
def effects(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(130, 4))


def test_a_mutation_map_shows_every_effect_on_one_scale_around_zero(
    effects: np.ndarray, rng: np.random.Generator
) -> None:
    sequence = random_dna(130, rng)
    figure = plots.mutation_map(effects, sequence, start=20, unit="logit of class 1", title="promoter")
    *lines, bar = figure.axes
    assert len(lines) == 2  # of 65 bases
    images = [axes.images[0] for axes in lines]
    shown = np.concatenate([np.asarray(image.get_array()) for image in images], axis=1)
    np.testing.assert_array_equal(shown, effects.T)
    limit = np.abs(effects).max()
    assert all(image.get_clim() == (-limit, limit) for image in images)
    assert "logit of class 1" in bar.get_ylabel()
    assert "".join(text.get_text() for axes in lines for text in axes.texts) == sequence
    assert [tick.get_text() for tick in lines[1].get_xticklabels()][:2] == ["90", "100"]


def test_a_map_without_effects_and_with_unknown_bases_is_drawn(tmp_path: Path) -> None:
    effects = np.zeros((5, 4))
    effects[2] = np.nan
    plots.save(plots.mutation_map(effects, "acnuT"), tmp_path / "flat")


def test_a_map_refuses_effects_of_another_length(effects: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"effects of shape \(130, 4\) do not fit a sequence of 4 bases"):
        plots.mutation_map(effects, "ACGT")


def test_the_same_figure_is_the_same_file(effects: np.ndarray, rng: np.random.Generator, tmp_path: Path) -> None:
    sequence = random_dna(130, rng)
    first = plots.save(plots.mutation_map(effects, sequence), tmp_path / "a.b")
    again = plots.save(plots.mutation_map(effects, sequence), tmp_path / "second")
    assert [path.name for path in first] == ["a.b.png", "a.b.svg"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    height, width, _ = matplotlib.image.imread(first[0]).shape
    assert width == pytest.approx(7.1 * 300, abs=2)
    assert height > 300


def shown(figure: Figure) -> list[str]:
    return [axes.get_xlabel() + axes.get_ylabel() for axes in figure.axes]


def test_a_landscape_shows_rows_and_their_mean(rng: np.random.Generator, tmp_path: Path) -> None:
    scores = np.abs(rng.normal(size=(7, 40)))
    scores[:, 39] = np.nan
    scores[2, 20:] = np.nan
    figure = plots.landscape(scores, start=100, unit="attention", title="a set", mark=3)
    top, below, bar = figure.axes
    np.testing.assert_array_equal(np.ma.filled(np.ma.asarray(below.images[0].get_array()), np.nan), scores)
    np.testing.assert_allclose(np.asarray(top.lines[0].get_ydata())[:39], np.nanmean(scores[:, :39], axis=0))
    assert tuple(below.images[0].get_extent()) == (99.5, 139.5, 7, 0)
    assert below.images[0].get_clim()[0] == 0
    assert (below.get_ylabel(), bar.get_xlabel()) == ("Sequence", "Attention")
    low, high = plots.landscape(scores - 1).axes[1].images[0].get_clim()
    assert low == -high
    plots.save(figure, tmp_path / "landscape")


def test_a_large_landscape_shows_means_of_neighbours(rng: np.random.Generator) -> None:
    scores = rng.normal(size=(2 * plots.ROWS, 6))
    image = plots.landscape(scores).axes[1].images[0]
    np.testing.assert_allclose(np.asarray(image.get_array()), scores.reshape(-1, 2, 6).mean(axis=1))


def test_a_track_has_letters_as_high_as_scores(rng: np.random.Generator, tmp_path: Path) -> None:
    scores = rng.normal(size=130)
    scores[:70] = np.nan
    figure = plots.track(scores, random_dna(129, rng) + "N", unit="contribution", title="one")
    assert len(figure.axes) == 2
    assert {axes.get_ylim() for axes in figure.axes} == {figure.axes[0].get_ylim()}
    low, high = figure.axes[0].get_ylim()
    assert low == pytest.approx(np.nanmin(scores[:-1]) * 1.05)
    assert high == pytest.approx(np.nanmax(scores[:-1]) * 1.05)
    plots.save(figure, tmp_path / "track")
    with pytest.raises(InputError, match=r"scores of shape \(130,\) do not fit a sequence of 2 bases"):
        plots.track(scores, "AC")


def test_a_context_map_says_who_attends_to_whom(rng: np.random.Generator, tmp_path: Path) -> None:
    weights = rng.random((20, 20))
    figure = plots.context_map(weights, start=5, mark=2)
    assert "Attended position" in figure.axes[0].get_xlabel()
    np.testing.assert_array_equal(np.asarray(figure.axes[0].images[0].get_array()), weights)
    plots.save(figure, tmp_path / "map")


def test_a_logo_stands_above_its_match(rng: np.random.Generator, tmp_path: Path) -> None:
    motif = rng.dirichlet([0.2] * 4, size=8)
    figure = plots.motif_logo(motif, title="found", match=motif[2:], match_title="known", offset=2)
    assert [axes.get_title() for axes in figure.axes] == ["found", "known"]
    assert shown(figure) == ["Information (bits)", "Position in the motif (bp)Information (bits)"]
    plots.save(figure, tmp_path / "logo")
    assert len(plots.motif_logo(motif).axes) == 1
    plots.motif_logo(np.full((4, 4), 0.25))


def test_information_is_two_bits_for_one_base_and_none_for_all() -> None:
    np.testing.assert_allclose(plots.information(np.array([[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.25] * 4])), [2, 1, 0])
