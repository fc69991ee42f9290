#!/usr/bin/env bash
# The GPU benchmarks, on a bare machine: torch, transformers, accelerate and numpy's family are there, nothing else is
# installed and nothing is downloaded. Each stage is a command of its own, takes at most 9 minutes and writes JSON.
#
#   benchmarks/gpu/run.sh [--smoke] [STAGE...]
#
# STAGE: correctness ceilings pretraining finetuning networks inference timed (all by default). --smoke: tiny models, on
# the CPU where there is no GPU. OUT: folder for the results (benchmarks/results/gpu). GENOME: FASTA file for the timed
# pre-training (a random genome by default), MINUTES: how long (5). PYTHON: the interpreter (python3).
set -euo pipefail
cd "$(dirname "$0")/../.."
export PYTHONPATH=src:. OUT=${OUT:-benchmarks/results/gpu}
if [ -z "${DNABERT_CACHE:-}" ]; then
    DNABERT_CACHE=$(mktemp -d)
    export DNABERT_CACHE
    trap 'rm -rf "$DNABERT_CACHE"' EXIT
fi
usage() { sed -n '2,9s/^# \{0,1\}//p' benchmarks/gpu/run.sh; }
smoke=
stages=
for word in "$@"; do
    case $word in
    --smoke) smoke=--smoke ;;
    --help) usage; exit ;;
    -*) usage >&2; exit 2 ;;
    *) stages="$stages $word" ;;
    esac
done
failed=0
for stage in ${stages:-correctness ceilings pretraining finetuning networks inference timed}; do
    echo "== $stage"
    timeout 540 "${PYTHON:-python3}" -m "benchmarks.gpu.$stage" --out "$OUT" $smoke || failed=1
done
exit $failed
