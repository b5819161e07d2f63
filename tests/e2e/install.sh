#!/bin/sh
# install.sh -- the installed compiler works from any folder, and what it makes needs nothing of it
. tests/e2e/setup
command -v cmake >/dev/null || exit 77
exits 0 cmake --install "$build" --prefix "$work/prefix"
mv prefix moved
there moved/bin/cnnc moved/lib/cnnc/libcnnc_train.a moved/lib/cnnc/libcnnc_predict.a moved/include/cnnc.h
pictures across down
small_model >small.yaml
exits 0 moved/bin/cnnc small.yaml -o small
rm -r moved
exits 0 ./small-train epochs=1
exits 0 ./small data/test/down/000.jpg

# Only libc's libraries are asked for; the predictor stays small (sanitizers make programs large).
if command -v ldd >/dev/null; then
	for program in small small-train; do
		ldd $program | grep -vE 'linux-vdso|libc\.so|libm\.so|ld-linux|libpthread|libdl' >libraries
		[ -s "$build/lib/cnnc/link-flags" ] || [ ! -s libraries ] || fail "$program needs $(cat libraries)"
	done
fi
[ -s "$build/lib/cnnc/link-flags" ] || [ "$(wc -c <small)" -lt 2000000 ] || fail "small has $(wc -c <small) bytes"
exit $failed
