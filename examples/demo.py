"""The main job on data the package makes itself: pre-train, fine-tune, evaluate, predict.

    python examples/demo.py demo

About four minutes on two CPU cores. Every step is a function call that a command does too (`dnabert --help`).
"""

import sys
import time
from pathlib import Path

import rich.box
import rich.console
import rich.table

import dnabert

PRETRAIN_STEPS = 250
EPOCHS = 6


def main(folder: Path) -> None:
    """Run the demo into a folder."""
    start = time.monotonic()
    data = dnabert.simulate(folder / "data", seed=0, overwrite=True)
    pretrained = dnabert.pretrain(
        [data.genome], folder / "pretrained", preset="mini", steps=PRETRAIN_STEPS, max_length=254, overwrite=True
    )
    table = rich.table.Table(
        "task",
        "classes",
        "MCC",
        "95 % interval",
        "MCC from scratch",
        box=rich.box.SIMPLE,
        title="Test rows, 400 a task",
    )
    for name, task in data.tasks.items():
        arguments = {"model": pretrained.folder, "epochs": EPOCHS, "overwrite": True}
        tuned = dnabert.finetune(task, out=folder / name, **arguments)
        scratch = dnabert.finetune(task, out=folder / f"{name}-scratch", from_scratch=True, **arguments)
        mcc = dnabert.evaluate(tuned.folder, task / "test.tsv", out=folder / f"{name}.json").metrics["mcc"]
        plain = dnabert.evaluate(scratch.folder, task / "test.tsv").metrics["mcc"]
        interval = f"{mcc.low:.3f} to {mcc.high:.3f}"
        table.add_row(name, str(len(tuned.labels)), f"{mcc.value:.3f}", interval, f"{plain.value:.3f}")
        dnabert.predict_file(tuned.folder, task / "test.tsv", folder / f"{name}.predictions.tsv")
    console = rich.console.Console()
    console.print(table)
    metrics = pretrained.metrics
    console.print(
        f"Pre-training, held out: {metrics['token_loss']:.3f} nats a token, {metrics['base_loss']:.4f} a hidden base"
    )
    console.print(f"Models, metrics (*.json) and predictions (*.predictions.tsv): {folder.resolve()}", soft_wrap=True)
    console.print(f"{time.monotonic() - start:.0f} seconds.")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))
