#!/bin/sh
# layering.sh -- the law of the layers (docs/architecture.md), checked by looking at #include lines and names
set -u
bad() { # RULE: the offending lines come on stdin
	while IFS= read -r line; do
		echo "$1: $line"
	done
}
# Quoted includes of a folder's files that are not allowed there.
includes() { # FOLDER ALLOWED-REGEX
	grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' "$1"/*.[ch] "$1"/*.def /dev/null 2>/dev/null |
		grep -vE "include[[:space:]]*\"($2)" | bad "$1/ may not include this"
}
# Files other than the allowed ones that match.
only() { # RULE PATTERN ALLOWED-REGEX PATHS…
	rule=$1 pattern=$2 allowed=$3
	shift 3
	grep -nE "$pattern" "$@" /dev/null 2>/dev/null | grep -vE "^($allowed):" | bad "$rule"
}

found=$(
	includes ir 'ir/'
	includes frontend '(ir|frontend)/|runtime/(safetensors|npy_header)\.h'
	includes passes '(ir|passes)/'
	includes codegen '(ir|codegen)/|runtime/(model|safetensors|hash)\.h'
	includes runtime 'runtime/|ir/size\.h'
	# shellcheck disable=SC2046 # file names without blanks
	code=$(ls ir/*.[ch] frontend/*.[ch] passes/*.[ch] codegen/*.[ch] runtime/*.[ch] ./*.[ch] 2>/dev/null)
	only 'libyaml only in frontend/yaml.c' 'include *<yaml\.h>|yaml_(parser|event)_' 'frontend/yaml\.c' $code
	only 'LLVM only in codegen/llvm_*.c' 'include *<llvm-c|LLVM[A-Z][A-Za-z]*\(' 'codegen/llvm_[a-z0-9_]*\.[ch]' $code
	only 'protobuf only in frontend/onnx_proto.c' 'include *<(onnx\.pb-c|protobuf-c)' 'frontend/onnx_proto\.c' $code
	only 'no dlopen' '\bdlopen *\(' '(\./)?bench_peers\.c|codegen/nvrtc_load\.c|runtime/cuda_driver\.c|runtime/nvml\.c' $code
	only 'HDF5 only in frontend/weight_h5.c' 'include *<(hdf5|H5[A-Za-z]*)\.h>' 'frontend/weight_h5\.c' $code
	only 'libzip only in frontend/weight_zip.c' 'include *<zip\.h>' 'frontend/weight_zip\.c' $code
	only 'libjpeg, libpng only in runtime/' 'include *<(jpeglib|png|zlib)\.h>' 'runtime/[a-z0-9_]*\.c' $code
	only 'libevent only in runtime/http*.c' 'include *<(event2/|event\.h|evhttp\.h)' 'runtime/http[a-z_]*\.[ch]' $code
	only 'ir/ includes libc only' 'include *<(yaml|jansson|llvm|jpeglib|png|zlib)' 'none' ir/*.[ch]
	only 'memory only from ir/arena.c' '\b(malloc|calloc|realloc|strdup|strndup|asprintf|vasprintf) *\(' 'ir/arena\.c' \
		ir/*.[ch] frontend/*.[ch] passes/*.[ch] codegen/*.[ch]
	# arena.c: out of memory ends the compiler with its own exit code, everywhere; nvrtc.c, weight_file.c: the end of a forked worker
	only 'exit only in main files' '\b_?exit *\(' '(\./)?cnnc\.c|ir/arena\.c|codegen/nvrtc\.c|frontend/weight_file\.c|runtime/(train|predict|serve)_main\.c' $code
	only 'memory, files and clocks only through runtime/sys.c' \
		'(^|[^.>_[:alnum:]])(malloc|calloc|realloc|open|rename|unlink|fsync|clock_gettime) *\(' \
		'runtime/sys[a-z_]*\.[ch]' runtime/*.c
	only 'no machine paths, no outside design folder' '\.\./shared|/work/(main|shared)' 'none' \
		$(git ls-files 2>/dev/null | grep -v '^tests/style/layering.sh$')
)
[ -z "$found" ] || printf '%s\n' "$found"
[ -z "$found" ]
