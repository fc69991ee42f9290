"""The figures of suites that `dnabert benchmark` ran, as one file of results.

    dnabert benchmark gue --model MODEL --out FOLDER --baselines
    python -m benchmarks.suite gue FOLDER [FOLDER...]

Data sets may have been run in several folders, each by a command of its own.
"""

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.record import RESULTS, record
from dnabert.model.baselines import NAMES
from dnabert.training import published
from dnabert.training.compare import FINETUNED, FROM_SCRATCH
from dnabert.training.suite import Summary, summarise
from dnabert.training.trainer import RUN


def line(one: Summary) -> dict[str, Any]:
    """Say a data set's result with one model in short."""
    ranked = {} if math.isnan(one.spearman) else {"spearman": round(one.spearman, 4)}
    return {
        "mean": round(one.mean, 4),
        "sd": round(one.deviation, 4) if one.seeds > 1 else None,
        "interval": [round(one.low, 4), round(one.high, 4)],
        **ranked,
        "seeds": one.seeds,
    }


def main(
    name: Annotated[str, typer.Argument(help="Of the file of results.")],
    folders: Annotated[list[Path], typer.Argument(help="Output folders of dnabert benchmark.")],
    folder: Annotated[Path, typer.Option(help="Where the result goes.")] = RESULTS,
) -> None:
    """Collect what was reached on each data set, beside published figures, and count who wins."""
    sets: dict[str, dict[str, Any]] = {}
    settings = [json.loads((path / RUN).read_text()) for path in folders]
    for path, given in zip(folders, settings, strict=True):
        kept = given.get("keep", "all")
        for one in summarise(path):
            key = one.name if one.share == 1 else f"{one.name}, {one.share:g} of the rows"
            entry = sets.setdefault(key, {"metric": one.metric, "models": {}})
            model = one.model if kept == "all" or one.model != FINETUNED else f"{one.model}, --keep {kept}"
            entry["models"][model] = line(one)
    ahead: dict[tuple[str, str], list[bool]] = {}
    for key, entry in sets.items():
        known = published.gue(key)
        if known:
            best = max(known, key=lambda model: known[model])
            entry["best published"] = {"model": best, "value": known[best]}
        means = {model: values["mean"] for model, values in entry["models"].items()}
        rivals = {FROM_SCRATCH: means.get(FROM_SCRATCH)}
        rivals["best baseline"] = max((means[model] for model in NAMES if model in means), default=None)
        rivals["best published"] = max(known.values(), default=None)
        for model in (name for name in means if name.startswith(FINETUNED)):
            for rival, value in rivals.items():
                if value is not None:
                    ahead.setdefault((model, rival), []).append(means[model] > value)
    shared = {key: value for key, value in settings[0].items() if all(one.get(key) == value for one in settings)}
    shared |= {key: Path(shared[key]).name for key in ("suite", "model") if key in shared}
    counts = {f"{model} ahead of {rival}": f"{sum(won)} of {len(won)}" for (model, rival), won in ahead.items()}
    record(name, {"settings": shared, "counts": counts, "data sets": sets}, folder)


if __name__ == "__main__":
    typer.run(main)
