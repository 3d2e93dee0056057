# table.awk - Markdown tables of all runs; with json.awk and stats.awk.

function cell(text) {
    printf " %s |", text
}

function cpu_row(s, w) {
    cell(spread(s, w, "cpu_us"))
    cell(to_floor(s, w, "cpu_us"))
    cell(digits(middle(s, w, "user_us")))
    cell(digits(middle(s, w, "user_insn")) " + " digits(middle(s, w, "kernel_insn")))
    cell(to_floor(s, w, "insn"))
    cell(spread(s, w, "p50_us"))
    cell(spread(s, w, "p99_us"))
    cell(digits(middle(s, w, "p999_us")))
    cell(digits(middle(s, w, "per_s")))
    cell(digits(middle(s, w, "per_read")))
    cell(digits(middle(s, w, "client_us")))
}

function idle_row(s, w) {
    cell(spread(s, w, "rss_per_conn"))
    cell(spread(s, w, "accept_us"))
    cell(to_floor(s, w, "accept_us"))
    cell(digits(middle(s, w, "accept_user_insn")) " + " digits(middle(s, w, "accept_kernel_insn")))
    cell(digits(middle(s, w, "setup_s")))
    cell(digits(middle(s, w, "server_cores")))
}

function stall_row(s, w) {
    cell(spread(s, w, "p50_us"))
    cell(spread(s, w, "p99_us"))
    cell(digits(middle(s, w, "p999_us")))
    cell(spread(s, w, "cpu_us"))
    cell(digits(middle(s, w, "rss_rise") / 1024))
    cell(middle(s, w, "stalled_closed") " of " middle(s, w, "stalled"))
}

function head(columns,    line) {
    line = columns
    gsub(/[^|]+/, "---", line)
    print columns "\n" line
}

# Of a scenario: one row per server.
function table(s,    i, w) {
    if (kind[s] == "idle")
        head("| server | resident bytes per connection | CPU µs per accept, handshake and join | to the floor | instructions, user + kernel | seconds to connect all | cores when idle | faults |")
    else if (kind[s] == "stall")
        head("| server | p50 µs of the others | p99 µs | p99.9 µs | CPU µs each | resident growth under load, KiB | stalled members closed | faults |")
    else
        head("| server | CPU µs each | to the floor | of it in user space | instructions, user + kernel | to the floor | p50 µs | p99 µs | p99.9 µs | per second | messages per read | client µs | faults |")
    for (i = 1; i <= nservers; i++) {
        w = server[i]
        if (!((s, w) in runs))
            continue
        printf "| %s |", w
        if (kind[s] == "idle")
            idle_row(s, w)
        else if (kind[s] == "stall")
            stall_row(s, w)
        else
            cpu_row(s, w)
        cell(faults(s, w))
        print ""
    }
}

function summary(    i, j, s, w) {
    printf "| median CPU µs per delivery |"
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
                cell("–")
        }
        print ""
    }
}

END {
    summary()
    for (j = 1; j <= nnames; j++) {
        printf "\n### %s\n\n%s\n\n", names[j], title[names[j]]
        table(names[j])
    }
}
