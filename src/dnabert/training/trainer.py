"""transformers' Trainer on packed batches: what is ours is the data, the metrics and the words."""

import json
import math
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch.utils.data import Dataset, SequentialSampler
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from dnabert import processes
from dnabert.errors import InputError
from dnabert.files import claim_folder, fingerprint, replacing, replacing_files
from dnabert.model.checkpoint import RECORD, quiet_transformers
from dnabert.model.device import choose_device, exact_float32
from dnabert.progress import say
from dnabert.training.graphs import Graphs

RUN = "run.json"
LOG = "log.jsonl"
_CONTENT = "content"
"""What the content of the files that are read is called beside the settings of a run."""
_PATHS = ("data", "sources", "genome", "labels", "annotation", "model")
"""Settings that name these files."""

Metrics = dict[str, float]

_LOADER = "DataLoader worker"
"""How what torch says of a loader process that ended before its time begins."""


class PackedTrainer(transformers.Trainer):
    """A Trainer whose evaluation is a function of the model, and that counts what the log shows.

    Parameters
    ----------
    evaluation : callable
        Takes the model, returns the metrics without a prefix.
    in_order : bool
        Take the training items in their order (a corpus) instead of shuffling them (a table).
    tally : callable, optional
        Takes the inputs and outputs of each training batch.
    tallied : callable, optional
        Returns what was tallied since the last call, for the log.
    rate_of : callable, optional
        Takes the name of a parameter, returns its learning rate as a multiple of the peak's.
    graphs : bool
        Record steps as CUDA graphs (`dnabert.training.graphs`), which does without `tally`.
    """

    def __init__(
        self,
        *args: Any,
        evaluation: Callable[[torch.nn.Module], Metrics],
        in_order: bool,
        tally: Callable[[Mapping[str, Any], Any], None] | None = None,
        tallied: Callable[[], Metrics] | None = None,
        rate_of: Callable[[str], float] | None = None,
        graphs: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.graphs = Graphs(self.model, partial(super().training_step, self.model)) if graphs else None
        self.rate_of = rate_of
        self.evaluation = evaluation
        self.in_order = in_order
        self.tally = tally
        self.tallied = tallied
        self.remove_callback(transformers.PrinterCallback)
        self.tokens = 0  # of all processes, taken to see as many each

    def _get_train_sampler(self, train_dataset: Dataset[Any] | None = None) -> Any:
        if self.in_order:
            return SequentialSampler(self.train_dataset)
        return super()._get_train_sampler(train_dataset)

    def create_optimizer(self, model: torch.nn.Module | None = None) -> torch.optim.Optimizer:
        """Make transformers' optimizer, then give parameters a rate of their own."""
        before = self.optimizer
        optimizer: torch.optim.Optimizer = super().create_optimizer(model)
        if before is not None or self.rate_of is None:
            return optimizer
        rates = {id(parameter): self.rate_of(name) for name, parameter in self.model.named_parameters()}
        for group in list(optimizer.param_groups):
            of_group = {id(parameter): rates[id(parameter)] for parameter in group["params"]}
            first, *others = dict.fromkeys(of_group.values())
            parts = {
                rate: [parameter for parameter in group["params"] if of_group[id(parameter)] == rate]
                for rate in (first, *others)
            }
            peak = group["lr"]
            group |= {"params": parts[first], "lr": peak * first}
            for rate in others:
                optimizer.add_param_group(group | {"params": parts[rate], "lr": peak * rate})
        return optimizer

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        """Take the batches of the next step; where a loader is gone, say so in torch's words."""
        try:
            return super().get_batch_samples(*args, **kwargs)
        except (EOFError, OSError) as error:  # a batch broke off, or its sender is not there any more
            if not self.args.dataloader_num_workers or "in DataLoader worker process" in str(error):
                raise  # there is none, or it raised this itself
            raise RuntimeError(f"{_LOADER} is gone: {str(error) or type(error).__name__}") from error

    def training_step(self, model: torch.nn.Module, inputs: dict[str, Any], *args: Any) -> torch.Tensor:
        """Compute the loss of a batch and its gradients."""
        self.tokens += len(inputs["input_ids"]) * self.args.world_size
        if self.graphs is not None:
            return self.graphs(self._prepare_inputs(inputs))
        loss: torch.Tensor = super().training_step(model, inputs, *args)
        return loss

    def floating_point_ops(self, _: dict[str, Any]) -> int:
        """Leave out what transformers estimates of each step, walking through the whole model: nothing reads it."""
        return 0

    def _save_rng_state(self, output_dir: str) -> None:
        """Save what each process draws from, and wait for all: what is written next makes the checkpoint whole."""
        super()._save_rng_state(output_dir)
        self.accelerator.wait_for_everyone()

    def compute_loss(self, model: torch.nn.Module, inputs: dict[str, Any], *_: Any, **__: Any) -> torch.Tensor:
        """Run the model on a batch; entries that start with `_` are for the tally alone."""
        outputs = model(**{name: value for name, value in inputs.items() if not name.startswith("_")})
        if self.tally is not None:
            self.tally(inputs, outputs)
        loss: torch.Tensor = outputs.loss
        return loss

    def evaluate(self, *_: Any, **__: Any) -> Metrics:
        """Call the evaluation function and log what it returns."""
        self.model.eval()
        metrics = {f"eval_{name}": value for name, value in self.evaluation(self.model).items()}
        self.model.train()
        self.log(dict(metrics))
        self.control: TrainerControl = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the tally to a training log entry."""
        if "loss" in logs:
            logs |= {"tokens": float(self.tokens)} | (self.tallied() if self.tallied else {})
        super().log(logs, start_time)


class Reporter(TrainerCallback):
    """Write one line to stderr for each log entry, with the rate and the time left.

    Parameters
    ----------
    training : callable
        Turns the entry of a training log into words.
    evaluation : callable
        Turns the metrics of an evaluation into words.
    tokens_at_peak : float, optional
        Tokens a second that the devices would train at if they did nothing but the model's operations.
    """

    def __init__(
        self,
        training: Callable[[Metrics], str],
        evaluation: Callable[[Metrics], str],
        tokens_at_peak: float | None = None,
    ) -> None:
        self.training = training
        self.evaluation = evaluation
        self.tokens_at_peak = tokens_at_peak
        self.last: tuple[float, float] = (0.0, 0.0)
        self.start: tuple[float, int] = (0.0, 0)
        self.stepped = 0.0

    def on_train_begin(self, _: TrainingArguments, state: TrainerState, *__: Any, **___: Any) -> None:
        """Start the clock."""
        self.last = (time.monotonic(), 0.0)
        self.start = (time.monotonic(), state.global_step)

    def on_step_end(self, args: TrainingArguments, _: TrainerState, control: TrainerControl, **__: Any) -> None:
        """Remember when; a GPU is still at the step, whose end is waited for where other work follows."""
        if args.device.type == "cuda" and (control.should_evaluate or control.should_save):
            torch.cuda.synchronize(args.device)
        self.stepped = time.monotonic()

    on_epoch_end = on_step_end

    def on_evaluate(self, *_: Any, **__: Any) -> None:
        """Leave what took time since the step out of the rate."""
        now = time.monotonic()
        self.last = (self.last[0] + now - self.stepped, self.last[1])
        self.stepped = now

    on_save = on_evaluate

    def on_log(self, _: TrainingArguments, state: TrainerState, __: TrainerControl, logs: Metrics, **___: Any) -> None:
        """Write the line."""
        step = f"step {state.global_step:,}/{state.max_steps:,}"
        if "loss" in logs:
            now, tokens = time.monotonic(), logs["tokens"]
            rate = (tokens - self.last[1]) / max(now - self.last[0], 1e-9)
            self.last, self.stepped = (now, tokens), now
            done = state.global_step - self.start[1]
            left = (now - self.start[0]) / max(done, 1) * (state.max_steps - state.global_step)
            use = f" (MFU {rate / self.tokens_at_peak:.0%})" if self.tokens_at_peak else ""
            line = f"{step} · {self.training(logs)} · {rate:,.0f} tokens/s{use} · {_duration(left)} left"
        elif any(name.startswith("eval_") for name in logs):
            plain = {name.removeprefix("eval_"): value for name, value in logs.items()}
            line = f"{step} · held out: {self.evaluation(plain)}"
        else:
            return
        say(line)


class StopOnInterrupt(TrainerCallback):
    """End the step, save a checkpoint and stop when the user presses Ctrl-C; a second Ctrl-C stops at once."""

    def __init__(self) -> None:
        self.asked = False
        self.group: Any = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take SIGINT within the block (in the main thread, elsewhere Python has no say in signals)."""

        def ask(*_: object) -> None:
            if self.asked:
                raise KeyboardInterrupt
            self.asked = True
            say("Stopping after this step; press Ctrl-C again to stop at once.")

        try:
            before = signal.signal(signal.SIGINT, ask)
        except ValueError:
            yield
            return
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Let several processes tell each other over the CPU, which waits for no GPU to end its step."""
        if torch.distributed.is_initialized():
            self.group = torch.distributed.new_group(backend="gloo")

    def on_step_end(self, _: TrainingArguments, __: TrainerState, control: TrainerControl, **___: Any) -> None:
        """Pass the wish on to the Trainer."""
        if self.group is not None:  # all stop after the same step, whichever of them was asked
            asked = torch.tensor(float(self.asked))
            torch.distributed.all_reduce(asked, group=self.group)
            self.asked = bool(asked)
        if self.asked:
            control.should_save = True
            control.should_training_stop = True

    def on_epoch_end(self, _: TrainingArguments, state: TrainerState, control: TrainerControl, **___: Any) -> None:
        """Keep a model from within an epoch out of the choice of the best: a run that goes on would never see it."""
        if self.asked and state.epoch is not None and not state.epoch.is_integer():
            control.should_evaluate = False


@contextmanager
def keeping_generators() -> Iterator[None]:
    """Put the random generators of Python, numpy and torch back at the end: transformers' Trainer seeds them all."""
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002 - the one that is seeded
    of_gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        torch.set_rng_state(before[2])
        torch.cuda.set_rng_state_all(of_gpus)


def training_arguments(folder: Path, device: torch.device, precision: torch.dtype, **changes: Any) -> TrainingArguments:
    """Fill in what all training here has in common: the paper's optimiser (Ji et al. 2021), no other program's logs."""
    common: dict[str, Any] = {
        "output_dir": str(folder),
        "lr_scheduler_type": "linear",
        "optim": "adamw_torch_fused",
        "weight_decay": 0.01,
        "adam_beta1": 0.9,
        "adam_beta2": 0.98,
        "adam_epsilon": 1e-6,
        "max_grad_norm": 1.0,
        "bf16": precision == torch.bfloat16,
        "use_cpu": device.type == "cpu",
        "dataloader_pin_memory": device.type == "cuda",
        "accelerator_config": {"non_blocking": device.type == "cuda"},  # else each batch waits for the step before it
        "ddp_backend": "gloo" if device.type == "cpu" and processes.count() > 1 else None,
        "ddp_find_unused_parameters": False,
        "logging_nan_inf_filter": False,
        "save_total_limit": 2,
        "remove_unused_columns": False,
        "label_names": ["labels"],
        "disable_tqdm": True,
        "report_to": "none",
    }
    if changes.get("torch_compile"):
        common["tf32"] = False  # else transformers lets float32 products have fewer bits, which heads must not
    with quiet_transformers():
        arguments = TrainingArguments(**(common | changes))
    if arguments.device.type == "cuda":
        arguments._n_gpu = 1  # several GPUs are several processes: a packed batch cannot be cut up among them
    return arguments


def training_device(name: str) -> torch.device:
    """Turn a device's name into the device to train on, which is that of the Trainer.

    Raises
    ------
    InputError
        If it is a CUDA device that is not this process's own.
    """
    device = choose_device(name)
    own = int(os.environ.get("LOCAL_RANK", "0"))
    if device.type == "cuda" and device.index not in (None, own):
        raise InputError(
            f"--device {name}: training takes the GPUs it sees in their order; give --device cuda and set "
            f"CUDA_VISIBLE_DEVICES={device.index}"
        )
    return device


def start_run(
    out: str | os.PathLike[str],
    settings: Mapping[str, Any],
    files: Mapping[str, Sequence[str]],
    resume: bool,
    overwrite: bool,
) -> Path:
    """Claim the output folder of a run and write down its settings and what it reads.

    Parameters
    ----------
    out : path
    settings : mapping
        What the result depends on. A resumed run must have the settings it began with.
    files : mapping of str to sequence of str
        Paths of the files that are read, in full: those of the `data`, those of the `model` it starts from. A resumed
        run must find the content it began with.
    resume : bool
        Go on with the run in `out`.
    overwrite : bool
        Replace the run in `out`.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    InputError
        If the folder is taken, or there is no unfinished run with these settings and files to resume.
    """
    if not processes.is_first():
        return Path(out)
    folder = claim_folder(out, overwrite, resume)
    run = folder / RUN
    if resume:
        if (folder / RECORD).is_file():
            raise InputError(f"{folder}: this run is complete; nothing is left to resume")
        check_settings(folder, {name: settings[name] for name in _PATHS if name in settings})
        check_content(folder, files)  # before the other settings, some of which are read from the files
        check_settings(folder, settings)
        settings = read_run(folder)
        if _CONTENT in settings:
            return folder  # else an earlier version began it, and from here on it is known what is read
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(run) as temporary:
        content = {what: [fingerprint(path) for path in paths] for what, paths in files.items()}
        temporary.write_text(json.dumps(dict(settings) | {_CONTENT: content}, indent=2) + "\n")
    return folder


def read_run(folder: Path) -> dict[str, Any]:
    """Read the settings that a run began with, and the content of what it reads; empty if there is none."""
    path = folder / RUN
    begun: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return begun


def check_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Raise InputError unless `folder` holds a run that began with these settings; it may have others besides."""
    before = read_run(folder)
    if not before:
        raise InputError(f"{folder}: there is no run to resume; leave --resume out to start one")
    shown = changes(before, settings)
    if shown:
        raise InputError(f"{folder}: a run resumes with the settings it began with, but {shown}")


def content_of(folder: Path, what: str) -> list[dict[str, Any]]:
    """List the files of the `data`, or of the `model`, that a run was begun with, as `dnabert.files.fingerprint`.

    Nothing of a run that an earlier version began.
    """
    known: list[dict[str, Any]] = read_run(folder).get(_CONTENT, {}).get(what, [])
    return known


def check_content(folder: Path, files: Mapping[str, Sequence[str]]) -> None:
    """Raise InputError if a file that a run would read now is gone, new or changed since it began.

    Files as in `start_run`.
    """
    for what, paths in files.items():
        known = {entry["path"]: entry["sha256"] for entry in content_of(folder, what)}
        if not known:
            continue  # a run of an earlier version
        for path in sorted(known.keys() | set(paths)):
            if not Path(path).is_file():
                said = "is gone"
            elif path not in known:
                said = "is new"
            elif fingerprint(path)["sha256"] != known[path]:
                said = "has changed"
            else:
                continue
            raise InputError(
                f"{path}: this file of the {what} {said} since the run in {folder} began; put it back as it was, start "
                "anew with --overwrite, or name a new --out"
            )


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Say which of the settings that are given now were other ones before; nothing if none."""
    changed = [name for name in now if now[name] != before.get(name)]
    return ", ".join(f"{name} was {before.get(name)}, is {now[name]}" for name in changed)


def recompute_activations(model: transformers.PreTrainedModel) -> None:
    """Make all layers but the last keep their inputs alone and compute the rest again on the way back."""
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable()
    else:  # the name it had
        model.gradient_checkpointing_enable({"use_reentrant": False})


def train_to_end(trainer: PackedTrainer, folder: Path, stop: StopOnInterrupt, resume: bool) -> bool:
    """Train, from the last checkpoint where the run is resumed. Return False if the user interrupted it.

    Raises
    ------
    InputError
        If a loader process ended before its time.
    """
    last = last_checkpoint(folder) if resume else None
    try:
        with stop.listening(), quiet_transformers(), exact_float32(trainer.args.device):
            trainer.train(resume_from_checkpoint=str(last) if last else None)
    except RuntimeError as error:  # torch raises it wherever the main process is when a loader ends
        reason = str(error).partition("\n")[0]
        if not reason.startswith(_LOADER):
            raise
        raise InputError(
            f"{folder}: a loader process ended ({reason}); go on with the same command and --resume, with fewer "
            "--workers if memory ran short"
        ) from error
    finally:
        trainer.graphs = None  # their memory, and what holds the trainer
    return not stop.asked


def check_rate(rate: float | None) -> None:
    """Raise InputError unless a peak learning rate, where one is given, is above 0."""
    if rate is not None and not 0 < rate < math.inf:
        raise InputError(f"--learning-rate {rate:g}: a number above 0 is required")


def write_log(log: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Write the log of a run."""
    with replacing_files(folder) as temporary:
        lines = (json.dumps(entry) for entry in log)
        (temporary / LOG).write_text("\n".join(lines) + "\n")


def delete_checkpoints(folder: Path) -> None:
    """Delete the checkpoints of a finished run."""
    for leftover in folder.glob("checkpoint-*"):
        shutil.rmtree(leftover)


def last_checkpoint(folder: Path) -> Path | None:
    """Find the newest complete checkpoint of a run: the one with the most steps whose state, written last, is whole."""
    complete = [path for path in folder.glob("checkpoint-*") if _is_json(path / "trainer_state.json")]
    return max(complete, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def _is_json(path: Path) -> bool:
    """Say whether a file is there and was written to its end."""
    try:
        json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return True


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
