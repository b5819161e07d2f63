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

# The library, found through pkg-config.
cat >library.c <<-END
	#include <cnnc.h>
	#include <stdio.h>
	int main(void)
	{
		CnncModel *m = cnnc_load("small.yaml", NULL);
		printf("%s\\n", m ? cnnc_version() : cnnc_error());
		cnnc_free(m);
		return !m;
	}
END
flags=$(PKG_CONFIG_PATH=moved/lib/pkgconfig pkg-config --cflags --libs cnnc)
sanitize=$(cat "$build/lib/cnnc/link-flags" 2>/dev/null)
# shellcheck disable=SC2086 # the flags are words
exits 0 cc library.c $sanitize $flags -o library
exits 0 ./library
says '^[0-9]'
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
