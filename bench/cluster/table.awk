# table.awk - the report of bench/cluster/run.sh; with json.awk and stats.awk. Servers are "NAME-NODES".

function bar(what, bound, shown, insn, floor, own, met) {
    printf "| %s | %s | %s |%s|%s|%s| %s |\n", what, bound ? "≥ " bound : 0, shown, cell(insn), cell(floor), cell(own), \
        met ? "yes" : floor != "" && floor + 0 < bound + 0 ? "no; nor the floor" : "**no**"
    verdict[met]++
}

function cell(text) { return text == "" ? " " : " " text " " }

function between() { return pairs > 1 ? " (" digits(pair_least) "–" digits(pair_most) ")" : "" }

# The share of the messages that were due: below 1 a server has not kept pace. A closed loop waits.
function pace(s, w,    i, n, line, due, v) {
    for (i = 1; i <= rounds; i++) {
        line = row[s, w, i]
        due = figure(line, "sent") > 0 ? figure(line, "rate") * figure(line, "expected") / figure(line, "sent") : 0
        if (due > 0)
            v[++n] = figure(line, "per_s") / due
    }
    return n ? median(v, n) : 1
}

function too_slow(s, w) { return pace(s, w) < 0.97 ? "kept up with " int(100 * pace(s, w)) " % of the messages" : "" }

function bars(    j, s, x, n, i, shown, insn, f, own) {
    print "## What was to be reached\n\n| CPU of a delivery from node to node | bar | Node's to roomcast's: median (least–greatest) | in instructions | Node's to the floor's | roomcast's to the floor's | met |\n|---|---|---|---|---|---|---|"
    for (j = 1; j <= nnames; j++) {
        s = names[j]
        if (s ~ /^(empty|redis)/)
            continue
        x = paired(s, "socketio-2", s, "roomcast-2", "cross_us", "/")
        if (pairs == 0)
            continue
        shown = digits(x) between() (too_slow(s, "socketio-2") != "" ? "; Node " too_slow(s, "socketio-2") : "")
        i = paired(s, "socketio-2", s, "roomcast-2", "insn", "/")
        insn = pairs ? digits(i) : "–"
        f = paired(s, "socketio-2", s, "floor-2", "cross_us", "/")
        f = pairs ? digits(f) between() : ""
        own = paired(s, "roomcast-2", s, "floor-2", "cross_us", "/")
        own = pairs ? digits(own) between() : ""
        bar(s, 5, shown, insn, f, own, x >= 5)
    }
    for (j = 1; j <= nnames; j++)
        for (i = 1; i <= nservers; i++)
            if (server[i] ~ /^roomcast/)
                n += faults(names[j], server[i])
    bar("faults: lost, duplicated, out of order, misrouted, failed, aborted", 0, n + 0, "", "", "", n == 0)
    printf "\n%d met, %d not met.\n", verdict[1], verdict[0]
}

function crossing(s,    i, w) {
    print "| 2 nodes of | CPU µs of a delivery from node to node | of any delivery | of a message, both nodes | instructions of a message | Redis, of a message | p50 µs on its node | p50 µs, node to node | added p50 | p99 µs on its node | p99 µs, node to node | added p99 | deliveries/s | faults |"
    print "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
    for (i = 1; i <= nservers; i++) {
        w = server[i]
        if (runs[s, w] + aborted[s, w] == 0)
            continue
        printf "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s%s | %d |\n", kind_of(w),
            spread(s, w, "cross_us"), spread(s, w, "cpu_us"), spread(s, w, "server_sent_us"), instructions(s, w),
            spread(s, w, "beside1_us"), digits(middle(s, w, "near_p50_us")), spread(s, w, "far_p50_us"),
            digits(added(s, w, "p50")), digits(middle(s, w, "near_p99_us")), spread(s, w, "far_p99_us"),
            digits(added(s, w, "p99")), digits(middle(s, w, "per_s")),
            too_slow(s, w) != "" ? ": " too_slow(s, w) : "", faults(s, w)
    }
}

# Of the servers for a message; medians.
function instructions(s, w,    i, n, by, sent, u, k) {
    for (i = 1; i <= rounds; i++)
        if ((s, w, i) in row) {
            sent = figure(row[s, w, i], "sent_per_s")
            by = sent > 0 ? figure(row[s, w, i], "per_s") / sent : 0
            u[++n] = field(row[s, w, i], "user_insn") * by
            k[n] = field(row[s, w, i], "kernel_insn") * by
        }
    return n ? sprintf("%.0f + %.0f", median(u, n), median(k, n)) : ""
}

function kind_of(w) { sub(/-[0-9]+$/, "", w); return w }

# Of each run: what the way from node to node takes more than the way on one; the median.
function added(s, w, q,    i, n, v) {
    for (i = 1; i <= rounds; i++)
        if ((s, w, i) in row)
            v[++n] = figure(row[s, w, i], "far_" q "_us") - figure(row[s, w, i], "near_" q "_us")
    return n ? median(v, n) : 0
}

# Of each other node, for each message: their sum is beside2_us.
function idle(s, w, m,    v, n, i) {
    n = collect(s, w, "beside2_us", v)
    if (m < 2 || n == 0)
        return "–"
    for (i = 1; i <= n; i++)
        v[i] /= m - 1
    return digits(median(v, n)) (n > 1 ? " (" digits(v[1]) "–" digits(v[n]) ")" : "")
}

function empty(s,    i, w, m) {
    print "| nodes | CPU µs of a message on the node that sends it | instructions, user + kernel | on each other node | Redis | p50 µs on the node | faults |"
    print "|---|---|---|---|---|---|---|"
    for (i = 1; i <= nservers; i++) {
        w = server[i]
        if (runs[s, w] + aborted[s, w] == 0)
            continue
        m = w
        sub(/^.*-/, "", m)
        printf "| %s | %s | %s | %s | %s | %s | %d |\n", s ~ /^redis/ ? m " for Redis" : m " × " kind_of(w),
            spread(s, w, "server_sent_us"), instructions(s, w), s ~ /^redis/ ? "–" : idle(s, w, m), spread(s, w, "beside1_us"), digits(middle(s, w, "p50_us")), faults(s, w)
    }
}

# What the model in docs/cluster.md needs. Redis: a + b × n µs for a message with n nodes, by least squares.
function model(    i, j, s, m, n, x, y, xx, xy, r, a, b, c) {
    for (j = 1; j <= nnames; j++)
        if (names[j] ~ /^redis/)
            s = names[j]
    for (i = 1; i <= nservers && s != ""; i++) {
        if (runs[s, server[i]] == 0)
            continue
        m = server[i]
        sub(/^.*-/, "", m)
        r = middle(s, server[i], "beside1_us")
        n++
        x += m
        y += r
        xx += m * m
        xy += m * r
    }
    if (n < 2)
        return
    b = (n * xy - x * y) / (n * xx - x * x)
    a = (y - b * x) / n
    print "\n### 100 nodes\n\nThe constants of the model in docs/cluster.md:\n"
    print "| | µs of a processor |"
    print "|---|---|"
    for (j = 1; j <= nnames; j++) {
        if (names[j] !~ /^empty/ || runs[names[j], "roomcast-4"] == 0)
            continue
        c = middle(names[j], "roomcast-4", "beside2_us") / 3
        printf "| c: a message, on each node without members of its room, `%s` | %s |\n", names[j], digits(c)
        printf "| p: a message, on the node that sends it, one delivery there included, `%s` | %s |\n", names[j], \
            digits(middle(names[j], "roomcast-4", "server_sent_us"))
    }
    printf "| r(n): a message, in Redis with n nodes, `%s` | %s + %s × n |\n", s, digits(a), digits(b)
    r = a + 100 * b
    if (r <= 0)
        return
    print "\n| messages/s of all 100 nodes together | a node, % of a processor | Redis, % of its thread |"
    print "|---|---|---|"
    for (j = 1; j <= nnames; j++) {
        if (names[j] !~ /^empty/ || runs[names[j], "roomcast-4"] == 0)
            continue
        m = middle(names[j], "roomcast-4", "rate")
        c = middle(names[j], "roomcast-4", "beside2_us") / 3
        printf "| %d | %s | %s |\n", m, digits((m * c + m / 100 * middle(names[j], "roomcast-4", "server_sent_us")) / 1e4), \
            digits(m * r / 1e4)
    }
    printf "\nRedis is full at %d messages/s.\n", 1e6 / r
}

END {
    bars()
    print "\n## Figures"
    for (j = 1; j <= nnames; j++) {
        printf "\n### %s\n\n%s\n\n", names[j], title[names[j]]
        if (names[j] ~ /^(empty|redis)/)
            empty(names[j])
        else
            crossing(names[j])
    }
    model()
    print ""
}
