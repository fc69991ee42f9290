"""Published figures that results are shown beside: facts with their source, never targets of a test.

GUE: Matthews' correlation times 100 on test (virus: F1), Zhou et al. 2024, DNABERT-2 (arXiv 2306.15006v2), table of all
data sets.
DNABERT's own paper: Ji et al. 2021 (doi 10.1093/bioinformatics/btab083), the section on splice sites, k = 6: accuracy
0.923, F1 0.919, MCC 0.871, on its own division of the rows that GUE's `splice/reconstructed` was made of. Its other
figures stand in plots (promoters) or are means over 690 sets (binding sites: accuracy 0.918), which no set here is.
DREAM: the challenge of 2022 by its protocol (`dnabert.training.suite.DREAM`), as docs/benchmarks.md gives it.
"""

SOURCE = "Zhou et al. 2024, arXiv 2306.15006v2"
FIRST = "DNABERT 2021"
FIRST_SOURCE = "Ji et al. 2021, doi 10.1093/bioinformatics/btab083, on another division of the rows"
DREAM_K = 6
DREAM = (
    f"Published, k = {DREAM_K}, on such a split of 6.7 million rows: r 0.74, rho 0.76 "
    "(docs/benchmarks.md, Expression of yeast promoters)"
)

_MODELS = (
    "DNABERT-3",
    "DNABERT-4",
    "DNABERT-5",
    "DNABERT-6",
    "NT-500M-human",
    "NT-500M-1000g",
    "NT-2500M-1000g",
    "NT-2500M-multi",
    "DNABERT-2",
    "DNABERT-2 further pre-trained",
)

_GUE = {
    "EMP/H3": (74.15, 73.03, 73.40, 73.10, 69.67, 72.52, 74.61, 78.77, 78.27, 80.17),
    "EMP/H3K14ac": (42.07, 41.88, 40.68, 40.06, 33.55, 39.37, 44.08, 56.20, 52.57, 57.42),
    "EMP/H3K36me3": (48.49, 48.03, 48.29, 47.25, 44.14, 45.58, 50.86, 61.99, 56.88, 61.90),
    "EMP/H3K4me1": (42.95, 41.06, 40.65, 41.44, 37.15, 40.45, 43.10, 55.30, 50.52, 53.00),
    "EMP/H3K4me2": (31.34, 30.66, 30.67, 32.27, 30.87, 31.05, 30.28, 36.49, 31.13, 39.89),
    "EMP/H3K4me3": (28.92, 25.31, 27.10, 27.81, 24.06, 26.16, 30.87, 40.34, 36.27, 41.20),
    "EMP/H3K79me3": (60.12, 59.77, 59.61, 61.17, 58.35, 59.33, 61.20, 64.70, 67.39, 65.46),
    "EMP/H3K9ac": (50.48, 51.44, 51.11, 51.22, 45.81, 49.29, 52.36, 56.01, 55.63, 57.07),
    "EMP/H4": (78.27, 78.28, 77.27, 79.26, 76.17, 76.29, 79.76, 81.67, 80.71, 81.86),
    "EMP/H4ac": (38.60, 36.40, 37.48, 37.43, 33.74, 36.79, 41.46, 49.13, 50.43, 50.35),
    "prom/prom_300_all": (90.44, 89.54, 90.16, 90.48, 87.71, 89.76, 90.95, 91.01, 86.77, 88.31),
    "prom/prom_300_notata": (93.61, 92.65, 92.45, 93.05, 90.75, 91.75, 93.07, 94.00, 94.27, 94.34),
    "prom/prom_300_tata": (69.83, 66.78, 69.51, 61.56, 78.07, 78.23, 75.80, 79.43, 71.59, 68.79),
    "tf/0": (67.95, 67.90, 66.97, 66.84, 61.59, 63.64, 66.31, 66.64, 71.99, 69.12),
    "tf/1": (70.90, 73.05, 69.98, 70.14, 66.75, 70.17, 68.30, 70.28, 76.06, 71.87),
    "tf/2": (60.51, 59.52, 59.03, 61.03, 53.58, 52.73, 58.70, 58.72, 66.52, 62.96),
    "tf/3": (53.03, 50.37, 52.95, 51.89, 42.95, 45.24, 49.08, 51.65, 58.54, 55.35),
    "tf/4": (69.76, 71.23, 69.26, 70.97, 60.81, 62.82, 67.59, 69.34, 77.43, 74.94),
    "prom/prom_core_all": (70.92, 69.00, 69.48, 68.90, 63.45, 66.70, 67.39, 70.33, 69.37, 67.50),
    "prom/prom_core_notata": (69.82, 70.04, 69.81, 70.47, 64.82, 67.17, 67.46, 71.58, 68.04, 69.53),
    "prom/prom_core_tata": (78.15, 74.25, 76.79, 76.06, 71.34, 73.52, 69.66, 72.97, 74.17, 76.18),
    "mouse/0": (42.31, 49.42, 42.45, 44.42, 31.04, 39.26, 48.31, 63.31, 56.76, 64.23),
    "mouse/1": (79.10, 79.95, 79.32, 78.94, 75.04, 75.49, 80.02, 83.76, 84.77, 86.28),
    "mouse/2": (69.90, 72.62, 62.22, 71.44, 61.67, 64.70, 70.14, 71.52, 79.32, 81.28),
    "mouse/3": (55.40, 51.79, 49.92, 44.89, 29.17, 33.07, 42.25, 69.44, 66.47, 73.49),
    "mouse/4": (41.97, 44.13, 40.34, 42.48, 29.27, 34.01, 43.40, 47.07, 52.66, 50.80),
    "splice/reconstructed": (84.14, 84.05, 84.02, 84.07, 79.71, 80.97, 85.78, 89.35, 84.99, 85.93),
}

_FIRST = {"splice/reconstructed": 0.871}

NAMES = tuple(_GUE)

SHOWN = ("DNABERT-6", "DNABERT-2")
"""Models whose figures are shown beside the best of all."""

UNSTRANDED = ("tf/", "mouse/", "EMP/")
"""Data sets whose labels do not depend on the strand: binding sites, histone marks. Promoters and splice sites do."""


def gue(name: str) -> dict[str, float]:
    """Return the published MCC (0 to 1) of each model on a data set of GUE; empty where none is known."""
    figures = _GUE.get(_of_gue(name), ())
    return {model: round(value / 100, 4) for model, value in zip(_MODELS, figures, strict=False)}


def first(name: str) -> float | None:
    """Return the MCC that DNABERT's own paper reports on the rows of a data set of GUE, which it divided otherwise."""
    return _FIRST.get(_of_gue(name))


def strand_of(name: str) -> str:
    """Say from which strands a data set of GUE is read: `both` where its labels do not depend on it; else `given`."""
    return "both" if _of_gue(name).startswith(UNSTRANDED) else "given"


def _of_gue(name: str) -> str:
    """Find the data set of GUE that a name is, or ends in; empty if none."""
    return next((key for key in NAMES if name == key or name.endswith(f"/{key}")), "")
