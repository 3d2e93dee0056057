#!/bin/bash
# Runs suites of tests from one build directory and keeps count.
#
#   tests/run.sh BUILD SUITE...      SUITE: unit replay stress e2e smoke races kill9 bad-days fuzz reference
#
# A suite is good when its command exits 0, at least one test ran, none failed and none was
# skipped (in suite reference, what only roomcast has may be). All output is streamed, and kept in
# BUILD/log/. The counts go to build/results/FLAVOUR-SUITE as "PASSED FAILED", and what is to be known
# of failed tests to build/failures/FLAVOUR-SUITE: .ci/run adds the first up and ends with the second.
#
# A file of the suite e2e that fails is run a second time, by itself: a thousand processes and clients
# share the machine in these tests. What passes then is told as unsteady, by name, at the end; a third
# such file fails all the same. No other suite has a second time, least of all one under a sanitizer.
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 1

build=$1
shift
flavour=${build##*/}
mkdir -p build/results build/failures "$build/log"
unsteady=build/failures/$flavour-unsteady

# What is tested is what people run: for the release that is the link in build/.
ROOMCAST_BIN=$build/roomcast
[ "$flavour" = release ] && ROOMCAST_BIN=build/roomcast
export ROOMCAST_BIN

# The first report of a sanitizer ends the process with an exit code that nobody takes for success.
export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:exitcode=99
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1:exitcode=99
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:exitcode=99
[ -e tests/tsan.supp ] && TSAN_OPTIONS+=:suppressions=$PWD/tests/tsan.supp
sanitized=
case $flavour in
asan | tsan)
    sanitized=yes
    export ROOMCAST_SLOW=${ROOMCAST_SLOW:-4} # stretches the time limits of the e2e tests
    ;;
esac

# limited SECONDS COMMAND...: a hang ends as a failure, together with its child processes. At a
# terminal the command stays in the foreground instead, so that Ctrl-C reaches all of them.
foreground=()
[ -t 1 ] && foreground=(--foreground)
limited() {
    local seconds=$1 rc=0
    shift
    timeout "${foreground[@]}" -k 10 "$seconds" "$@" || rc=$?
    [ $rc -eq 124 ] && echo "# TIMEOUT after $seconds s: $*"
    return $rc
}

# one NAME SECONDS COMMAND...: a program that is a test by itself, reported as a line of TAP.
one() {
    local name=$1 start=$SECONDS rc=0
    shift
    echo "# $name"
    limited "$@" || rc=$?
    if [ $rc -eq 0 ]; then
        echo "ok - $name ($((SECONDS - start)) s)"
    else
        echo "not ok - $name (exit code $rc)"
    fi
    return $rc
}

unit() {
    if [ -n "$sanitized" ]; then # tests/shim: TAP on stdout
        limited 600 "$build/unit-tests"
    else
        limited 600 "$build/unit-tests" --jobs "$(nproc)" --timeout 120 --tap="$build/log/unit.tap"
    fi
}

# The programs are named by their sources: an old executable of a removed test does not count.
replay() {
    local source name rc=0
    for source in tests/fuzz/fuzz_*.c; do
        name=$(basename "$source" .c)
        one "replay $name" 120 "$build/tests/fuzz/$name" "tests/fuzz/corpus/${name#fuzz_}" || rc=1
    done
    return $rc
}

fuzz() {
    local source name found seconds=${FUZZ_TIME:-30} rc=0
    for source in tests/fuzz/fuzz_*.c; do
        name=$(basename "$source" .c)
        found=$build/corpus/${name#fuzz_} # what it finds, for the next run
        mkdir -p "$found"
        one "fuzz $name" $((seconds + 120)) "$build/tests/fuzz/$name" -verbosity=0 \
            -print_final_stats=1 -timeout=20 -rss_limit_mb=2048 "-max_total_time=$seconds" \
            "-seed=${FUZZ_SEED:-0}" \
            "-artifact_prefix=$build/$name-" "$found" "tests/fuzz/corpus/${name#fuzz_}" || rc=1
    done
    return $rc
}

stress() {
    local source name rc=0
    for source in tests/stress/*.c; do
        name=$(basename "$source" .c)
        one "stress $name" 600 "$build/tests/stress/$name" || rc=1
    done
    return $rc
}

# node_file FILE: status 0 is good.
node_file() {
    local code=0
    echo "# $1"
    limited "${limit:-600}" node --test --test-reporter=tap "$1" || code=$?
    [ $code -le 1 ] || echo "# fail 1" # it was ended, and left no summary
    return $code
}

# File by file: one that hangs neither takes the others along nor loses their counts.
node_tests() {
    local file rc=0
    for file; do
        node_file "$file" || rc=1
    done
    return $rc
}

# failed_tests LOG: of each failed test the lines of TAP, and what a sanitizer has said.
failed_tests() {
    awk '/^# tests\// { file = $0 }
        /^ *not ok/ { if (file != "") print file; file = ""; left = 40 }
        /^ *ok / { left = 0 }
        /^# .*(Error|ERR_)/ { print }
        /^==[0-9]+==ERROR|WARNING: ThreadSanitizer|runtime error:|^# TIMEOUT/ { left = 40 }
        left-- > 0 { print; if ($1 == "...") left = 0 }' "$1" | head -n 400
}

# node_tests, with a second time for two files at most.
twice_node_tests() {
    local file again=2 log=$build/log/attempt.log rc=0
    for file; do
        if node_file "$file" >"$log" 2>&1; then
            cat "$log"
        elif [ $again -gt 0 ]; then
            again=$((again - 1))
            failed_tests "$log" | sed 's/^/unsteady: /' | tee -a "$unsteady"
            echo "# once more, since it failed:"
            node_file "$file" || rc=1
        else
            cat "$log"
            rc=1
        fi
    done
    return $rc
}

# The articles whose client code is run are not ours to keep here. Who names their folder wants them.
left_out=
[ -n "${SEEDS_DIR:-}" ] || [ -d ../shared/seeds ] || left_out=tests/e2e/seeds.test.mjs

e2e() {
    local file files=()
    for file in tests/e2e/*.test.mjs; do
        [ "$file" = "$left_out" ] || files+=("$file")
    done
    twice_node_tests "${files[@]}"
}

smoke() {
    node_tests tests/e2e/smoke*.test.mjs
}

# More often than in e2e.
races() {
    local limit=1500
    ROOMCAST_RACES=${ROOMCAST_RACES:-1000} node_tests tests/e2e/races.test.mjs
}

# The same.
kill9() {
    local limit=1500
    ROOMCAST_KILLS=${ROOMCAST_KILLS:-50} node_tests tests/e2e/durability.test.mjs
}

# Longer, 17 minutes, and with figures of quiet times beside them: docs/reliability.md.
bad-days() {
    local limit=1800
    ROOMCAST_BAD_DAYS=full node_tests tests/e2e/bad-days.test.mjs
}

# Files that do not ask for a target are about roomcast alone.
reference() {
    local files
    mapfile -t files < <(grep -l lib/target.mjs tests/e2e/*.test.mjs)
    TARGET=reference node_tests "${files[@]}"
}

# count SUITE: prints "PASSED FAILED" of the kept output; a skipped test has failed.
count() {
    local log=$build/log/$1.log
    case $1 in
    e2e | smoke | races | kill9 | bad-days) # node's summaries; its list of results nests
        awk '/^# (pass|fail|cancelled|skipped|todo) [0-9]+$/ { n[$2] += $3 }
            END { print n["pass"] + 0, n["fail"] + n["cancelled"] + n["skipped"] + n["todo"] }' "$log"
        ;;
    reference) # what only roomcast has is skipped
        awk '/^# (pass|fail|cancelled|todo) [0-9]+$/ { n[$2] += $3 }
            END { print n["pass"] + 0, n["fail"] + n["cancelled"] + n["todo"] }' "$log"
        ;;
    *)
        [ "$1" = unit ] && [ -z "$sanitized" ] && log=$build/log/unit.tap
        awk '/^(not )?ok/ { if (/^ok/ && !/# SKIP/) ok++; else bad++ }
            END { print ok + 0, bad + 0 }' "$log"
        ;;
    esac
}

bad=0
for suite; do
    start=$SECONDS
    rm -f "$build/log/$suite".* "build/failures/$flavour-$suite"
    [ "$suite" != e2e ] || rm -f "$unsteady"
    echo "== $flavour $suite"
    "$suite" 2>&1 </dev/null | tee "$build/log/$suite.log"
    rc=${PIPESTATUS[0]}
    read -r passed failed < <(count "$suite" 2>/dev/null || echo 0 0)
    # A crash, a time-out or a leak after the last test has no line of its own; nor has an empty suite.
    [ $((passed + failed)) -eq 0 ] && rc=1 && echo "# $suite: no test ran"
    [ "$rc" -ne 0 ] && [ "$failed" -eq 0 ] && failed=1
    [ "$failed" -eq 0 ] || { bad=1 && failed_tests "$build/log/$suite.log" >"build/failures/$flavour-$suite"; }
    echo "$passed $failed" >"build/results/$flavour-$suite"
    echo "== $flavour $suite: $passed passed, $failed failed ($((SECONDS - start)) s)"
    [ "$suite" != e2e ] || [ ! -s "$unsteady" ] || echo "== passed only the second time: see $unsteady"
    [ "$suite" != e2e ] || [ -z "$left_out" ] ||
        echo "== not run: $left_out. SEEDS_DIR names no folder of articles, and there is no ../shared/seeds"
done
exit $bad
