#!/bin/sh
# Makes the virtual environment that the Makefile uses: tools/venv.sh VENV [PYTHON]
# Every foreseeable failure ends in one sentence; the whole output of pip is in VENV/install.log.
set -u
venv=$1
wanted=${2:-}
need_mb=9000        # torch with its CUDA libraries, unpacked, and what pip unpacks beside it

fail() { echo "secateur: $*" >&2; exit 1; }

# Up to the newest Python that every version in constraints.txt has a wheel for.
ready() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null; }
python=
for candidate in $wanted python3 python3.14 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null 2>&1 && ready "$candidate"; then python=$candidate; break; fi
done
[ -n "$python" ] || fail "Python 3.11 to 3.14 is needed, and ${wanted:-python3} is $( (${wanted:-python3} --version 2>&1 || echo missing) | head -n 1); load one (module load python) or name it: make lab PYTHON=/path/to/python3.12"

stamp=$venv/.ready
sum=$(cat pyproject.toml constraints.txt | cksum)
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$sum" ] && exit 0

parent=$(dirname "$venv")
mkdir -p "$parent" 2>/dev/null || fail "$parent can't be written; choose another place: make lab VENV=/path/with/room"
if [ ! -f "$stamp" ]; then
    free_mb=$(df -Pk "$parent" | awk 'NR == 2 { print int($4 / 1024) }')
    [ "$free_mb" -ge "$need_mb" ] ||
        fail "$parent has $free_mb MB free and about $need_mb MB are needed; choose another place: make lab VENV=/path/with/room"
    # Over one that was begun with another Python, venv would leave that.
    [ ! -f "$venv/pyvenv.cfg" ] || rm -f "$venv/bin/python" "$venv/bin/python3" "$venv"/bin/python3.*
    "$python" -m venv "$venv" >/dev/null 2>&1 ||
        fail "$python can't make a virtual environment in $venv (on Debian and Ubuntu install the package python3-venv; or choose another place with VENV=)"
fi

extras=yolo,openvino,mcp,docs,dev
if [ "$(uname -m)" = aarch64 ]; then  # OpenVINO's wheel for it needs glibc 2.35
    glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null | awk '{ print $2 }')
    case $glibc in
        2.[0-9] | 2.[12][0-9] | 2.3[0-4])
            extras=yolo,mcp,docs,dev
            echo "secateur: without OpenVINO, which needs glibc 2.35 on this processor and finds $glibc" >&2 ;;
    esac
fi

log=$venv/install.log
echo "Installing into $venv (some minutes, about 7 GB; progress in $log) ..." >&2
if ! "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --compile \
    -c constraints.txt -e ".[$extras]" >"$log" 2>&1; then
    if grep -qiE 'no space left|quota exceeded' "$log"; then
        fail "the disk or quota was full while installing into $venv; make room or choose another place: make lab VENV=/path/with/room"
    elif grep -qiE 'connection|network is unreachable|name resolution|timed out|proxy|no matching distribution' "$log"; then
        fail "the packages could not be had: no package index could be reached, or it lacks the versions in constraints.txt; run this once where there is internet (a login node), or point pip at a mirror (see $log)"
    elif grep -qi resolutionimpossible "$log"; then
        fail "the versions in constraints.txt can't be had together for $("$venv/bin/python" --version): the package index lacks one of them for it; name another Python (make lab PYTHON=/path/to/python3.12), or point pip at a mirror (see $log)"
    fi
    fail "installing failed: $(grep -iE '^ *error' "$log" | tail -n 1) (see $log)"
fi
"$venv/bin/python" -m compileall -q engine tui || fail "the program's own files can't be compiled: is the copy whole?"
printf '%s' "$sum" >"$stamp"
