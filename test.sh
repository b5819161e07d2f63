#!/bin/sh
# test.sh -- everything that CI runs: installs packages, then builds and tests twice: optimized, and under ASan + UBSan
set -eu
cd "$(dirname "$0")"
. ./install-deps.sh
install_packages universal-ctags graphviz curl libonnx-testdata

failed=0
for preset in release sanitize; do
	echo "== $preset"
	quietly $preset-build.log cmake --preset $preset -G Ninja
	quietly $preset-build.log cmake --build --preset $preset
	ctest --preset $preset -j "$(nproc)" >$logs/$preset-tests.log 2>&1 || failed=1
	grep -E '\*\*\*|tests passed|Total Test time' $logs/$preset-tests.log || tail -n 40 $logs/$preset-tests.log
done
[ $failed = 0 ] || echo "test.sh: the failed tests' output is in $logs/*-tests.log"
exit $failed
