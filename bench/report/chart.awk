# chart.awk - an SVG chart: for each scenario the server's CPU time per delivery as a multiple of
# the floor's, then memory and CPU for each connection. With json.awk and stats.awk.

function bar(y, x, colour, text) {
    printf "<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" rx=\"1\" fill=\"%s\"/>", \
        left, y, (x > left + 1 ? x - left : 1), thick - 2, colour
    printf "<text x=\"%.1f\" y=\"%d\" font-size=\"9\">%s</text>\n", \
        4 + (x > left ? x : left), y + thick - 4, text
}

# From 0.5 to 100 times the floor.
function place(x) {
    x = x < 0.5 ? 0.5 : x > 100 ? 100 : x
    return left + width * log(x / 0.5) / log(200)
}

function caption(y, text) {
    printf "<text x=\"10\" y=\"%d\" font-size=\"13\" font-weight=\"bold\">%s</text>\n", y, text
}

function label(y, text) {
    printf "<text x=\"%d\" y=\"%d\" text-anchor=\"end\" font-size=\"11\">%s</text>\n", \
        left - 8, y + thick - 4, text
}

function measured(s,    i, n) {
    for (i = 1; i <= nservers; i++)
        n += server[i] != "floor" && ((s, server[i]) in runs)
    return n
}

# One group of bars; returns where the next begins.
function ratios(s, name, y,    i, w, x) {
    label(y, s)
    for (i = 1; i <= nservers; i++) {
        w = server[i]
        if (w == "floor" || !((s, w) in runs))
            continue
        x = paired(s, w, s, "floor", name, "/")
        if (!pairs)
            continue
        bar(y, place(x), colour[i], sprintf("%.2f×  (%s µs)", x, digits(middle(s, w, name))))
        y += thick
    }
    return y + gap
}

function grid(from, to,    i, n, tick) {
    n = split("0.5 1 2 5 10 20 50 100", tick, " ")
    for (i = 1; i <= n; i++) {
        printf "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\" stroke=\"%s\"%s/>", \
            place(tick[i]), place(tick[i]), from, to, tick[i] == 1 ? "#333" : "#ddd", \
            tick[i] == 1 ? "" : " stroke-dasharray=\"2 2\""
        printf "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", \
            place(tick[i]), to + 12, tick[i] == 1 ? "floor" : tick[i] "×"
    }
}

function memory(s, y,    i, w, x, most) {
    for (i = 1; i <= nservers; i++)
        if (((s, server[i]) in runs) && (x = middle(s, server[i], "rss_per_conn")) > most)
            most = x
    label(y, s)
    for (i = 1; i <= nservers; i++) {
        w = server[i]
        if (!((s, w) in runs))
            continue
        x = middle(s, w, "rss_per_conn")
        bar(y, left + width * x / (most > 0 ? most : 1), colour[i], w ": " digits(x))
        y += thick
    }
    return y + gap
}

function body(    i, j, s, x, y, from) {
    caption(22, "Server CPU per delivery, as a multiple of the floor in the same rounds (logarithmic; less is better)")
    x = 10
    for (i = 1; i <= nservers; i++) {
        if (server[i] == "floor")
            continue
        printf "<rect x=\"%d\" y=\"32\" width=\"10\" height=\"10\" fill=\"%s\"/>", x, colour[i]
        printf "<text x=\"%d\" y=\"41\">%s</text>\n", x + 14, server[i]
        x += 24 + 6.5 * length(server[i])
    }
    from = y = 58
    for (j = 1; j <= nnames; j++) {
        s = names[j]
        if (kind[s] == "cpu" && ((s, "floor") in runs) && measured(s) > 0)
            y = ratios(s, "cpu_us", y)
    }
    for (j = 1; j <= nnames; j++)
        if (kind[names[j]] == "idle" && ((names[j], "floor") in runs)) {
            caption(y + 16, "CPU per accept, handshake and join, as a multiple of the floor")
            y = ratios(names[j], "accept_us", y + 26)
        }
    grid(from - 6, y)
    y += 24
    for (j = 1; j <= nnames; j++)
        if (kind[names[j]] == "idle" && measured(names[j]) > 0) {
            caption(y + 12, "Resident bytes per idle connection that has joined a room")
            y = memory(names[j], y + 22)
        }
    return y
}

END {
    n = split("floor #8a8f98 floor-send #64748b floor-writev #a8a29e floor-uring #475569 " \
        "roomcast-1 #c2410c roomcast-2 #e8935a roomcast-4 #f2b98c socketio #1d4ed8 " \
        "ws #7aa2f7 nchan #15803d", pair, " ")
    for (i = 1; i < n; i += 2)
        hue[pair[i]] = pair[i + 1]
    for (i = 1; i <= nservers; i++)
        colour[i] = hue[server[i]]
    left = 160; width = 600; thick = 13; gap = 9

    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" font-family=\"sans-serif\" font-size=\"10\""
    height = layout()
    printf " width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\">\n", left + width + 150, height, \
        left + width + 150, height
    print "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>"
    body()
    print "</svg>"
}

# What body() will need.
function layout(    i, j, s, y, n) {
    y = 58
    for (j = 1; j <= nnames; j++) {
        s = names[j]
        n = measured(s)
        if (n > 0 && kind[s] == "cpu" && ((s, "floor") in runs))
            y += n * thick + gap
        if (n > 0 && kind[s] == "idle")
            y += (((s, "floor") in runs) ? 26 + n * thick + gap : 0) + 22 + (n + 1) * thick + gap
    }
    return y + 40
}
