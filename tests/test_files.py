"""Files appear whole or not at all."""

import errno
from pathlib import Path

import pytest

from dnabert.errors import InputError
from dnabert.files import check_apart, check_not_input, claim_folder, existing_file, replacing, replacing_files


def full_disk() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device")


def test_inputs_in_the_output_folder_are_not_emptied_with_it(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "rows.tsv").write_text("sequence\nACGT\n")
    for given in (tmp_path / "run" / "rows.tsv", tmp_path / "run", tmp_path / "run" / "deeper" / "model"):
        with pytest.raises(InputError, match=r"--out \S+run: the input \S+ is in this folder; name another"):
            check_apart(tmp_path / "run", None, tmp_path / "elsewhere", given)
    check_apart(tmp_path / "run" / "new", tmp_path / "run" / "rows.tsv")


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.tsv"
    path.write_text("old")
    with (
        pytest.raises(InputError, match=r"out.tsv: writing failed \(No space left on device\)"),
        replacing(path) as new,
    ):
        new.write_text("half")
        raise full_disk()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_model(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_text("old")
    with pytest.raises(InputError, match="No space left"), replacing_files(tmp_path) as new:
        (new / "model.safetensors").write_text("new")
        raise full_disk()
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_real_full_disk(tmp_path: Path) -> None:
    """Write to a device that is always full, through the same path as every output."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(InputError, match="No space left on device"), replacing(tmp_path / "out") as new:
        new.symlink_to(full)
        new.write_text("x")
    assert not list(tmp_path.iterdir())


def test_success_replaces_files_and_folders(tmp_path: Path) -> None:
    for content in ("one", "two"):
        with replacing(tmp_path / "file") as new:
            new.write_text(content)
        with replacing(tmp_path / "folder") as new:
            new.mkdir()
            (new / content).touch()
    assert (tmp_path / "file").read_text() == "two"
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["two"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_an_unwritable_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="writing failed"), replacing(tmp_path / "file" / "out"):
        pass


def test_existing_file_says_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for name, message in (("none", "no such table"), ("empty", "is empty"), (".", "this is a folder")):
        with pytest.raises(InputError, match=message):
            existing_file(tmp_path / name, "table")


def test_only_own_folders_are_overwritten(tmp_path: Path) -> None:
    assert claim_folder(tmp_path / "new") == tmp_path / "new"
    (tmp_path / "thesis.tex").touch()
    for overwrite in (False, True):
        with pytest.raises(InputError, match=r"this one holds something else \(thesis.tex\)"):
            claim_folder(tmp_path, overwrite)
    for path in ("thesis.tex", "thesis.tex/run", "thesis.tex/a/b"):
        with pytest.raises(InputError, match=r"an output folder is required, but .*thesis.tex is a file"):
            claim_folder(tmp_path / path)
    assert (tmp_path / "thesis.tex").exists()
    (tmp_path / "run.json").touch()
    with pytest.raises(InputError, match="already holds a run"):
        claim_folder(tmp_path)
    claim_folder(tmp_path, overwrite=True)
    assert not tmp_path.exists()


def test_the_file_that_says_all_are_there_is_moved_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = []
    replace = Path.replace

    def remembered(path: Path, to: Path) -> Path:
        moved.append(path.name)
        return replace(path, to)

    monkeypatch.setattr(Path, "replace", remembered)
    with replacing_files(tmp_path / "out", last="b") as temporary:
        for name in "abc":
            (temporary / name).touch()
    assert moved == ["a", "c", "b"]


def test_files_of_an_input_folder_are_inputs(tmp_path: Path) -> None:
    (tmp_path / "data/deep").mkdir(parents=True)
    for name in ("data/test.csv", "data/deep/dev.csv", "other.csv"):
        (tmp_path / name).touch()
    (tmp_path / "data/gone.csv").symlink_to(tmp_path / "nowhere")
    (tmp_path / "data/linked.csv").symlink_to(tmp_path / "linked.csv")
    (tmp_path / "linked.csv").touch()
    for name in ("data/test.csv", "data/deep/dev.csv", "data/deep/../test.csv", "linked.csv"):
        with pytest.raises(InputError, match=rf"{name}: this is an input, a file in .*data; name another --out"):
            check_not_input(tmp_path / name, None, tmp_path / "nowhere", tmp_path / "data")
    with pytest.raises(InputError, match=r"other.csv: this is an input; name another --out"):
        check_not_input(tmp_path / "other.csv", tmp_path / "other.csv")
    for name in ("data/new.csv", "data/deep/new.csv", "other.csv"):
        check_not_input(tmp_path / name, tmp_path / "data", tmp_path / "linked.csv")
