"""The command as users meet it: help, speed, bad input, and the README's own lines."""

import gzip
import json
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import random_dna, run_command, tiny_model, write_fasta

ROOT = Path(__file__).parents[2]
COMMANDS = ("simulate", "pretrain", "finetune", "evaluate", "predict")
Refused = Callable[..., str]


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    text = run_command("--help").stdout
    assert all(name in text for name in (*COMMANDS, "explain", "motifs", "variants", "negatives", "check-leakage"))
    for arguments in (["--help"], ["pretrain", "--help"]):
        code = f"import sys; sys.argv = ['dnabert', *{arguments}]\nfrom dnabert.cli import main\n"
        heavy = {"torch", "transformers", "numba", "numpy", "pyarrow"}
        code += f"try: main()\nexcept SystemExit: pass\nprint({heavy} & set(sys.modules))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "set()"


def test_help_is_quick() -> None:
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", "from dnabert.cli import main; main()", "--help"], check=True)
        seconds.append(time.perf_counter() - start)
    # the claim of 0.3 s is measured in benchmarks/; here only a gross fault (a heavy import) fails
    assert statistics.median(seconds) < 2


def test_the_version_is_printed() -> None:
    assert re.fullmatch(r"dnabert \d+\.\d+\.\d+", run_command("--version").stdout.strip())


def test_the_command_reference_is_what_the_command_says() -> None:
    done = subprocess.run([sys.executable, ROOT / "docs/commands.py", "--check"], check=False)
    assert done.returncode == 0, "docs/commands.md is out of date: run python docs/commands.py"


@pytest.fixture
def genome(tmp_path: Path, rng: np.random.Generator) -> Path:
    return write_fasta(tmp_path / "genome.fa", {"chrI": random_dna(3000, rng), "chrXIV": random_dna(3000, rng)})


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "model", "classification", labels=("0", "1"))


def pretrain(refused: Refused, tmp_path: Path, *arguments: object) -> str:
    return refused("pretrain", *arguments, "--out", tmp_path / "out")


CUT = gzip.compress(b">a\n" + b"ACGTTGCATCGA" * 99, mtime=0)[:40]
"""Without the time, so that every process of the suite names the case alike."""


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.fa", None, r"none.fa: no such FASTA file"),
        ("empty.fa", b"", r"empty.fa: this FASTA file is empty"),
        ("plain.fa", b"ACGT\n", r"plain.fa line 1: a FASTA file starts with a '>' header"),
        ("protein.fa", b">p1\nMKVLE\n", r"protein.fa line 2, contig p1: 'L' is not a nucleotide letter"),
        ("digits.fa", b">d\nACGT\nAC9T\n", r"digits.fa line 3, contig d: '9' is not a nucleotide letter"),
        ("twice.fa", b">a\nACGT\n>a\nACGT\n", r"twice.fa: the contig name 'a' stands twice"),
        ("cut.fa.gz", CUT, r"cut.fa.gz: the gzip file is truncated"),
    ],
)
def test_bad_genomes(name: str, content: bytes | None, message: str, refused: Refused, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert re.search(message, pretrain(refused, tmp_path, tmp_path / name))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,label\na,1\n", r"t.csv: a column 'sequence', or the columns 'chrom', 'start', 'end' are required"),
        ("sequence,label\nACGTACGT,1\nACGTACGT\n", r"t.csv line 3: 2 columns are required"),
        ("sequence,label\nACGTACGT,1\n,0\n", r"t.csv line 3: the sequence is empty"),
        ("sequence,label\nACGTACGT,1\nACG,0\n", r"t.csv line 3: the sequence has 3 bases, at least 4"),
        ("sequence,label\nACGTACGT,1\nACGTACGT,no\n", r"t.csv line \d: label '\w+' is a \w+, other labels are not"),
        ("sequence,label\nACGTACGT,1\nACGTACGT,1\n", r"t.csv: all 2 rows have the label '1'; two classes"),
        ("sequence,label\nACGTACGT,0\n" + "ACGT" * 200 + ",1\n", r"800 bases, this model takes at most 513"),
        ("chrom,start,end,label\nchr14,0,50,1\nchrI,0,50,0\n", r"t.csv line 2: .*no contig 'chr14'; .* chrI, chrXIV"),
        ("chrom,start,end,label\nchrI,0,50,1\nchrI,2990,3010,0\n", r"t.csv line 3: chrI:2990-3010 .* 3,000 bases"),
    ],
)
def test_bad_tables(content: str, message: str, refused: Refused, genome: Path, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(content)
    (tmp_path / "data").mkdir()
    for name in ("train", "dev"):
        shutil.copyfile(path, tmp_path / "data" / f"{name}.csv")
    line = refused("finetune", tmp_path / "data", "--model", model, "--out", tmp_path / "out", "--genome", genome)
    assert re.search(message.replace("t.csv", "train.csv"), line), line


def test_bad_tables_to_predict(refused: Refused, model: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("sequence\nACGTACGT\nACG\n")
    line = refused("predict", model, tmp_path / "t.csv", "--out", tmp_path / "p.tsv")
    assert "t.csv line 3: the sequence has 3 bases, at least 4 are needed" in line
    line = refused("predict", model, tmp_path / "none.csv", "--out", tmp_path / "p.tsv")
    assert "none.csv: no such table or FASTA file" in line
    line = refused("predict", model, tmp_path / "t.csv", "--out", tmp_path / "p.xlsx")
    assert "tables are written as .tsv, .csv or .parquet" in line
    line = refused("predict", tmp_path / "nowhere", tmp_path / "t.csv", "--out", tmp_path / "p.tsv")
    assert "nowhere: no such model directory" in line
    line = refused("predict", tiny_model(tmp_path / "pre"), tmp_path / "t.csv", "--out", tmp_path / "p.tsv")
    assert "run 'dnabert finetune' on it first" in line


def test_bad_labels_to_evaluate(refused: Refused, model: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("sequence,label\nACGTACGT,0\nACGTACGT,7\n")
    assert "t.csv line 3: label '7' is none of the classes (0, 1)" in refused("evaluate", model, tmp_path / "t.csv")


def test_a_model_that_does_not_fit_its_k(refused: Refused, model: Path, tmp_path: Path) -> None:
    record = (model / "dnabert.json").read_text()
    (model / "dnabert.json").write_text(record.replace('"k": 4', '"k": 6'))
    (tmp_path / "t.csv").write_text("sequence\nACGTACGT\n")
    line = refused("predict", model, tmp_path / "t.csv", "--out", tmp_path / "p.tsv")
    assert "dnabert.json says k=6 (4101 tokens), but the vocabulary has 261 tokens (k=4)" in line


def test_an_output_folder_that_holds_a_run(refused: Refused, genome: Path, model: Path) -> None:
    line = refused("pretrain", genome, "--out", model)
    assert "already holds a run; name another --out, or give --overwrite" in line


def test_all_baselines_and_one_of_them_are_not_asked_for_together(
    refused: Refused, model: Path, tmp_path: Path
) -> None:
    for command in ("finetune", "benchmark"):
        options = ("--model", model, "--out", tmp_path / "out", "--baselines", "--baseline", "knn")
        line = refused(command, tmp_path, *options)
        assert "--baseline knn: --baselines trains all of them; leave one of the two out" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("finetune", "x", "--epochs", 0, "--model", "m"), r"'--epochs': .*1; see '.* finetune --help'$"),
        (("benchmark", "x", "--learning-rate", "nan", "--model", "m"), r"'--learning-rate': .*0; see '.*'$"),
        (("finetune", "x"), r"Missing option '--model'; see '.* finetune --help'$"),
        (("pretrain", "x", "--nonsense"), r"No such option: --nonsense.*; see '.* pretrain --help'$"),
        (("pretrain", "x", "--steps"), r"Option '--steps' requires an argument; see '.* --help'$"),
        (("nonsense",), r"No such command 'nonsense'; see '\S+ --help'$"),
    ],
)
def test_options_that_cannot_be_read(arguments: tuple[object, ...], message: str, refused: Refused) -> None:
    assert re.search(message, refused(*arguments))


def test_a_command_without_arguments_shows_its_help() -> None:
    for arguments in ((), ("finetune",)):
        assert run_command(*arguments, expect=2).stderr == run_command(*arguments, "--help").stdout


def test_lora_passes_on_no_warning_of_its_library(model: Path, rng: np.random.Generator) -> None:
    folder = model.parent
    (folder / "t.csv").write_text(
        "\n".join(["sequence,label", *(f"{random_dna(20, rng)},{i % 2}" for i in range(40))]) + "\n"
    )
    options = ("--split", "0.6,0.2,0.2", "--method", "lora", "--epochs", 1, "--device", "cpu")
    done = run_command("finetune", "t.csv", "--model", model.name, "--out", "out", *options, cwd=folder)
    assert "UserWarning" not in done.stderr
    config = json.loads((folder / "out/adapter/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(model)


def test_a_full_disk_keeps_the_old_predictions(model: Path, tmp_path: Path) -> None:
    """Let the process write no file over 64 KB, as a full disk would, and look at what is left."""
    (tmp_path / "t.csv").write_text("id,sequence\n" + "".join(f"row{i},ACGTACGTAC\n" for i in range(9000)))
    out = tmp_path / "p.tsv"
    out.write_text("old\n")
    code = (
        "import resource, signal, sys\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))\n"
        f"sys.argv = ['dnabert', 'predict', {str(model)!r}, {str(tmp_path / 't.csv')!r}, '--out', {str(out)!r}]\n"
        "from dnabert.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert re.fullmatch(
        r"dnabert: error: .*p.tsv: writing failed \(.*\); what was there before is untouched.*\n", done.stderr
    )
    assert out.read_text() == "old\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "p.tsv", "t.csv"]


def commands_of(page: str) -> list[str]:
    """List the `dnabert` lines of a page's `sh` blocks, without comments; `bash` blocks need files of the user's."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)
    lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("dnabert ")]


def test_the_commands_of_the_first_pages_run(tmp_path: Path) -> None:
    """Run them as they stand, in order, only shorter; then what the pages do with the model in Python."""
    shorter = {
        "pretrain": ["--steps", "4", "--max-length", "60", "--batch-tokens", "256", "--holdout", "0.001"],
        "finetune": ["--epochs", "1", "--batch-size", "100"],
    }
    pages = ("README.md", "docs/quickstart.md")
    commands = commands_of(pages[0])
    assert commands_of(pages[1]) == commands
    assert [line.split()[1] for line in commands] == list(COMMANDS)
    for line in commands:
        words = line.split()[1:]
        run_command(*words, *shorter.get(words[0], []), cwd=tmp_path)
        if words[0] == "simulate":
            for table in (tmp_path / "data/ctcf").glob("*.tsv"):
                table.write_text("".join(table.read_text().splitlines(keepends=True)[:61]))
    assert (tmp_path / "predictions.tsv").read_text().count("\n") == 61
    for page in pages:
        blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)
        done = subprocess.run(
            [sys.executable, "-c", blocks[0]], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
