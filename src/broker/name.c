#include "rc/broker/name.h"

#include "rc/base/b64.h"
#include "rc/base/hash.h"

enum { ID_BYTES = 8, MAC_BYTES = 7, HASH_MASK = 0x5349, HASH_MAC = 0x5344 };

/* The mask follows from the check: it looks random, tells nothing, can be undone. */
static uint64_t mask_of(const uint8_t *mac)
{
    return rc_hash(mac, MAC_BYTES, HASH_MASK);
}

static uint64_t mac_of(enum rc_name_kind kind, rc_id id)
{
    return rc_hash(&id, sizeof(id), HASH_MAC + (uint64_t)kind * 0x10000);
}

void rc_name_put(enum rc_name_kind kind, rc_id id, char out[RC_NAME_LEN + 1])
{
    uint8_t raw[ID_BYTES + MAC_BYTES];
    uint64_t mac = mac_of(kind, id), masked;

    memcpy(raw + ID_BYTES, &mac, MAC_BYTES);
    masked = id ^ mask_of(raw + ID_BYTES);
    memcpy(raw, &masked, ID_BYTES);
    (void)rc_b64_encode(RC_B64_URL, raw, sizeof(raw), out);
}

rc_id rc_name_parse(enum rc_name_kind kind, struct rc_str text)
{
    uint8_t raw[ID_BYTES + MAC_BYTES + 2];
    uint8_t check[sizeof(uint64_t)];
    unsigned diff = 0;
    uint64_t id, mac;

    if (text.len != RC_NAME_LEN || rc_b64_decode(RC_B64_URL, text, raw) != ID_BYTES + MAC_BYTES)
        return 0;
    memcpy(&id, raw, ID_BYTES);
    id ^= mask_of(raw + ID_BYTES);
    mac = mac_of(kind, id);
    memcpy(check, &mac, sizeof(mac));
    /* In constant time: the answer must not tell how much of a guess was right. */
    for (unsigned i = 0; i < MAC_BYTES; i++)
        diff |= (unsigned)(check[i] ^ raw[ID_BYTES + i]);
    return diff == 0 ? id : 0;
}
