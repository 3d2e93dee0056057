# chart.awk - an SVG chart of CPU time per delivery: one group of bars for each scenario, on a
# logarithmic scale because the figures span three powers of ten.

{
    split(field($0, "label"), label, " ")
    cpu = field($0, "cpu_us") + 0
    if (field($0, "idle") == "true" || cpu <= 0)
        next
    if (!(label[1] in group)) {
        group[label[1]] = ++ngroups
        name[ngroups] = label[1]
    }
    if (!(label[2] in series)) {
        series[label[2]] = ++nseries
        who[nseries] = label[2]
    }
    n = ++count[group[label[1]], series[label[2]]]
    value[group[label[1]], series[label[2]], n] = cpu
}

function median(g, s, n,    i, j, x, v) {
    for (i = 1; i <= n; i++)
        v[i] = value[g, s, i]
    for (i = 2; i <= n; i++) {
        x = v[i]
        for (j = i - 1; j >= 1 && v[j] > x; j--)
            v[j + 1] = v[j]
        v[j + 1] = x
    }
    return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
}

# From 0.1 to 1,000 µs.
function place(x) {
    x = x < 0.1 ? 0.1 : x > 1000 ? 1000 : x
    return left + width * (log(x) / log(10) + 1) / 4
}

END {
    split("#8a8f98 #c2410c #e8935a #1d4ed8 #7aa2f7 #15803d #86c79b #6b21a8", colour, " ")
    left = 170; width = 640; bar = 11; gap = 12; top = 60
    y = top
    for (g = 1; g <= ngroups; g++) {
        first[g] = y
        for (s = 1; s <= nseries; s++)
            if ((g, s) in count)
                y += bar
        y += gap
    }
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" " \
        "font-family=\"sans-serif\" font-size=\"10\">\n", left + width + 70, y + 24
    print "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>"
    print "<text x=\"10\" y=\"20\" font-size=\"14\">Server CPU per delivery in µs (logarithmic; less is better)</text>"
    for (s = 1; s <= nseries; s++) {
        printf "<rect x=\"%d\" y=\"31\" width=\"10\" height=\"10\" fill=\"%s\"/>", \
            left + (s - 1) * 100, colour[s]
        printf "<text x=\"%d\" y=\"40\">%s</text>\n", left + (s - 1) * 100 + 14, who[s]
    }
    for (e = -1; e <= 3; e++) {
        x = place(10 ^ e)
        printf "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\" stroke=\"#ddd\"/>", x, x, top - 8, y
        printf "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%g</text>\n", x, y + 14, 10 ^ e
    }
    for (g = 1; g <= ngroups; g++) {
        at = first[g]
        printf "<text x=\"%d\" y=\"%d\" text-anchor=\"end\" font-size=\"11\">%s</text>\n", \
            left - 8, at + 10, name[g]
        for (s = 1; s <= nseries; s++) {
            if (!((g, s) in count))
                continue
            m = median(g, s, count[g, s])
            printf "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>", \
                left, at, place(m) - left, bar - 1, colour[s]
            printf "<text x=\"%.1f\" y=\"%d\" font-size=\"9\">%.3g</text>\n", \
                place(m) + 4, at + 9, m
            at += bar
        }
    }
    print "</svg>"
}
