#include "rc/broker/name.h"

#include "rc/base/b64.h"
#include "rc/base/hash.h"

enum {
    ID_BYTES = 8,
    CHECK_MAX = RC_NAME_BYTES - ID_BYTES,
    HASH_MASK = 0x5349,
    HASH_MAC = 0x5344,
    HASH_CHECK = 0x5345,
    MASKED_FROM = 4 /* what is before may follow from the tag, see session.c */
};

/* ---- tags ---- */

/* The same on all nodes. It hides nothing: names are to look random. */
static uint16_t tag_mask(const uint8_t *raw)
{
    uint32_t h = 0x811c9dc5;

    for (unsigned i = MASKED_FROM; i < RC_NAME_BYTES - RC_TAG_BYTES; i++)
        h = (h ^ raw[i]) * 0x01000193;
    return (uint16_t)(h ^ h >> 16);
}

void rc_name_put_tag(uint8_t raw[RC_NAME_BYTES], uint16_t tag)
{
    uint16_t masked = (uint16_t)(tag ^ tag_mask(raw));

    raw[RC_NAME_BYTES - 2] = (uint8_t)masked;
    raw[RC_NAME_BYTES - 1] = (uint8_t)(masked >> 8);
}

static uint16_t get_tag(const uint8_t *raw)
{
    unsigned masked = raw[RC_NAME_BYTES - 2] | (unsigned)raw[RC_NAME_BYTES - 1] << 8;

    return (uint16_t)(masked ^ tag_mask(raw));
}

static bool decode(struct rc_str text, uint8_t raw[RC_NAME_BYTES + 2])
{
    return text.len == RC_NAME_LEN && rc_b64_decode(RC_B64_URL, text, raw) == RC_NAME_BYTES;
}

int rc_name_tag(struct rc_str sid)
{
    uint8_t raw[RC_NAME_BYTES + 2];

    return decode(sid, raw) ? (int)get_tag(raw) : -1;
}

/* ---- names ---- */

/* Bytes of the check: a session's leaves room for the tag. */
static unsigned check_size(enum rc_name_kind kind)
{
    return kind == RC_NAME_SESSION ? CHECK_MAX - RC_TAG_BYTES : CHECK_MAX;
}

/* The mask follows from the check: it looks random, tells nothing, can be undone. */
static uint64_t mask_of(enum rc_name_kind kind, const uint8_t *mac)
{
    return rc_hash(mac, check_size(kind), HASH_MASK);
}

static uint64_t mac_of(enum rc_name_kind kind, uint16_t tag, rc_id id)
{
    return rc_hash(&id, sizeof(id),
                   HASH_MAC + (uint64_t)kind * 0x10000 + ((uint64_t)tag << 32));
}

/* A session's check is short. So that nobody can turn a name that he has into one with the same check, that
 * is masked in turn, by what has become of the id. */
static void mask_check(enum rc_name_kind kind, uint8_t raw[RC_NAME_BYTES])
{
    uint64_t mask = kind == RC_NAME_SESSION ? rc_hash(raw, ID_BYTES, HASH_CHECK) : 0;

    for (unsigned i = 0; i < check_size(kind); i++)
        raw[ID_BYTES + i] ^= (uint8_t)(mask >> (8 * i));
}

void rc_name_put(enum rc_name_kind kind, uint16_t tag, rc_id id, char out[RC_NAME_LEN + 1])
{
    uint64_t mac = mac_of(kind, kind == RC_NAME_SESSION ? tag : 0, id), masked;
    uint8_t raw[RC_NAME_BYTES];

    memcpy(raw + ID_BYTES, &mac, CHECK_MAX);
    masked = id ^ mask_of(kind, raw + ID_BYTES);
    memcpy(raw, &masked, ID_BYTES);
    mask_check(kind, raw);
    if (kind == RC_NAME_SESSION)
        rc_name_put_tag(raw, tag);
    (void)rc_b64_encode(RC_B64_URL, raw, sizeof(raw), out);
}

rc_id rc_name_parse(enum rc_name_kind kind, struct rc_str text)
{
    uint8_t raw[RC_NAME_BYTES + 2];
    uint8_t check[sizeof(uint64_t)];
    unsigned diff = 0;
    uint16_t tag = 0;
    uint64_t id, mac;

    if (!decode(text, raw))
        return 0;
    if (kind == RC_NAME_SESSION)
        tag = get_tag(raw);
    mask_check(kind, raw);
    memcpy(&id, raw, ID_BYTES);
    id ^= mask_of(kind, raw + ID_BYTES);
    mac = mac_of(kind, tag, id);
    memcpy(check, &mac, sizeof(mac));
    /* In constant time: the answer must not tell how much of a guess was right. */
    for (unsigned i = 0; i < check_size(kind); i++)
        diff |= (unsigned)(check[i] ^ raw[ID_BYTES + i]);
    return diff == 0 ? id : 0;
}
