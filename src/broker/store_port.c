/* store_port.c - the requests to a store: one block of memory each, with copies of all that is asked. */
#include "rc/broker/store_port.h"

#include "rc/base/mem.h"
#include "rc/base/thread.h"

#include <stdlib.h>
#include <string.h>

const char *rc_store_fault_code(enum rc_store_fault fault)
{
    static const char *const code[] = {
#define RC_STORE_FAULT_CODE(name, code, text) [name] = (code),
        RC_STORE_FAULT_MAP(RC_STORE_FAULT_CODE)
#undef RC_STORE_FAULT_CODE
    };

    RC_ASSERT(fault < RC_STORE_FAULT_COUNT);
    return code[fault];
}

const char *rc_store_fault_text(enum rc_store_fault fault)
{
    static const char *const text[] = {
#define RC_STORE_FAULT_TEXT(name, code, text) [name] = (text),
        RC_STORE_FAULT_MAP(RC_STORE_FAULT_TEXT)
#undef RC_STORE_FAULT_TEXT
    };

    RC_ASSERT(fault < RC_STORE_FAULT_COUNT);
    return text[fault];
}

/* All slices of a request, so that none is forgotten when they are copied. */
static void slices_of(struct rc_store_in *in, struct rc_str *slice[6])
{
    slice[0] = &in->user;
    slice[1] = &in->receiver;
    slice[2] = &in->content;
    slice[3] = &in->event;
    slice[4] = &in->client_id;
    slice[5] = &in->shown_as;
}

struct rc_store_req *rc_store_req_new(enum rc_store_type type, const struct rc_store_in *in,
                                      size_t context)
{
    static const size_t align = _Alignof(max_align_t);
    size_t at = (sizeof(struct rc_store_req) + align - 1) / align * align;
    size_t size = at + context;
    struct rc_store_in copy = *in;
    struct rc_str *slice[6];
    struct rc_store_req *req;
    char *text;

    slices_of(&copy, slice);
    for (unsigned i = 0; i < 6; i++)
        size += slice[i]->len;
    req = rc_try_malloc(size);
    if (req == NULL)
        return NULL;
    memset(req, 0, at + context);
    text = (char *)req + at + context;
    for (unsigned i = 0; i < 6; i++) {
        if (slice[i]->len != 0)
            memcpy(text, slice[i]->p, slice[i]->len);
        slice[i]->p = text;
        text += slice[i]->len;
    }
    req->type = type;
    req->in = copy;
    req->size = size;
    req->context = (char *)req + at;
    return req;
}

void rc_store_req_free(struct rc_store_req *req)
{
    if (req == NULL)
        return;
    rc_buf_deinit(&req->rows);
    rc_buf_deinit(&req->users);
    free(req->row);
    free(req);
}

/* Each as its length, two bytes, and its bytes: a user id may have any character in it. */
void rc_store_put_user(struct rc_store_req *req, struct rc_str user)
{
    uint16_t len = (uint16_t)user.len;

    RC_ASSERT(user.len <= (size_t)RC_STORE_NAME_MAX * 4);
    rc_buf_put(&req->users, &len, sizeof(len));
    rc_buf_puts(&req->users, user);
    req->nusers++;
}

bool rc_store_next_user(struct rc_str *rest, struct rc_str *user)
{
    uint16_t len;

    if (rest->len < sizeof(len))
        return false;
    memcpy(&len, rest->p, sizeof(len));
    *user = rc_str_make(rest->p + sizeof(len), len);
    *rest = rc_str_skip(*rest, sizeof(len) + len);
    return true;
}
