# install-deps.sh -- sourced by demo.sh and test.sh: the packages that they need, and quiet commands
#
# Logs go to build/logs; only the end of a failed command's log is shown.
logs=build/logs
mkdir -p $logs

# Runs a command with its output in a log.
quietly() { # LOG COMMAND…
	log=$logs/$1
	shift
	"$@" >"$log" 2>&1 || { tail -n 40 "$log"; echo "$0: failed: $* (whole output: $log)"; return 1; } >&2
}

# Installs what is missing of the Debian or Ubuntu packages; needs no network when nothing is.
install_packages() { # further package names
	missing=
	for package in gcc libc6-dev cmake ninja-build pkg-config llvm-19-dev libyaml-dev libjansson-dev libjpeg-dev \
		libonnx-dev protobuf-c-compiler libprotobuf-c-dev libhdf5-dev libzip-dev \
		libpng-dev zlib1g-dev libevent-dev check "$@"; do
		case $(dpkg-query -W -f='${Status}' "$package" 2>/dev/null) in
		*" ok installed") ;;
		*) missing="$missing $package" ;;
		esac
	done
	[ -n "$missing" ] || return 0
	as_root=
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null || { echo "$0: please install, as root:$missing" >&2; return 1; }
		as_root=sudo
	fi
	echo "installing$missing"
	quietly packages.log $as_root apt-get update
	# shellcheck disable=SC2086 # the names are words
	quietly packages.log $as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y --no-install-recommends $missing
}
