# line.awk - one run in one line, for whoever watches.
{
    printf "%-34s cpu %9s us  user %8s  client %8s  p50 %9s us  p99 %9s us  %9s/s  other %s\n",
        field($0, "label"), field($0, "cpu_us"), field($0, "user_us"), field($0, "client_us"),
        field($0, "p50_us"), field($0, "p99_us"), field($0, "per_s"), field($0, "other_cores")
}
