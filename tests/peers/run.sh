#!/bin/sh
# run.sh -- runs a script of this folder with the frameworks that it needs, in a virtual environment under build/peers
#
# usage: tests/peers/run.sh SCRIPT.py [ARGUMENT …]     PYTHON=/path/to/python uses one that has them already
# Not a part of test.sh: it downloads about 600 MB the first time. Needs python3-venv.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
if [ -z "${PYTHON:-}" ]; then
	PYTHON=$top/build/peers/bin/python
	if [ ! -e "$top/build/peers/complete" ]; then
		python3 -m venv "$top/build/peers"
		"$PYTHON" -m pip install --quiet -r "$top/tests/peers/requirements.txt"
		touch "$top/build/peers/complete"
	fi
fi
# Variables that force other code paths on the libraries below make comparisons unfair.
unset OPENBLAS_CORETYPE
export TF_CPP_MIN_LOG_LEVEL=3 CUDA_VISIBLE_DEVICES= KERAS_BACKEND=tensorflow
script=$1
shift
exec "$PYTHON" "$top/tests/peers/$script" "$@"
