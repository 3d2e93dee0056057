# table.awk - Markdown tables from JSON lines. Before them come lines "title NAME KIND TEXT", one
# for each scenario in the order of the report.

$1 == "title" {
    names[++nnames] = $2
    kind[$2] = $3
    title[$2] = $0
    sub(/^title [^ ]+ [^ ]+ /, "", title[$2])
    next
}

{
    split(field($0, "label"), label, " ")
    key = label[1] SUBSEP label[2]
    if (!(label[2] in rank)) {
        rank[label[2]] = ++nservers
        server[nservers] = label[2]
    }
    row[key, ++runs[key]] = $0
}

# Sorts v[1..n] and returns the middle.
function median(v, n,    i, j, x) {
    for (i = 2; i <= n; i++) {
        x = v[i]
        for (j = i - 1; j >= 1 && v[j] > x; j--)
            v[j + 1] = v[j]
        v[j + 1] = x
    }
    return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
}

function digits(x) {
    if (x >= 1000)
        return sprintf("%.0f", x)
    return x >= 100 ? sprintf("%.0f", x) : x >= 10 ? sprintf("%.1f", x) : sprintf("%.2f", x)
}

# Collects one figure of all runs of a scenario and server into v; how many.
function collect(scenario, who, name, v,    i, n) {
    n = runs[scenario, who]
    for (i = 1; i <= n; i++)
        v[i] = field(row[scenario, who, i], name) + 0
    return n
}

function middle(scenario, who, name,    v, n) {
    n = collect(scenario, who, name, v)
    return median(v, n)
}

function spread(scenario, who, name,    v, n, m) {
    n = collect(scenario, who, name, v)
    m = median(v, n)
    return digits(m) (n > 1 ? " (" digits(v[1]) "–" digits(v[n]) ")" : "")
}

# The median of the ratios to the floor in the same round.
function to_floor(scenario, who, name,    i, n, v, base) {
    for (i = 1; i <= runs[scenario, who] && i <= runs[scenario, "floor"]; i++) {
        base = field(row[scenario, "floor", i], name) + 0
        if (base > 0)
            v[++n] = field(row[scenario, who, i], name) / base
    }
    return n ? sprintf("%.2f", median(v, n)) : ""
}

function faults(scenario, who,    i, n, line) {
    for (i = 1; i <= runs[scenario, who]; i++) {
        line = row[scenario, who, i]
        n += field(line, "lost") + field(line, "duplicated") + field(line, "disordered")
        n += field(line, "misrouted") + field(line, "failed")
    }
    return n + 0
}

function cell(text) {
    printf " %s |", text
}

function cpu_table(s,    i, w) {
    print "| server | CPU µs each | to the floor | of it in user space | instructions, user + kernel | p50 µs | p99 µs | p99.9 µs | per second | messages per read | client µs | faults |"
    print "|---|---|---|---|---|---|---|---|---|---|---|---|"
    for (i = 1; i <= nservers; i++) {
        w = server[i]
        if (!((s, w) in runs))
            continue
        printf "| %s |", w
        cell(spread(s, w, "cpu_us"))
        cell(to_floor(s, w, "cpu_us"))
        cell(digits(middle(s, w, "user_us")))
        cell(digits(middle(s, w, "user_insn")) " + " digits(middle(s, w, "kernel_insn")))
        cell(spread(s, w, "p50_us"))
        cell(spread(s, w, "p99_us"))
        cell(digits(middle(s, w, "p999_us")))
        cell(digits(middle(s, w, "per_s")))
        cell(digits(middle(s, w, "per_read")))
        cell(digits(middle(s, w, "client_us")))
        cell(faults(s, w))
        print ""
    }
}

function idle_table(s,    i, w) {
    print "| server | resident bytes per connection | CPU µs per accept, handshake and join | to the floor | instructions, user + kernel | seconds to connect all | cores when idle | faults |"
    print "|---|---|---|---|---|---|---|---|"
    for (i = 1; i <= nservers; i++) {
        w = server[i]
        if (!((s, w) in runs))
            continue
        printf "| %s |", w
        cell(spread(s, w, "rss_per_conn"))
        cell(spread(s, w, "accept_us"))
        cell(to_floor(s, w, "accept_us"))
        cell(digits(middle(s, w, "accept_user_insn")) " + " digits(middle(s, w, "accept_kernel_insn")))
        cell(digits(middle(s, w, "setup_s")))
        cell(digits(middle(s, w, "server_cores")))
        cell(faults(s, w))
        print ""
    }
}

function summary(    i, j, s, w) {
    printf "| CPU µs per delivery |"
    for (i = 1; i <= nservers; i++)
        printf " %s |", server[i]
    printf "\n|---|"
    for (i = 1; i <= nservers; i++)
        printf "---|"
    print ""
    for (j = 1; j <= nnames; j++) {
        s = names[j]
        printf "| %s%s |", s, kind[s] == "idle" ? " (bytes per connection)" : ""
        for (i = 1; i <= nservers; i++) {
            w = server[i]
            if ((s, w) in runs)
                cell(digits(middle(s, w, kind[s] == "idle" ? "rss_per_conn" : "cpu_us")))
            else
                cell("")
        }
        print ""
    }
}

END {
    summary()
    for (j = 1; j <= nnames; j++) {
        printf "\n## %s\n\n%s\n\n", names[j], title[names[j]]
        if (kind[names[j]] == "idle")
            idle_table(names[j])
        else
            cpu_table(names[j])
    }
}
