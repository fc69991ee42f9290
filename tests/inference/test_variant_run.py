"""Files in, files out: whatever holds the variants, and whatever happens on the way."""

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pysam
import pytest

import dnabert
from dnabert.errors import InputError
from dnabert.inference import variant_run, variants
from dnabert.inference.variant_run import score_variants
from dnabert.model import device as devices
from dnabert.sequence import tables
from tests.conftest import random_dna, tiny_model, write_fasta

HEADER = (
    '##fileformat=VCFv4.2\n##FILTER=<ID=q10,Description="low">\n##INFO=<ID=AF,Number=A,Type=Float,Description="f">\n'
    '##FORMAT=<ID=GT,Number=1,Type=String,Description="g">\n##contig=<ID=chr1>\n##contig=<ID=chr2>\n'
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tS1\tS2\n"
)


@pytest.fixture
def contigs(rng: np.random.Generator) -> dict[str, str]:
    return {"chr1": random_dna(600, rng), "chr2": random_dna(200, rng)}


@pytest.fixture
def genome(contigs: dict[str, str], tmp_path: Path) -> Path:
    return write_fasta(tmp_path / "genome.fa", contigs)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "model")


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    return tiny_model(tmp_path / "classifier", "classification", labels=("0", "1"))


def other(base: str) -> str:
    return "ACGT"[("ACGT".index(base) + 1) % 4]


def vcf_text(contigs: dict[str, str]) -> str:
    """Records of every kind, with numbers that htslib would write anew, and tags that no header line declares."""
    one = contigs["chr1"]
    alts = f"{other(one[99])},{other(other(one[99]))}"
    lines = [
        f"chr1\t100\trs1\t{one[99]}\t{alts}\t100.0\tPASS\tAF=0.10,1e-3;ODD=x y\tGT:XX\t0|1:3\t1/1:.",
        f"chr1\t101\t.\t{one[100:103]}\t{one[100]}\t.\tq10;odd\t.\tGT\t./.\t0|0",
        f"chr1\t110\t.\t{one[109]}\t<DEL>,{one[109]}TT,*\t5\t.\tAF=0.5\tGT\t0|1\t0|0",
        f"chr1\t120\t.\t{one[119]}\t{one[119]}[chr2:9[\t.\t.\t.\tGT\t0|1\t0|0",
        f"chr1\t130\t.\t{one[129]}\t.\t.\t.\tAF=.\tGT\t0|0\t0|0",
        f"chr1\t200\t.\t{other(one[199])}\t{one[199]}\t.\t.\t.\tGT\t0|1\t0|0",
        f"chr2\t199\t.\t{contigs['chr2'][198:200]}\tA\t.\t.\t.\tGT\t0|1\t0|0",
        "chr2\t201\t.\tA\tC\t.\t.\t.\tGT\t0|1\t0|0",
    ]
    return HEADER + "\n".join(lines) + "\n"


@pytest.fixture
def vcf(contigs: dict[str, str], tmp_path: Path) -> Path:
    path = tmp_path / "in.vcf"
    path.write_text(vcf_text(contigs))
    return path


def declared(text: str) -> str:
    """Without tags that the header does not declare: BCF refuses those."""
    return text.replace(";ODD=x y", "").replace(":XX", "").replace("0|1:3", "0|1").replace("1/1:.", "1/1").replace(
        "q10;odd", "q10"
    )  # fmt: skip


def test_alleles_are_compared_in_float32(
    vcf: Path,
    genome: Path,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(devices, "_has_bfloat16", lambda _: True)
    dnabert.score_variants(model, vcf, tmp_path / "out.vcf", genome=genome, window=41, device="cpu")
    assert "on cpu in float32" in capsys.readouterr().err


def test_records_of_a_vcf_stay_as_they_are(vcf: Path, genome: Path, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.vcf"
    summary = dnabert.score_variants(model, vcf, out, genome=genome, window=41)
    before = [line.split("\t") for line in vcf.read_text().splitlines() if not line.startswith("##")]
    after = [line.split("\t") for line in out.read_text().splitlines() if not line.startswith("##")]
    assert [line[:7] + line[8:] for line in after] == [line[:7] + line[8:] for line in before]
    for old, new in zip(before[1:], after[1:], strict=True):
        assert new[7] == old[7] or new[7].startswith("" if old[7] == "." else old[7] + ";")
    assert "ODD=x y;DNABERT_LLR=" in after[1][7]
    assert after[5][7] == "AF=."
    assert after[3][7].split("DNABERT_")[1].startswith("LLR=.,")
    assert after[3][7].endswith("DNABERT_FLAGS=symbolic,.,spanning_deletion")
    head = [line for line in out.read_text().splitlines() if line.startswith("##")]
    assert [line for line in head if "DNABERT_LLR" in line] == [
        "##INFO=<ID=DNABERT_LLR,Number=A,Type=Float,Description="
        '"log-likelihood ratio of the alternative to the reference allele (nats), bases hidden">'
    ]
    assert (summary.records, summary.alleles, summary.scored) == (8, 11, 6)
    assert summary.not_scored == {
        "symbolic": 1, "spanning_deletion": 1, "breakend": 1, "no_alt": 1, "outside_contig": 1,
    }  # fmt: skip
    assert summary.flagged == {"ref_mismatch": 1, "contig_end": 1}
    with pysam.VariantFile(str(out)) as file:
        assert len(next(file).info["DNABERT_LLR"]) == 2
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("suffix", [".vcf.gz", ".bcf"])
def test_compressed_output_has_an_index(
    suffix: str, contigs: dict[str, str], genome: Path, model: Path, tmp_path: Path
) -> None:
    path, out = tmp_path / "in.vcf.gz", tmp_path / f"out{suffix}"
    plain = tmp_path / "plain.vcf"
    plain.write_text(declared(vcf_text(contigs)))
    pysam.tabix_compress(str(plain), str(path))
    score_variants(model, path, out, genome=genome, window=41)
    with pysam.VariantFile(str(out)) as file:
        assert [record.pos for record in file.fetch("chr2")] == [199, 201]
    # and what was BCF or bgzip is read again; scores of before are replaced
    again = tmp_path / "again.vcf"
    score_variants(model, out, again, genome=genome, window=61)
    assert again.read_text().count("##INFO=<ID=DNABERT_LLR,") == 1
    rows = [line for line in again.read_text().splitlines() if not line.startswith("#")]
    assert all(row.count("DNABERT_LLR=") <= 1 for row in rows)
    expected = tmp_path / "expected.vcf"
    score_variants(model, plain, expected, genome=genome, window=61)

    def scores(file: Path) -> list[str]:
        return [line.split("DNABERT_LLR=")[-1] for line in file.read_text().splitlines() if "\tGT" in line]

    assert scores(again) == scores(expected)


def test_bcf_says_what_it_cannot_hold(vcf: Path, genome: Path, model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"out.bcf: htslib does not write this as BCF: .* and give --resume"):
        score_variants(model, vcf, tmp_path / "out.bcf", genome=genome, window=41)
    assert not (tmp_path / "out.bcf").exists()


def test_tables_hold_a_row_an_allele(vcf: Path, genome: Path, classifier: Path, tmp_path: Path) -> None:
    score_variants(classifier, vcf, tmp_path / "out.parquet", genome=genome, window=41)
    score_variants(classifier, vcf, tmp_path / "out.tsv", genome=genome, window=41)
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    assert table.num_rows == 11
    assert table.column_names == [
        "chrom", "pos", "id", "ref", "alt", "flags", "p_ref", "p_alt", "difference", "score", "log_odds",
    ]  # fmt: skip
    assert table["p_ref"].null_count == 5
    lines = (tmp_path / "out.tsv").read_text().splitlines()
    assert lines[0].split("\t") == table.column_names
    assert [line.split("\t")[5] for line in lines[1:]] == [flag or "" for flag in table["flags"].to_pylist()]


def test_every_source_gives_the_same_scores(
    contigs: dict[str, str], genome: Path, classifier: Path, tmp_path: Path
) -> None:
    """A region, a BED file, a VCF, tables and the original's file name the same substitutions."""
    first, end = 300, 304
    listed = [
        (at, contigs["chr1"][at], alt) for at in range(first, end) for alt in "ACGT" if alt != contigs["chr1"][at]
    ]
    (tmp_path / "r.bed").write_text(f"track x\nchr1\t{first}\t{end}\tname\n")
    (tmp_path / "v.tsv").write_text(
        "chrom\tpos\tref\talt\textra\n" + "".join(f"chr1\t{at + 1}\t{r}\t{a}\te\n" for at, r, a in listed)
    )
    with gzip.open(tmp_path / "v.csv.gz", "wt") as text:
        text.write("Chrom,Pos,Ref,Alt\n" + "".join(f"chr1,{at + 1},{r},{a}\n" for at, r, a in listed))
    (tmp_path / "v.vcf").write_text(
        "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        + "".join(f"chr1\t{at + 1}\t.\t{r}\t{a}\t.\t.\t.\n" for at, r, a in listed)
    )
    (tmp_path / "s.tsv").write_text("name\tsequence\n" + "".join(f"{n}\t{s}\n" for n, s in contigs.items()))
    (tmp_path / "index.txt").write_text("".join(f"0\t{at}\t{at + 1}\t{a}\n" for at, _, a in listed))
    (tmp_path / "own.tsv").write_text(
        "sequence\tpos\tref\talt\n" + "".join(f"{contigs['chr1']}\t{at + 1}\t{r}\t{a}\n" for at, r, a in listed)
    )
    sources: list[tuple[str | None, dict[str, Any]]] = [
        (None, {"genome": genome, "saturation": f"chr1:{first}-{end}"}),
        (None, {"genome": genome, "saturation": str(tmp_path / "r.bed")}),
        (None, {"sequences": tmp_path / "s.tsv", "saturation": f"chr1:{first}-{end}"}),
        ("v.tsv", {"genome": genome}),
        ("v.csv.gz", {"sequences": tmp_path / "s.tsv"}),
        ("v.vcf", {"genome": genome}),
        ("index.txt", {"sequences": tmp_path / "s.tsv"}),
        ("own.tsv", {}),
    ]
    found = []
    for name, options in sources:
        out = tmp_path / "out.parquet"
        path = None if name is None else tmp_path / name
        summary = score_variants(classifier, path, out, window=51, **options)
        assert summary.scored == 12
        table = pyarrow.parquet.read_table(out)
        found.append(np.stack([table[column].to_numpy() for column in ("p_ref", "p_alt", "log_odds")]))
        if name == "v.tsv":
            assert table["extra"].to_pylist() == ["e"] * 12
    for one in found[1:]:
        np.testing.assert_allclose(one, found[0], atol=1e-6)


def test_the_originals_file_takes_empty_alleles_and_insertions(classifier: Path, tmp_path: Path) -> None:
    sequence = "ACGTTGCAACGTATGCCATGACCA"
    (tmp_path / "s.tsv").write_text(f"sequence\tlabel\n{' '.join(sequence[i : i + 4] for i in range(21))}\t1\n")
    (tmp_path / "m.txt").write_text("0\t3\t5\t\n0\t6\t6\tGG\n0\t2\t4\tA\n")
    score_variants(classifier, tmp_path / "m.txt", tmp_path / "out.tsv", sequences=tmp_path / "s.tsv", strand="both")
    rows = [line.split("\t") for line in (tmp_path / "out.tsv").read_text().splitlines()]
    assert rows[0][:6] == ["index", "start", "end", "ref", "allele", "flags"]
    got = [float(row[7]) for row in rows[1:]]
    model = dnabert.load(classifier, precision="float32")
    mutated = [
        sequence[:3] + sequence[5:],
        (sequence[:6] + "GG" + sequence[6:])[:24],
        sequence[:2] + "A" + sequence[4:],
    ]
    for value, text in zip(got, mutated, strict=True):
        logits = model.predict([text, text[::-1].translate(str.maketrans("ACGT", "TGCA"))]).logits.mean(axis=0)
        assert value == pytest.approx(1 / (1 + np.exp(logits[0] - logits[1])), abs=1e-5)


def test_strands_are_read_as_in_training(genome: Path, classifier: Path, model: Path, tmp_path: Path) -> None:
    def scores(folder: Path, strand: str | None) -> list[str]:
        options: dict[str, Any] = {"genome": genome, "saturation": "chr1:5-6", "window": 41, "strand": strand}
        score_variants(folder, None, tmp_path / "out.tsv", **options)
        return (tmp_path / "out.tsv").read_text().splitlines()

    assert scores(classifier, None) == scores(classifier, "+") != scores(classifier, "both")
    config = json.loads((classifier / "config.json").read_text())
    (classifier / "config.json").write_text(json.dumps(config | {"strand": "both"}))
    assert scores(classifier, None) == scores(classifier, "both")
    assert scores(model, None) == scores(model, "both")


def test_the_length_of_fine_tuning_is_the_window(
    genome: Path, classifier: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="does not say how long the sequences were"):
        score_variants(classifier, None, tmp_path / "out.tsv", genome=genome, saturation="chr1:5-6")
    config = json.loads((classifier / "config.json").read_text())
    (classifier / "config.json").write_text(json.dumps(config | {"bases": 70}))
    score_variants(classifier, None, tmp_path / "out.tsv", genome=genome, saturation="chr1:5-6")
    score_variants(model, None, tmp_path / "out.tsv", genome=genome, saturation="chr1:5-6")
    said = capsys.readouterr().err
    assert "windows of 70 bases" in said
    assert "windows of 201 bases" in said


def long_vcf(path: Path, contigs: dict[str, str], records: int) -> Path:
    with path.open("w") as out:
        out.write("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n")
        for i in range(records):
            at = 50 + i * 500 // records
            base = contigs["chr1"][at]
            out.write(f"chr1\t{at + 1}\tv{i}\t{base}\t{other(base)}\t.\t.\t.\n")
    return path


def test_an_interrupted_run_resumes_without_rescoring(
    contigs: dict[str, str], genome: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variant_run, "CHUNK", 20)
    path, out, whole = long_vcf(tmp_path / "v.vcf", contigs, 100), tmp_path / "out.vcf.gz", tmp_path / "whole.vcf.gz"
    options: dict[str, Any] = {"genome": genome, "window": 41}
    all_windows = score_variants(model, path, whole, **options).windows
    real, calls = variants.score, []

    def interrupted(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(variants, "score", interrupted)
    with pytest.raises(KeyboardInterrupt):
        score_variants(model, path, out, **options)
    assert not out.exists()
    monkeypatch.setattr(variants, "score", real)
    with pytest.raises(InputError, match="the interrupted run had other window \\(41, not 51\\); give the same"):
        score_variants(model, path, out, resume=True, genome=genome, window=51)
    summary = score_variants(model, path, out, resume=True, **options)
    assert summary.windows == all_windows * 2 // 5
    assert summary.scored == 100
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(p.name for p in tmp_path.glob("*out*")) == ["out.vcf.gz", "out.vcf.gz.tbi"]
    assert not list(tmp_path.glob(".*"))


def test_what_an_interrupted_run_left_is_not_lost_without_a_word(
    contigs: dict[str, str], genome: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = long_vcf(tmp_path / "v.vcf", contigs, 10), tmp_path / "out.tsv"
    parts = tmp_path / ".out.parts"
    parts.mkdir()
    (parts / "run.json").write_text("{}")
    (parts / "000000.arrow").write_text("of another run")
    with pytest.raises(InputError, match="another run to this file was interrupted, or is still under way"):
        score_variants(model, path, out, genome=genome, window=41)
    shutil.rmtree(parts)
    assert score_variants(model, path, out, genome=genome, window=41).scored == 10
    score_variants(model, path, out, genome=genome, window=41, resume=True)
    assert "Nothing is left of an interrupted run" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="kills a process the POSIX way")
def test_a_killed_process_resumes(contigs: dict[str, str], genome: Path, model: Path, tmp_path: Path) -> None:
    path, out = long_vcf(tmp_path / "v.vcf", contigs, 400), tmp_path / "out.tsv"
    code = (
        "from dnabert.inference import variant_run\nvariant_run.CHUNK = 5\nfrom dnabert.cli import main\n"
        "import sys\nsys.argv = ['dnabert', *sys.argv[1:]]\nmain()"
    )
    words = ["variants", model, path, "--genome", genome, "--out", out, "--window", 201]
    command = [sys.executable, "-c", code, *map(str, words)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}  # as this process: sums depend on threads in their last bits
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    parts = tmp_path / ".out.parts"
    for _ in range(3000):
        if len(list(parts.glob("*.arrow"))) >= 2 or process.poll() is not None:
            break
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {file.name: file.stat().st_mtime_ns for file in parts.glob("*.arrow")}
    assert 2 <= len(kept) < 80
    assert not out.exists()
    shutil.copytree(parts, tmp_path / "copy")
    done = subprocess.run([*command, "--resume"], capture_output=True, text=True, check=True, env=environment)
    assert "scored" in done.stdout
    assert out.read_text().count("\n") == 401
    assert not parts.exists()
    alone = tmp_path / "alone.tsv"
    score_variants(model, path, alone, genome=genome, window=201)
    assert alone.read_text() == out.read_text()


BAD_VCFS = {
    "none.vcf": (None, "none.vcf: no such file of variants"),
    "empty.vcf": (b"", "empty.vcf: this file of variants is empty"),
    "headless.vcf": (
        b"chr1\t5\t.\tA\tC\t.\t.\t.\n",
        "headless.vcf: cannot be read as VCF or BCF; is it one, with its h",
    ),
    "text.vcf": (b"hello\n", "text.vcf: cannot be read as VCF or BCF"),
    "cut.vcf": (HEADER.encode() + b"chr1\t5\t.\tA\n", r"cut.vcf: record 1 cannot be read \(.*\); is the file whole"),
    "plain.vcf.gz": (gzip.compress(HEADER.encode()), "plain.vcf.gz: this is gzip; VCF is compressed with bgzip"),
    "20.vcf": (
        HEADER.replace("chr1", "1").encode() + b"1\t5\t.\tA\tC\t.\t.\t.\tGT\t.\t.\n",
        r"20.vcf: genome.fa: there is no contig '1'; this genome has chr1, chr2; did you mean 'chr1'\?",
    ),
    "hs.vcf": (
        HEADER.encode() + b"hs37\t5\t.\tA\tC\t.\t.\t.\tGT\t.\t.\n",
        "hs.vcf: genome.fa: there is no contig 'hs37'",
    ),
}


@pytest.mark.parametrize("name", BAD_VCFS)
def test_bad_vcfs(name: str, genome: Path, model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    content, message = BAD_VCFS[name]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=message):
        score_variants(model, tmp_path / name, tmp_path / "out.tsv", genome=genome)
    assert sorted(tmp_path.rglob("*")) == before
    assert "[E::" not in capfd.readouterr().err


def test_a_bgzip_file_without_its_end(contigs: dict[str, str], genome: Path, model: Path, tmp_path: Path) -> None:
    plain, path = long_vcf(tmp_path / "v.vcf", contigs, 50), tmp_path / "v.vcf.gz"
    pysam.tabix_compress(str(plain), str(path))
    path.write_bytes(path.read_bytes()[:-28])
    with pytest.raises(InputError, match=r"v.vcf.gz: the bgzip file is truncated"):
        score_variants(model, path, tmp_path / "out.tsv", genome=genome)


def test_one_contig_that_is_missing_is_flagged(
    vcf: Path, genome: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vcf.write_text(vcf.read_text() + "hs37d5\t5\t.\tA\tC\t.\t.\t.\tGT\t0|1\t0|0\n")
    summary = score_variants(model, vcf, tmp_path / "out.vcf", genome=genome, window=41)
    assert summary.not_scored["unknown_contig"] == 1
    assert "genome.fa has no contig hs37d5: variants on it are kept and not scored" in capsys.readouterr().err


def test_a_file_of_many_contigs_on_a_genome_of_some(
    vcf: Path, genome: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vcf.write_text(declared(vcf.read_text()) + "chr11\t600000000\t.\tA\tC\t.\t.\t.\tGT\t0|1\t0|0\n")
    summary = score_variants(model, vcf, tmp_path / "out.vcf.gz", genome=genome, window=41)
    assert summary.not_scored["unknown_contig"] == 1
    assert "genome.fa has no contig chr11" in capsys.readouterr().err
    assert (tmp_path / "out.vcf.gz.csi").is_file()  # no .tbi holds that position
    vcf.write_text(vcf.read_text().replace("chr11", "1"))
    with pytest.raises(InputError, match=r"there is no contig '1'.*did you mean 'chr1'"):
        score_variants(model, vcf, tmp_path / "other.vcf", genome=genome, window=41)


def test_a_damaged_bgzip_file(contigs: dict[str, str], genome: Path, model: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    plain, path = tmp_path / "v.vcf", tmp_path / "v.vcf.gz"
    base = contigs["chr1"][99]
    plain.write_text(
        HEADER
        + "".join(
            f"chr1\t100\tr{rng.integers(1 << 60)}\t{base}\t{other(base)}\t.\t.\t.\tGT\t0|1\t0|0\n" for _ in range(6000)
        )
    )
    pysam.tabix_compress(str(plain), str(path))
    content = bytearray(path.read_bytes())
    content[-200] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"v.vcf.gz: record [\d,]+ cannot be read"):
        score_variants(model, path, tmp_path / "out.tsv", genome=genome, window=21)


def test_intervals_called_like_a_score_are_refused(vcf: Path, genome: Path, model: Path, tmp_path: Path) -> None:
    for name, whose in (("llr", "--annotate llr.bed"), ("pos", "in.vcf")):
        (tmp_path / f"{name}.bed").write_text("chr1\t1\t9\tx\n")
        with pytest.raises(InputError, match=f"{whose}: the output has a column '{name}' of its own"):
            score_variants(model, vcf, tmp_path / "out.tsv", genome=genome, annotate=[tmp_path / f"{name}.bed"])


def test_sequences_of_their_own_are_no_contigs_that_end(
    contigs: dict[str, str], classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    element = contigs["chr2"]
    (tmp_path / "own.tsv").write_text(f"sequence\tpos\tref\talt\n{element}\t10\t{element[9]}\t{other(element[9])}\n")
    config = json.loads((classifier / "config.json").read_text())
    assert score_variants(classifier, tmp_path / "own.tsv", tmp_path / "out.tsv").flagged == {}
    (classifier / "config.json").write_text(json.dumps(config | {"bases": 70}))
    assert score_variants(classifier, tmp_path / "own.tsv", tmp_path / "out.tsv").flagged == {}
    said = capsys.readouterr().err
    assert "windows of 200 bases" in said  # as long as it is, where the model does not say what it was trained on
    assert "windows of 70 bases" in said


def test_intervals_that_are_left_out_are_said(
    genome: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "r.bed").write_text("chr1\t5\t6\nchr9\t5\t6\n")
    score_variants(model, None, tmp_path / "out.tsv", genome=genome, saturation=str(tmp_path / "r.bed"), window=41)
    assert "1 intervals on contigs that genome.fa lacks are left out" in capsys.readouterr().err


def test_unsorted_records_are_said_once_and_not_indexed(
    vcf: Path, genome: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = vcf.read_text().splitlines(keepends=True)
    head, records = lines[:7], lines[7:]
    vcf.write_text("".join(head + records[::-1]))
    score_variants(model, vcf, tmp_path / "out.vcf.gz", genome=genome, window=41)
    assert capsys.readouterr().err.count("is not sorted") == 1
    assert not (tmp_path / "out.vcf.gz.tbi").exists()
    with gzip.open(tmp_path / "out.vcf.gz", "rt") as text:
        rows = [line.split("\t")[1] for line in text if not line.startswith("#")]
    assert rows == [line.split("\t")[1] for line in records[::-1]]


def test_strict_refuses_before_anything_is_scored(vcf: Path, genome: Path, model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"REF of 1 alleles disagrees with genome.fa, the first is chr1:200 .>.; is"):
        score_variants(model, vcf, tmp_path / "out.tsv", genome=genome, window=41, strict=True)
    assert not list(tmp_path.glob("*out*"))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "v.tsv",
            "chrom\tpos\tref\nchr1\t5\tA\n",
            "v.tsv: a table of variants has the columns chrom, pos, ref and alt",
        ),
        ("v.tsv", "chrom\tpos\tref\talt\nchr1\tx\tA\tC\n", "v.tsv: 'pos' must be a whole number, in row 1 it is 'x'"),
        ("v.tsv", "chrom\tpos\tref\talt\nchr1\t5\tA\n", "v.tsv line 2: 4 columns are required"),
        ("v.tsv", "0\t5\t6\tA\n", "v.tsv: indices refer to a table of sequences; name it with --sequences"),
        ("v.tsv", "chrom\tpos\tref\talt\n7\t5\tA\tC\n", "v.tsv: genome.fa: there is no contig '7'"),
        ("v.xlsx", "nothing", "v.xlsx: variants are read from .vcf, .vcf.gz"),
        ("v.tsv", "chr1\t5\tA\tC\n", "v.tsv: a table of variants has the columns chrom, pos, ref and alt"),
        ("v.tsv", "chrom\tpos\tref\talt\tllr\nchr1\t5\tA\tC\t1\n", "the output has a column 'llr' of its own; rename"),
        ("out.tsv", "chrom\tpos\tref\talt\nchr1\t5\tA\tC\n", "out.tsv: this is an input; name another --out"),
    ],
)
def test_bad_tables(name: str, text: str, message: str, genome: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        score_variants(model, tmp_path / name, tmp_path / "out.tsv", genome=genome)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0\t5\t6\tA\n0\t5\tx\tA\n", "m.txt line 2: index, start, end and allele separated by tabs are required"),
        ("1\t5\t6\tA\n", r"m.txt line 1: there is no sequence 1, s.tsv has 1 \(the first has index 0\)"),
        ("0\t5\t60\tA\n", r"m.txt line 1: 5-60 does not lie inside sequence 0, which has 12 bases"),
    ],
)
def test_bad_index_files(text: str, message: str, classifier: Path, tmp_path: Path) -> None:
    (tmp_path / "s.tsv").write_text("sequence\nACGTACGTACGT\n")
    (tmp_path / "m.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        score_variants(classifier, tmp_path / "m.txt", tmp_path / "out.tsv", sequences=tmp_path / "s.tsv")


def test_tables_flag_alleles_that_are_no_dna(
    genome: Path, model: Path, contigs: dict[str, str], tmp_path: Path
) -> None:
    base = contigs["chr1"][59]
    (tmp_path / "v.tsv").write_text(
        f"chrom\tpos\tref\talt\nchr1\t60\t\tC\nchr1\t60\tX\tC\nchr1\t60\t{base}\t\nchr1\t60\t{base}\t-\nchr1\t0\tA\tC\n"
    )
    score_variants(model, tmp_path / "v.tsv", tmp_path / "out.parquet", genome=genome, window=41)
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    assert table["flags"].to_pylist() == ["not_dna", "not_dna", "no_alt", None, "outside_contig"]
    assert table["llr"].is_valid().to_pylist() == [False, False, False, True, False]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"out": "out.xlsx"}, "out.xlsx: scores are written as .vcf, .vcf.gz, .bcf, .tsv, .csv or .parquet"),
        ({"out": "in.vcf"}, "in.vcf: this is an input; name another --out"),
        ({"out": "model"}, "model: a file is required, but this is a folder"),
        ({"window": 600}, "--window 600: this model takes at most 513"),
        ({"genome": None}, "the variants are on a genome; name its FASTA file with --genome"),
        ({"saturation": "chr1"}, "give either a file of variants, or regions"),
        ({"variants_file": None}, "give either a file of variants, or regions"),
        ({"variants_file": None, "saturation": "chr1:5-5"}, "chr1:5-5 does not lie inside its contig"),
        ({"variants_file": None, "saturation": "1:5-9"}, r"no contig '1'.* did you mean 'chr1'\?"),
        ({"variants_file": None, "saturation": "none.bed"}, "none.bed: no such BED file"),
        ({"variants_file": None, "saturation": "chr1:5-9", "out": "out.vcf"}, "into a VCF only from a VCF"),
        ({"sequences": "s.tsv"}, "--genome and --sequences: variants are on one or the other"),
        ({"motif_names": ["CTCF"]}, "--motif CTCF: name the file that holds the motif with --motifs"),
        ({"annotate": ["none.bed"]}, "none.bed: no such BED file"),
        ({"motifs": "none.meme"}, "none.meme: no such database of motifs"),
        ({"model": "nowhere"}, "nowhere: no such model directory"),
    ],
)
def test_what_does_not_go_together(
    options: dict[str, Any], message: str, vcf: Path, genome: Path, model: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    words: dict[str, Any] = {"model": model, "variants_file": vcf, "out": "out.tsv", "genome": genome} | options
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=message):
        score_variants(**words)
    assert sorted(tmp_path.rglob("*")) == before


DISK_FULL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
import torch, dnabert.inference.variant_run as run
run.CHUNK = 50
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
sys.argv = ["dnabert", *sys.argv[1:]]
from dnabert.cli import main
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits files the POSIX way")
@pytest.mark.parametrize("suffix", [".vcf.gz", ".bcf", ".tsv"])
def test_a_full_disk_keeps_the_old_file_and_what_was_scored(
    suffix: str, contigs: dict[str, str], genome: Path, model: Path, tmp_path: Path
) -> None:
    path, out = long_vcf(tmp_path / "v.vcf", contigs, 600), tmp_path / f"out{suffix}"
    path.write_text(path.read_text().replace("\t.\n", "\tNOISE=" + "x" * 80 + "\n"))
    if suffix != ".tsv":  # what compresses well would fit
        rng = np.random.default_rng(0)
        lines = path.read_text().splitlines(keepends=True)
        lines.insert(1, '##INFO=<ID=NOISE,Number=1,Type=String,Description="n">\n##contig=<ID=chr1>\n')
        path.write_text("".join(line.replace("x" * 80, random_dna(80, rng)) for line in lines))
    out.write_text("old")
    words = ["variants", model, path, "--genome", genome, "--out", out, "--window", 21, "--distance", "none"]
    command = [sys.executable, "-c", DISK_FULL, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith("Scoring")]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("dnabert: error: ")
    assert f"out{suffix}: " in lines[0]
    assert out.read_text() == "old"
    parts = tmp_path / ".out.parts"
    assert len(list(parts.glob("*.arrow"))) == 12
    options: dict[str, Any] = {"genome": genome, "window": 21, "distance": "none", "resume": True}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(variant_run, "CHUNK", 50)
        assert score_variants(model, path, out, **options).windows == 0


def test_what_is_scored_can_be_written_in_another_form(
    contigs: dict[str, str], genome: Path, model: Path, tmp_path: Path
) -> None:
    path = long_vcf(tmp_path / "v.vcf", contigs, 6)
    lines = path.read_text().splitlines()
    lines[-1] = lines[-1].rsplit("\t", 1)[0] + "\tUNDECLARED=3"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=r"name it \.vcf\.gz and give --resume, what is scored is kept"):
        score_variants(model, path, tmp_path / "out.bcf", genome=genome, window=41)
    again = score_variants(model, path, tmp_path / "out.vcf.gz", genome=genome, window=41, resume=True)
    assert (again.windows, again.scored) == (0, 6)
    assert not list(tmp_path.glob(".*"))


def test_a_score_that_a_model_does_not_give(vcf: Path, genome: Path, classifier: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--distance l2: this is a score of pre-trained models, and .*classifier is"):
        score_variants(classifier, vcf, tmp_path / "out.tsv", genome=genome, window=41, distance="l2")


def test_a_vcf_without_records(genome: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "in.vcf").write_text(HEADER)
    for name in ("out.vcf", "out.tsv", "out.parquet"):
        assert score_variants(model, tmp_path / "in.vcf", tmp_path / name, genome=genome).alleles == 0
    assert (tmp_path / "out.vcf").read_text().count("\n") == HEADER.count("\n") + 4
    assert (tmp_path / "out.tsv").read_text() == "chrom\tpos\tid\tref\talt\tflags\tllr\tcosine\n"


@pytest.mark.parametrize("suffix", [".vcf", ".tsv", ".parquet"])
def test_outputs_with_and_without_rows_fit_together(
    suffix: str, contigs: dict[str, str], genome: Path, model: Path, tmp_path: Path
) -> None:
    if suffix == ".vcf":
        (tmp_path / "empty.vcf").write_text(HEADER)
        (tmp_path / "full.vcf").write_text(vcf_text(contigs))
    else:
        columns: dict[str, Any] = {"chrom": ["chr1"], "pos": [60], "ref": ["A"], "alt": ["C"], "note": ["n"]}
        for name, table in (("empty", pa.table(columns).slice(1)), ("full", pa.table(columns))):
            tables.write(table, tmp_path / f"{name}{suffix}")
    (tmp_path / "sites.bed").write_text("chr1\t100\t110\tAP1\n")
    (tmp_path / "m.pfm").write_text(">M1\n" + "25 25 25 25\n" * 5)
    options: dict[str, Any] = {"genome": genome, "window": 41, "motifs": tmp_path / "m.pfm"}
    schemas = []
    for name in ("empty", "full"):
        out = tmp_path / f"{name}.out.parquet"
        score_variants(model, tmp_path / f"{name}{suffix}", out, annotate=[tmp_path / "sites.bed"], **options)
        schemas.append(pyarrow.parquet.read_schema(out))
    assert schemas[0] == schemas[1]


def test_a_file_of_all_contigs_on_the_tenth_alone(
    contigs: dict[str, str], model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    genome = write_fasta(tmp_path / "chr10.fa", {"chr10": contigs["chr1"]})
    records = "".join(f"{chrom}\t60\t.\tA\tC\t.\t.\t.\n" for chrom in ("chr10", "chrX"))
    (tmp_path / "v.vcf").write_text("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n" + records)
    summary = score_variants(model, tmp_path / "v.vcf", tmp_path / "out.tsv", genome=genome, window=41)
    assert (summary.scored, summary.not_scored) == (1, {"unknown_contig": 1})
    assert "chr10.fa has no contig chrX" in capsys.readouterr().err


def test_contigs_that_are_numbers_and_missing(genome: Path, model: Path, tmp_path: Path) -> None:
    columns = {"chrom": [1, 20], "pos": [60, 60], "ref": ["A", "A"], "alt": ["C", "C"]}
    pyarrow.parquet.write_table(pa.table(columns), tmp_path / "v.parquet")
    with pytest.raises(InputError, match=r"v.parquet: genome.fa: there is no contig '1'; .*did you mean 'chr1'\?"):
        score_variants(model, tmp_path / "v.parquet", tmp_path / "out.tsv", genome=genome)


def test_intervals_and_motifs(rng: np.random.Generator, model: Path, tmp_path: Path) -> None:
    """A planted site and the substitution that breaks it."""
    site = "TGACTCAGGA"
    sequence = random_dna(100, rng) + site + random_dna(100, rng)
    genome = write_fasta(tmp_path / "g.fa", {"c": sequence})
    (tmp_path / "m.pfm").write_text(
        "# comment\n>M1_M1.AP1\n"
        + "".join("\t".join("97" if base == b else "1" for b in "ACGT") + "\n" for base in site)
        + ">M2 FLAT\n" + "25 25 25 25\n" * 5
    )  # fmt: skip
    (tmp_path / "sites.bed").write_text("c\t100\t110\tAP1\nc\t90\t103\tlong\nc\t0\t300\tall\n".replace("300", "210"))
    (tmp_path / "plain.bed").write_text("c\t104\t106\n")
    (tmp_path / "v.tsv").write_text(
        f"chrom\tpos\tref\talt\nc\t105\t{sequence[104]}\t{other(sequence[104])}\nc\t50\t{sequence[49]}\t-\nc\t1\tN\tA\n"
    )
    out = tmp_path / "out.parquet"
    options: dict[str, Any] = {"genome": genome, "window": 41, "motifs": tmp_path / "m.pfm"}
    score_variants(model, tmp_path / "v.tsv", out, annotate=[tmp_path / "sites.bed", tmp_path / "plain.bed"], **options)
    table = pyarrow.parquet.read_table(out)
    assert table["sites"].to_pylist() == ["all|AP1", "all", "all"]
    assert table["plain"].to_pylist() == ["104-106", None, None]
    assert table["motif"].to_pylist() == ["M1_M1.AP1", None, None]
    best = 10 * np.log2((0.99 * 0.97 + 0.0025) * 4)
    worse = best - np.log2((0.99 * 0.97 + 0.0025) / (0.99 * 0.01 + 0.0025))
    np.testing.assert_allclose(table["motif_ref"][0].as_py(), best, rtol=1e-5)
    np.testing.assert_allclose(table["motif_alt"][0].as_py(), worse, rtol=1e-5)
    np.testing.assert_allclose(table["motif_difference"][0].as_py(), worse - best, rtol=1e-5)
    score_variants(model, tmp_path / "v.tsv", out, motif_names=["M2"], **options)
    assert pyarrow.parquet.read_table(out)["motif"].to_pylist() == ["M2 FLAT", "M2 FLAT", None]
    with pytest.raises(InputError, match=r"--motif CTCF: no motif is called so; the file has M1_M1.AP1, M2 FLAT"):
        score_variants(model, tmp_path / "v.tsv", out, motif_names=["CTCF"], **options)
    vcf = tmp_path / "v.vcf"
    vcf.write_text(
        "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        f"c\t105\t.\t{sequence[104]}\t{other(sequence[104])}\t.\t.\t.\n"
    )
    score_variants(model, vcf, tmp_path / "o.vcf", annotate=[tmp_path / "sites.bed"], **options)
    assert "DNABERT_SITES=all|AP1;DNABERT_MOTIF=M1_M1.AP1;" in (tmp_path / "o.vcf").read_text()


@pytest.mark.real_data
def test_a_real_vcf(real_data: Path, model: Path, tmp_path: Path) -> None:
    source = real_data / "human/chr20_1Mb_1000genomes.vcf.gz"
    few = tmp_path / "few.vcf"
    with gzip.open(source, "rt") as text, few.open("w") as out:
        records = 0
        for line in text:
            records += not line.startswith("#")
            out.write(line)
            if records == 600:
                break
    out_file = tmp_path / "out.bcf"
    genome = real_data / "human/hg19_pieces.fa.gz"
    summary = score_variants(model, few, out_file, genome=genome, window=31, strict=True)
    assert summary.records == 600
    assert summary.scored == summary.alleles - sum(summary.not_scored.values())
    with pysam.VariantFile(str(out_file)) as file:
        assert sum("DNABERT_LLR" in record.info for record in file) >= 598


def test_kept_chunks_hold_no_letters_that_tables_would_split(genome: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "v.csv").write_text('chrom,pos,ref,alt,note\nchr1,60,A,C,"a,b"\n')
    score_variants(model, tmp_path / "v.csv", tmp_path / "out.csv", genome=genome, window=41)
    assert pa.csv.read_csv(tmp_path / "out.csv")["note"].to_pylist() == ["a,b"]
