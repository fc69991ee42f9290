"""The main job on data the package makes itself: pre-train, fine-tune, evaluate, predict.

    python examples/demo.py demo

Under six minutes on two CPU cores. Every step is a function call that a command does too (`dnabert --help`).
"""

import sys
import time
from pathlib import Path

import rich.box
import rich.console
import rich.table

import dnabert

PRETRAIN_STEPS = 120
EPOCHS = 6
LEARNING_RATE = 6e-4  # above the default: few epochs
FROM_SCRATCH = "core_promoter"
"""The task that is also learned without pre-training, to show what that is worth."""


def main(folder: Path) -> None:
    """Run the demo into a folder."""
    start = time.monotonic()
    data = dnabert.simulate(folder / "data", seed=0, overwrite=True)
    pretrained = dnabert.pretrain(
        [data.genome], folder / "pretrained", preset="mini", steps=PRETRAIN_STEPS, max_length=254, overwrite=True
    )
    table = rich.table.Table(
        "task", "model", "classes", "MCC", "95 % interval", box=rich.box.SIMPLE, title="Test rows, 400 a task"
    )
    for name, task in data.tasks.items():
        for from_scratch in (False, True) if name == FROM_SCRATCH else (False,):
            title = "from scratch" if from_scratch else "pre-trained"
            out = folder / (f"{name}-scratch" if from_scratch else name)
            tuned = dnabert.finetune(
                task,
                pretrained.folder,
                out,
                from_scratch=from_scratch,
                epochs=EPOCHS,
                learning_rate=LEARNING_RATE,
                overwrite=True,
            )
            mcc = dnabert.evaluate(out, task / "test.tsv").metrics["mcc"]
            classes = str(len(tuned.task.names))
            table.add_row(name, title, classes, f"{mcc.value:.3f}", f"{mcc.low:.3f} to {mcc.high:.3f}")
        dnabert.predict_file(folder / name, task / "test.tsv", folder / f"{name}.predictions.tsv")
    console = rich.console.Console()
    console.print(table)
    metrics = pretrained.metrics
    console.print(
        f"Pre-training, held out: {metrics['token_loss']:.3f} nats a token, {metrics['base_loss']:.4f} a hidden base"
    )
    console.print(f"Models (with metrics.json) and *.predictions.tsv: {folder.resolve()}", soft_wrap=True)
    console.print(f"{time.monotonic() - start:.0f} seconds.")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))
