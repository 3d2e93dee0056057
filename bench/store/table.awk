# table.awk - the report of bench/store/run.sh: bars, figures, the floor. Lines are runs in flat JSON,
# labelled "STORE SCENARIO ROUND" or "floor BATCH", or "title SCENARIO TEXT" in the report's order.

$1 == "title" {
    names[++nnames] = $2
    title[$2] = $0
    sub(/^title [^ ]+ /, "", title[$2])
    next
}

{
    split(field($0, "label"), part, " ")
    if (part[1] == "floor") {
        if (!(part[2] in nfloor))
            batch[++nbatches] = part[2]
        floor[part[2], ++nfloor[part[2]]] = $0
    } else {
        run[part[1], part[2], ++nruns[part[1], part[2]]] = $0
    }
}

function sort(v, n,    i, j, x) {
    for (i = 2; i <= n; i++) {
        x = v[i]
        for (j = i - 1; j >= 1 && v[j] > x; j--)
            v[j + 1] = v[j]
        v[j + 1] = x
    }
}

# "median (least–greatest)" of v[1..n]; leaves the median in middle.
function spread(v, n, form) {
    sort(v, n)
    middle = n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
    if (n == 1)
        return sprintf(form, v[1])
    return sprintf(form " (" form "–" form ")", middle, v[1], v[n])
}

function figure(store, name, key, by, form,    i, v) {
    for (i = 1; i <= nruns[store, name]; i++)
        v[i] = field(run[store, name, i], key) / by
    return spread(v, nruns[store, name], form)
}

function floor_figure(size, key, by, form,    i, v) {
    for (i = 1; i <= nfloor[size]; i++)
        v[i] = field(floor[size, i], key) / by
    return spread(v, nfloor[size], form)
}

function total(store, name, key,    i, n) {
    for (i = 1; i <= nruns[store, name]; i++)
        n += field(run[store, name, i], key)
    return n + 0
}

function faults(store, name,    n) {
    n = total(store, name, "refused") + total(store, name, "unacked") + total(store, name, "lost")
    n += total(store, name, "duplicated") + total(store, name, "disordered") + total(store, name, "failed")
    return n
}

function bar(what, bound, shown, met) {
    printf "| %s | %s | %s | %s |\n", what, bound, shown, met ? "yes" : "**no**"
}

function table(store,    i, s) {
    printf "\n### %s\n\n", store == "sqlite" ? "SQLite" : "MariaDB"
    print "| | acked/s | ack p50 ms | ack p99 ms | sent | acked | stored | faults | roomcast, cores |"
    print "|---|---|---|---|---|---|---|---|---|"
    for (i = 1; i <= nnames; i++) {
        s = names[i]
        if (nruns[store, s])
            printf "| %s (`%s`) | %s | %s | %s | %d | %d | %d | %d | %s |\n", title[s], s,
                figure(store, s, "acked_per_s", 1, "%.0f"), figure(store, s, "ack_p50_us", 1000, "%.1f"),
                figure(store, s, "ack_p99_us", 1000, "%.1f"), total(store, s, "sent"),
                total(store, s, "acked"), total(store, s, "stored"), faults(store, s),
                figure(store, s, "server_cores", 1, "%.2f")
    }
}

END {
    print "## What was to be reached\n\n| figure | bar | median (least–greatest) | met |\n|---|---|---|---|"
    if (nruns["sqlite", "closed-1000"]) {
        s = figure("sqlite", "closed-1000", "acked_per_s", 1, "%.0f")
        bar("stored and acknowledged per second, SQLite", "≥ 20000", s, middle >= 20000)
    }
    if (nruns["sqlite", "open-10000"]) {
        s = figure("sqlite", "open-10000", "ack_p99_us", 1000, "%.1f ms")
        bar("ack p99 at 10,000 messages/s, SQLite", "≤ 50 ms", s, middle <= 50)
        s = figure("sqlite", "open-10000", "acked_per_s", 1, "%.0f")
        bar("of those 10,000/s are acknowledged", "≥ 9900", s, middle >= 9900)
    }
    for (key in nruns) {
        split(key, part, SUBSEP)
        bad += faults(part[1], part[2])
        differ += total(part[1], part[2], "acked") - total(part[1], part[2], "stored")
    }
    bar("messages refused, lost, repeated or out of order", "0", bad + 0, bad == 0)
    bar("acknowledged but not stored, or the other way round", "0", differ + 0, differ == 0)
    print "\n## Figures"
    if (nruns["sqlite", names[1]] || !nruns["mariadb", names[1]])
        table("sqlite")
    if (nruns["mariadb", names[1]])
        table("mariadb")
    print "\n### The floor: bare SQLite, one thread, the same rows in transactions of a fixed size\n"
    print "| rows in a transaction | rows/s | transaction p50 ms | p99 ms |\n|---|---|---|---|"
    for (i = 1; i <= nbatches; i++)
        printf "| %s | %s | %s | %s |\n", batch[i], floor_figure(batch[i], "per_s", 1, "%.0f"),
            floor_figure(batch[i], "p50_us", 1000, "%.2f"), floor_figure(batch[i], "p99_us", 1000, "%.2f")
    print ""
}
