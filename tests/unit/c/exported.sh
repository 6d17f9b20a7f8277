#!/bin/bash
# exported.sh NM LIBRARY LIST: the library exports exactly what is listed. What is taken away or
# renamed breaks programs that were linked before: that needs another soname; what is added is added
# to the list, too.
set -euo pipefail
export LC_ALL=C
"$1" --dynamic --defined-only "$2" | sed -n 's/^[0-9a-f]* [A-Z] //p' | sort | diff -u "$3" -
