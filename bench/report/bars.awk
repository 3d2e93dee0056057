# bars.awk - what was to be reached, and whether it was; with json.awk and stats.awk. Ratios are
# medians of pairs, each of two runs of the same round.

function tell(what, bar, value, range, met) {
    printf "| %s | %s | %s%s | %s |\n", what, bar, value, range, met
    verdict[met]++
}

function range(unit) {
    return pairs > 1 ? " (" digits(pair_least) "–" digits(pair_most) unit ")" : ""
}

# The ratio of a figure between two servers may be at most `most`.
function at_most(s, who, base, name, most, what,    x) {
    x = paired(s, who, s, base, name, "/")
    if (pairs)
        tell(what ", " s, "≤ " most, digits(x), range(""), x <= most ? "yes" : "**no**")
}

# The base must use at least `least` times as much as roomcast.
function at_least(s, base, least,    x) {
    x = paired(s, base, s, "roomcast-1", "cpu_us", "/")
    if (pairs)
        tell("CPU per delivery of socket.io to roomcast's, " s, "≥ " least, digits(x), range(""),
            x >= least ? "yes" : "**no**")
}

function below(s, who, name, most, what, unit,    v, n, x) {
    n = collect(s, who, name, v)
    if (n == 0)
        return
    x = median(v, n)
    tell(what ", " s, "≤ " most unit, digits(x) unit,
        n > 1 ? " (" digits(v[1]) "–" digits(v[n]) unit ")" : "", x <= most ? "yes" : "**no**")
}

function floor_bars(    i, n, s, cpu, open) {
    n = split("fanout-1x1000@20 fanout-1x1000@100 closed1 rooms-1000x10 chat-100x50-256B", cpu, " ")
    for (i = 1; i <= n; i++)
        at_most(cpu[i], "roomcast-1", "floor", "cpu_us", 1.10, "CPU per delivery to the floor's")
    at_most("closed16", "roomcast-1", "floor", "cpu_us", 1.15, "CPU per delivery to the floor's")
    at_most("big-16k-200", "roomcast-1", "floor", "cpu_us", 1.20, "CPU per delivery to the floor's")
    at_most("echo-1", "roomcast-1", "floor", "cpu_us", 1.10, "CPU per message to the floor's")
    at_most("echo-100", "roomcast-1", "floor", "cpu_us", 1.10, "CPU per message to the floor's")
    for (i = 1; i <= n; i++)
        below(cpu[i], "roomcast-1", "user_us", 0.3, "user space per delivery", " µs")
    below("closed16", "roomcast-1", "user_us", 0.3, "user space per delivery", " µs")
    n = split("fanout-1x1000@20 fanout-1x1000@100 chat-100x50-256B", open, " ")
    for (i = 1; i <= n; i++)
        at_most(open[i], "roomcast-1", "floor", "p99_us", 1.25, "p99 to the floor's")
}

function shard_bars(    j, s, x) {
    for (j = 1; j <= nnames; j++)
        if (kind[names[j]] == "cpu")
            at_most(names[j], "roomcast-2", "roomcast-1", "cpu_us", 1.15, "2 shards to 1, CPU")
    x = paired("hop", "roomcast-2", "hop", "roomcast-1", "p50_us", "-")
    if (pairs)
        tell("what the hop between shards adds at p50", "≤ 20 µs", digits(x) " µs", range(" µs"),
            x <= 20 ? "yes" : "**no**")
}

function stall_bars(    x) {
    x = paired("stall-one", "roomcast-1", "stall-none", "roomcast-1", "p99_us", "/")
    if (pairs)
        tell("p99 of the others with one stalled member to without", "≤ 1.25", digits(x), range(""),
            x <= 1.25 ? "yes" : "**no**")
    x = paired("stall-one", "roomcast-1", "stall-none", "roomcast-1", "rss_rise", "-") / 1024
    if (pairs) {
        pair_least /= 1024
        pair_most /= 1024
        tell("memory that the stalled member adds (bound 256 KiB)", "≤ 512 KiB", digits(x) " KiB",
            range(" KiB"), x <= 512 ? "yes" : "**no**")
    }
}

# "one message to all N: T ns, A allocations, C copies for each delivery": the first of them, when
# nothing is warm.
function million_bars(    line, word) {
    while (million != "" && (getline line < million) > 0) {
        if (line ~ /^[0-9]+ connections/) {
            sub(/^.*: /, "", line)
            tell("bytes per connection, 1,000,000 without sockets", "≤ 768", digits(line + 0), "",
                line + 0 <= 768 ? "yes" : "**no**")
        }
        if (line !~ /^one message to all/)
            continue
        sub(/^.*: */, "", line)
        split(line, word, " ")
        tell("allocations per member on the delivery path", "0", sprintf("%.4f", word[3]), "",
            word[3] < 0.001 ? "yes" : "**no**")
        tell("copies of the payload per member", "0", sprintf("%.4f", word[5]), "",
            word[5] < 0.001 ? "yes" : "**no**")
        tell("user space per delivery, 1,000,000 members", "≤ 0.3 µs", sprintf("%.3f µs", word[1] / 1000),
            "", word[1] <= 300 ? "yes" : "**no**")
        break
    }
}

function fault_bar(    i, j, n) {
    for (j = 1; j <= nnames; j++)
        for (i = 1; i <= nservers; i++)
            if (server[i] ~ /^roomcast/)
                n += faults(names[j], server[i])
    tell("lost, duplicated, out of order, misrouted, failed, aborted", "0", n + 0, "",
        n == 0 ? "yes" : "**no**")
}

END {
    print "| figure of roomcast with 1 shard | bar | median (least–greatest) | met |"
    print "|---|---|---|---|"
    floor_bars()
    at_least("fanout-1x1000@20", "socketio", 3)
    at_least("closed1", "socketio", 3)
    at_least("closed16", "socketio", 15)
    at_least("rooms-1000x10", "socketio", 2.5)
    at_least("chat-100x50-256B", "socketio", 2.5)
    below("idle-19000", "roomcast-1", "rss_per_conn", 768, "resident bytes per connection", "")
    at_most("idle-19000", "roomcast-1", "floor", "accept_us", 2, "CPU per accept to the floor's")
    at_most("churn", "roomcast-1", "floor", "cpu_us", 2, "CPU per connection that comes and goes")
    shard_bars()
    stall_bars()
    million_bars()
    fault_bar()
    printf "\n%d met, %d not met.\n", verdict["yes"], verdict["**no**"]
}
