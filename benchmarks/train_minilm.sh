#!/usr/bin/env bash
# Train a UniKeyphrase from all-MiniLM-L6-v2 on one GPU, then run the ablations of Table 4 in the time that is left.
#
#   benchmarks/train_minilm.sh prepare DATA WORK               tokenize, on a machine with fast cores
#   benchmarks/train_minilm.sh train DATA WORK OUT SECONDS     train, on the machine with the GPU
#
# DATA has train.jsonl.gz, valid.jsonl and exclude/ (test sets, which must not be trained on). Copy WORK from the first
# machine to the second, and use the same paths on both: a token set belongs to its files. On the second machine
# train.jsonl.gz is not read, so a file of the same size is enough. OUT receives the best model in half precision, in
# parts of at most 16 MiB (model.0, model.1, ...: `cat model.* > model.safetensors`), its metrics and the ablations.
#
# Variables: PYTHON (python3), BACKBONE (a folder; default: the package), PRETRAIN_EPOCHS (4), EPOCHS (12), TARGET
# (absent or all), ABLATION_DOCUMENTS (20000), OPTIONS (more options of the training, for a rehearsal on a CPU).
set -euo pipefail
action=${1:?prepare or train}; data=${2:?DATA}; work=${3:?WORK}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python3}
backbone=${BACKBONE:-sentence-transformers/all-MiniLM-L6-v2}
training=(
  "$python" jobs/train_unikeyphrase.py --local --config minilm --output "$work/run" --task.model.backbone "$backbone"
  --train "$data/train.jsonl.gz" --valid "$data/valid.jsonl" --exclude "$data/valid.jsonl" "$data/exclude"
  --pretrain.epochs "${PRETRAIN_EPOCHS:-4}" --optim.epochs "${EPOCHS:-12}" --task.model.target "${TARGET:-absent}"
)
# shellcheck disable=SC2206  # options are words
training+=(${OPTIONS:-})
mkdir -p "$work"

if [ "$action" = prepare ]; then
  "${training[@]}" &
  until compgen -G "$work/run/tokens-*/finished.json" >/dev/null; do
    kill -0 $! || { wait $!; exit 1; }
    sleep 1
  done
  kill $! && wait $! || true # it has begun to pretrain; nothing of that is kept
  echo "the token set is in $work/run"
  exit
fi

out=${4:?OUT}; seconds=${5:?SECONDS}; start=$SECONDS
left() { echo $((seconds - SECONDS + start)); }
mkdir -p "$out"
compgen -G "$work/run/tokens-*/finished.json" >/dev/null || { echo "no token set in $work/run: prepare first" >&2; exit 2; }
timeout -s INT "$(left)" "${training[@]}" 2>&1 | tee "$out/train.txt" | grep -v " step " || true
"$python" - "$work/run" "$out" <<'END'
import sys
import tarfile
from pathlib import Path

from safetensors.torch import load_file, save_file

run, out = map(Path, sys.argv[1:])
half = {name: value.half().contiguous() for name, value in load_file(run / "best/model.safetensors").items()}
save_file(half, run / "half.safetensors", metadata={"format": "pt"})
contents, part = (run / "half.safetensors").read_bytes(), 16 * 2**20 - 4096
for index in range(0, len(contents), part):
    (out / f"model.{index // part}").write_bytes(contents[index : index + part])
with tarfile.open(out / "rest.tar.xz", "w:xz") as rest:
    for path in [*(run / "best").glob("*.json"), *run.glob("*.jsonl"), *run.glob("pretrain/*.jsonl"), *run.glob("_*")]:
        if path.name != "tokenizer.json":
            rest.add(path, path.relative_to(run))
END
if [ "$(left)" -gt 60 ]; then
  timeout "$(left)" "$python" benchmarks/run.py ablations --train "$data/train.jsonl.gz" --valid "$data/valid.jsonl" \
    --output "$work/ablations" --train-documents "${ABLATION_DOCUMENTS:-20000}" --seconds $(($(left) - 45)) \
    --task.model.backbone "$work/run/pretrain/best" --task.model.relation-dropout 0.1 --task.model.target-tokens 48 \
    --optim.lr 3e-4 --optim.new-lr 3 --optim.epochs 3 --optim.batch 128 --run.precision bf16 \
    --run.micro-tokens 65536 --run.valid-documents 1000 >"$out/ablations.txt" 2>&1 || true
  tail -40 "$out/ablations.txt"
  cp "$work/ablations/results.jsonl" "$out/" || true
fi
tail -2 "$out/train.txt"
