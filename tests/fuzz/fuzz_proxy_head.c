/* A PROXY header that comes in pieces is what it is in one: not there until its last byte, the same with
 * whatever follows; and what is refused stays refused. */
#include "rc/base/mem.h"
#include "rc/net/proxy_head.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(c)     \
    do {             \
        if (!(c))    \
            abort(); \
    } while (0)

/* On a copy of exactly that size, so that a sanitizer sees an overread. */
static int parse(struct rc_proxy_head *p, const uint8_t *data, size_t size, const char **why)
{
    uint8_t *copy = rc_malloc(size != 0 ? size : 1);
    int rc;

    if (size != 0)
        memcpy(copy, data, size);
    rc = rc_proxy_head_parse(p, copy, size, why);
    free(copy);
    return rc;
}

static void check_head(const struct rc_proxy_head *p, const uint8_t *data, size_t n)
{
    char text[RC_ADDR_TEXT];

    CHECK(p->version == 1 || p->version == 2);
    CHECK(n <= (p->version == 1 ? (size_t)RC_PROXY_V1_MAX : (size_t)RC_PROXY_V2_MAX));
    CHECK(p->from.family == 0 || p->from.family == AF_INET || p->from.family == AF_INET6);
    CHECK(p->told || p->from.family == 0);
    CHECK(rc_addr_text(&p->from, text) == text && text[0] != '\0');
    CHECK(p->version != 1 || memcmp(data + n - 2, "\r\n", 2) == 0);
    CHECK(!p->has_token || (p->version == 2 && n >= RC_PROXY_V2_FIXED + 3 + RC_PROXY_TOKEN));
    CHECK(!p->has_token || memmem(data, n, p->token, RC_PROXY_TOKEN) != NULL);
}

/* What was read can be written, and is read again. */
static void check_written(const struct rc_proxy_head *p, const uint8_t *data, size_t size)
{
    uint8_t token[RC_PROXY_TOKEN] = {0}, out[RC_PROXY_WRITTEN];
    struct rc_proxy_head again;
    const char *why;
    size_t n;

    memcpy(token, data, size < sizeof(token) ? size : sizeof(token));
    n = rc_proxy_head_put(out, &p->from, token);
    CHECK(n <= sizeof(out) && parse(&again, out, n, &why) == (int)n);
    CHECK(again.told && again.has_token && memcmp(again.token, token, sizeof(token)) == 0);
    CHECK(memcmp(&again.from, &p->from, sizeof(p->from)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rc_proxy_head whole, part;
    const char *why = NULL, *why_part = NULL;
    int rc = parse(&whole, data, size, &why);
    size_t most = size < RC_PROXY_MAX + 2 ? size : RC_PROXY_MAX + 2;
    bool refused = false;

    CHECK(rc == RC_EAGAIN || rc == RC_EPROTO || (rc > 0 && (size_t)rc <= size));
    CHECK(rc != RC_EPROTO || why != NULL);
    CHECK(rc != RC_EAGAIN || size < RC_PROXY_MAX);
    if (rc > 0) {
        check_head(&whole, data, (size_t)rc);
        check_written(&whole, data, size);
    }
    for (size_t i = 0; i <= most; i++) {
        int now = parse(&part, data, i, &why_part);

        CHECK(!refused || now == RC_EPROTO);
        refused = now == RC_EPROTO;
        if (rc == RC_EPROTO)
            CHECK(now == RC_EAGAIN || strcmp(why, why_part) == 0);
        else if (rc == RC_EAGAIN || i < (size_t)rc)
            CHECK(now == RC_EAGAIN);
        else
            CHECK(now == rc && memcmp(&part.from, &whole.from, sizeof(part.from)) == 0 &&
                  part.told == whole.told && part.has_token == whole.has_token &&
                  memcmp(part.token, whole.token, sizeof(part.token)) == 0);
    }
    return 0;
}
