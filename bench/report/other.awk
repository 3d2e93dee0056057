# other.awk - how quiet the machine was, over all runs; with json.awk.
{
    if (field($0, "aborted") + 0 > 0)
        next
    x = field($0, "other_cores") + 0
    sum += x
    n++
    if (x > most)
        most = x
}

END {
    printf "%.2f processors on average meanwhile, %.2f at most in one run\n", n ? sum / n : 0, most
}
