# json.awk - the value of one key in a flat JSON line, as bench/load writes it.
function field(line, key,    at, rest) {
    at = index(line, "\"" key "\":")
    if (at == 0)
        return ""
    rest = substr(line, at + length(key) + 3)
    if (substr(rest, 1, 1) == "\"")
        return substr(rest, 2, index(substr(rest, 2), "\"") - 1)
    match(rest, /^[-+.0-9a-z]+/)
    return substr(rest, 1, RLENGTH)
}
