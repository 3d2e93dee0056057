# stats.awk - the runs, and what is made of them. Every line is a run in flat JSON as bench/load
# writes it, labelled "SCENARIO SERVER ROUND", or "title SCENARIO KIND TEXT" in the report's order.

$1 == "title" {
    names[++nnames] = $2
    kind[$2] = $3
    title[$2] = $0
    sub(/^title [^ ]+ [^ ]+ /, "", title[$2])
    next
}

$1 == "servers" {
    for (i = 2; i <= NF; i++)
        add_server($i)
    next
}

{
    split(field($0, "label"), part, " ")
    add_server(part[2])
    if (part[3] > rounds)
        rounds = part[3]
    if (field($0, "aborted") + 0 > 0) {
        aborted[part[1], part[2]]++
        next
    }
    row[part[1], part[2], part[3]] = $0
    runs[part[1], part[2]]++
}

function add_server(who) {
    if (!(who in rank)) {
        rank[who] = ++nservers
        server[nservers] = who
    }
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
    if (x < 0)
        return "-" digits(-x)
    return sprintf(x >= 100 ? "%.0f" : x >= 10 ? "%.1f" : "%.2f", x)
}

# A figure of one run; "insn" is all instructions.
function figure(run, name) {
    if (name == "insn")
        return field(run, "user_insn") + field(run, "kernel_insn")
    return field(run, name) + 0
}

# Collects one figure of all runs of a scenario and server into v, sorted; how many.
function collect(s, who, name, v,    i, n) {
    n = 0
    for (i = 1; i <= rounds; i++)
        if ((s, who, i) in row)
            v[++n] = figure(row[s, who, i], name)
    if (n > 0)
        median(v, n)
    return n
}

function middle(s, who, name,    v, n) {
    n = collect(s, who, name, v)
    return n ? median(v, n) : 0
}

# "median (least–greatest)"
function spread(s, who, name,    v, n) {
    n = collect(s, who, name, v)
    if (n == 0)
        return ""
    return digits(median(v, n)) (n > 1 ? " (" digits(v[1]) "–" digits(v[n]) ")" : "")
}

# Compares two servers, or two scenarios, in the rounds that have both: op "/" or "-". Sets
# pair_least and pair_most, returns the median; pairs is their number.
function paired(s, who, base_s, base, name, op,    i, v, b) {
    pairs = 0
    for (i = 1; i <= rounds; i++) {
        if (!((s, who, i) in row) || !((base_s, base, i) in row))
            continue
        b = figure(row[base_s, base, i], name)
        if (op == "-")
            v[++pairs] = figure(row[s, who, i], name) - b
        else if (b > 0)
            v[++pairs] = figure(row[s, who, i], name) / b
    }
    if (pairs == 0)
        return 0
    b = median(v, pairs)
    pair_least = v[1]
    pair_most = v[pairs]
    return b
}

function to_floor(s, who, name,    x) {
    x = paired(s, who, s, "floor", name, "/")
    return pairs ? digits(x) : ""
}

function faults(s, who,    i, n, line) {
    n = aborted[s, who]
    for (i = 1; i <= rounds; i++) {
        if (!((s, who, i) in row))
            continue
        line = row[s, who, i]
        n += field(line, "lost") + field(line, "duplicated") + field(line, "disordered")
        n += field(line, "misrouted") + field(line, "failed")
    }
    return n + 0
}
