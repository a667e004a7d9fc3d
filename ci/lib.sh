# Shared by the scripts of this folder: `source` it first. Leaves the caller in the repository root.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CARGO_TERM_COLOR=never
exec </dev/null

# The program as the scripts build it in release mode: with every backend that is not a sketch, so that it is built once.
program=(--package omnihal-cli --features cuda,ascend)

# step WORDS... -- COMMAND...: runs a command under a title, says how long it took, and names it if it fails.
step() {
    local title=() started=$SECONDS
    while [ "$1" != -- ]; do title+=("$1"); shift; done
    shift
    printf '\n=== %s\n    %s\n' "${title[*]}" "$*"
    if ! "$@"; then
        printf '\n=== FAILED: %s\n    again: %s\n' "${title[*]}" "$*" >&2
        exit 1
    fi
    printf -- '--- ok: %s (%d s)\n' "${title[*]}" $((SECONDS - started))
}

# need PROGRAM WORDS...: fails, never skips, when something that a script needs is missing.
need() {
    local program=$1
    shift
    command -v "$program" >/dev/null || { echo "$program is not installed: $*" >&2; exit 1; }
}

# Files of the tree, tracked or new, without ignored ones; everything but build output where there is no git.
tree_files() {
    if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
        git ls-files --cached --others --exclude-standard
    else
        find . -type f -not -path './target/*' -not -path './.git/*' | sed 's|^\./||'
    fi
}
