#!/bin/sh
# Everything that only a GPU can show, in one go of at most eight minutes, from a bare tree and without a network.
#
#   tools/gpu_check.sh --gather DIR                      where there is a network: the wheels that the other machine lacks
#   tools/gpu_check.sh --wheels DIR [--out DIR] [--python PYTHON] [--device cuda|cpu] [--only PART,PART]
#
# The other machine has Python 3.12 with torch, torchvision, numpy, pillow and onnxruntime of its own, on Linux x86_64.
# Prints a table and writes OUT/gpu_check.json; `--device cpu` tries the script itself. Exit code 1 if a part failed.
set -u
cd "$(dirname "$0")/.." || exit 2
python=python3 wheels='' gather='' out=''
words=''
while [ $# -gt 0 ]; do
    case $1 in
        --gather) gather=$2; shift 2 ;;
        --wheels) wheels=$2; shift 2 ;;
        --python) python=$2; shift 2 ;;
        --out) out=$2; shift 2 ;;
        --device | --only | --seconds) words="$words $1 $2"; shift 2 ;;
        *) echo "gpu_check: unknown option $1" >&2; sed -n '3,9p' "$0" >&2; exit 2 ;;
    esac
done

# What computing, measuring and its tests import beyond torch's own needs; scikit-learn for its digits alone, without
# scipy. Neither the lab, nor detectors, nor plots.
needed="pydantic pydantic-core annotated-types typing-inspection typing-extensions safetensors pyyaml onnx ml-dtypes
    onnx-ir onnxscript torch-pruning threadpoolctl scikit-learn plotext pytest pluggy iniconfig packaging pygments
    hypothesis sortedcontainers"

if [ -n "$gather" ]; then
    mkdir -p "$gather" || exit 2
    pins=$(mktemp) || exit 2
    for name in $needed; do
        pattern=$(printf '%s' "$name" | sed 's/-/[-_]/g')
        line=$(grep -i "^$pattern==" constraints.txt) || { echo "gpu_check: $name is not in constraints.txt" >&2; exit 2; }
        echo "$line" >>"$pins"
    done
    "$python" -m pip download --disable-pip-version-check -q --no-deps --only-binary=:all: \
        --python-version 3.12 --implementation cp --abi cp312 --abi abi3 --abi none \
        --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 --platform any \
        -d "$gather" -r "$pins" || { rm -f "$pins"; exit 1; }
    rm -f "$pins"
    du -ch "$gather"/*.whl | tail -n 1
    exit 0
fi

out=${out:-gpu_check_out}
mkdir -p "$out" || exit 2
site=$(mktemp -d) || exit 2
trap 'rm -rf "$site"' EXIT
if [ -n "$wheels" ]; then
    # A wheel is a zip file. Unpacked beside what is there: nothing of the machine's own installation is changed.
    "$python" - "$wheels" "$site" <<'UNPACK' || exit 2
import sys, zipfile
from pathlib import Path
files = sorted(Path(sys.argv[1]).glob("*.whl"))
if not files:
    sys.exit(f"gpu_check: no wheels in {sys.argv[1]}")
for file in files:
    zipfile.ZipFile(file).extractall(sys.argv[2])
UNPACK
fi
# After the tree, before nothing: what the machine has of its own (torch, numpy) comes last and is not among the wheels.
PYTHONPATH="$PWD:$site${PYTHONPATH:+:$PYTHONPATH}" PYTHONDONTWRITEBYTECODE=1 \
    "$python" -m tools.gpu_check --out "$out" $words
