# line.awk - a run on one line, as it goes. Exit code 1: what was acknowledged is not what was stored.
{
    acked = field($0, "acked") + 0
    stored = field($0, "stored") + 0
    printf "%-24s %8.0f acked/s  p50 %8.2f ms  p99 %8.2f ms  acked %d, refused %d, stored %d  roomcast %.2f cores, others %.2f\n",
        field($0, "label"), field($0, "acked_per_s"), field($0, "ack_p50_us") / 1000,
        field($0, "ack_p99_us") / 1000, acked, field($0, "refused"), stored,
        field($0, "server_cores"), field($0, "other_cores")
    exit stored == acked ? 0 : 1
}
