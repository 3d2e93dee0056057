/*
 * What permessage-deflate costs: memory that a connection keeps between messages, and the time to
 * compress a message (once, whatever the number of receivers) and to decompress one.
 */
#include "rc/net/deflate.h"
#include "rc/base/mem.h"
#include "rc/net/wsin.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CONNECTIONS = 1000, MESSAGE = 2000 };

static double now_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Like the JSON of a chat: names that repeat, texts that do so less. */
static struct rc_str chat(size_t n)
{
    static const char *const words[] = {"lobby", "hello", "there", "what", "about", "lunch",
                                        "today", "maybe", "later", "fine", "see",   "you"};
    struct rc_buf b = RC_BUF_INIT;
    unsigned x = 1;

    rc_buf_putz(&b, "42[\"roomMessage\",[");
    while (b.len < n) {
        rc_buf_printf(&b, "{\"room\":\"lobby\",\"id\":%u,\"text\":\"", x % 100000);
        for (unsigned i = 0; i < 12; i++) {
            x = x * 1664525 + 1013904223;
            rc_buf_printf(&b, "%s ", words[(x >> 16) % 12]);
        }
        rc_buf_putz(&b, "\"},");
    }
    return rc_str_make(b.data, n);
}

static void take(struct rc_wsin *in, struct rc_str packed)
{
    struct rc_ws_event ev = {
        .opcode = RC_WS_TEXT, .first = true, .last = true, .compressed = true, .data = packed};
    struct rc_buf hold = RC_BUF_INIT;
    struct rc_str whole;

    if (rc_wsin_piece(in, &ev, &hold, &whole) != RC_OK)
        abort();
    rc_buf_deinit(&hold);
}

static void memory(bool takeover, unsigned bits, struct rc_str packed)
{
    struct rc_deflate_params params = {
        .on = true, .client_takeover = takeover, .client_bits = (uint8_t)bits};
    struct rc_wsin *in = rc_calloc(CONNECTIONS, sizeof(*in));
    size_t before = mallinfo2().uordblks;

    for (unsigned i = 0; i < CONNECTIONS; i++) {
        rc_wsin_init(&in[i], 1 << 20, &params);
        take(&in[i], packed);
    }
    printf("  %s, window of 2^%-2u bytes: %8.1f bytes per connection\n",
           takeover ? "takeover   " : "no takeover", bits,
           (double)(mallinfo2().uordblks - before) / CONNECTIONS);
    for (unsigned i = 0; i < CONNECTIONS; i++)
        rc_wsin_deinit(&in[i]);
    free(in);
}

static void speed(int level, size_t n)
{
    static const struct rc_deflate_params params = {.on = true};
    struct rc_deflater *d = rc_deflater_new(level, 0);
    struct rc_str message = chat(n), packed;
    struct rc_buf copy = RC_BUF_INIT;
    unsigned rounds = (unsigned)(20000000 / (n + 10000)) + 1;
    struct rc_wsin in;
    double from = now_us(), mid;

    for (unsigned i = 0; i < rounds; i++)
        packed = rc_deflater_run(d, RC_DEFLATE_FULL, message);
    mid = now_us();
    rc_buf_puts(&copy, packed);
    rc_wsin_init(&in, 1 << 24, &params);
    for (unsigned i = 0; i < rounds; i++)
        take(&in, rc_buf_str(&copy));
    printf("  level %d, %7zu bytes to %6zu: compress %8.1f us, decompress %7.1f us\n", level, n,
           packed.len, (mid - from) / rounds, (now_us() - mid) / rounds);
    rc_wsin_deinit(&in);
    rc_buf_deinit(&copy);
    rc_deflater_free(d);
    free((void *)(uintptr_t)message.p);
}

int main(void)
{
    static const size_t sizes[] = {1024, 10000, 100000, 1000000};
    struct rc_deflater *d = rc_deflater_new(6, 0);
    struct rc_str message = chat(MESSAGE);
    struct rc_buf packed = RC_BUF_INIT;

    rc_buf_puts(&packed, rc_deflater_run(d, RC_DEFLATE_SMALL, message));
    printf("permessage-deflate: kept after a message of %u bytes, beside the session itself\n",
           (unsigned)MESSAGE);
    memory(false, 15, rc_buf_str(&packed));
    for (unsigned bits = RC_DEFLATE_BITS_MAX; bits >= RC_DEFLATE_BITS_MIN; bits--)
        memory(true, bits, rc_buf_str(&packed));
    printf("permessage-deflate: time for one message\n");
    for (int level = 1; level <= 9; level += level == 1 ? 5 : 3)
        for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
            speed(level, sizes[i]);
    rc_buf_deinit(&packed);
    rc_deflater_free(d);
    free((void *)(uintptr_t)message.p);
    return 0;
}
