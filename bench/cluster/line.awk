# line.awk - one run in one line, for whoever watches; with json.awk.
{
    printf "%-26s cpu %8.2f us, crossing %8s us, a message %8s us; Redis %6s us  p50 %8s us  crossing %8s us  other %s\n",
        field($0, "label"), field($0, "cpu_us"), field($0, "cross_us"), field($0, "server_sent_us"),
        field($0, "beside1_us"), field($0, "p50_us"), field($0, "far_p50_us"), field($0, "other_cores")
}
