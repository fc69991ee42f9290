"""Figures: what they show, and that the same figure is the same file."""

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

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
    assert len(lines) == 2  # 100 bases a line
    images = [axes.images[0] for axes in lines]
    shown = np.concatenate([np.asarray(image.get_array()) for image in images], axis=1)
    np.testing.assert_array_equal(shown, effects.T)
    limit = np.abs(effects).max()
    assert all(image.get_clim() == (-limit, limit) for image in images)
    assert "logit of class 1" in bar.get_ylabel()
    assert "".join(text.get_text() for axes in lines for text in axes.texts) == sequence
    assert [tick.get_text() for tick in lines[1].get_xticklabels()][:2] == ["120", "130"]


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
