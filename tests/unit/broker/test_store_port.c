#include "rc/broker/store_port.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <stdlib.h>

/* Nothing of what was given is needed afterwards. */
Test(store_port, copies_what_is_asked)
{
    char text[] = "annlobbyhitalkc-1shown";
    struct rc_store_in in = {
        .conversation = RC_STORE_ROOM,
        .format = RC_STORE_JSON,
        .user = rc_str_make(text, 3),
        .receiver = rc_str_make(text + 3, 5),
        .content = rc_str_make(text + 8, 2),
        .event = rc_str_make(text + 10, 4),
        .client_id = rc_str_make(text + 14, 3),
        .shown_as = rc_str_make(text + 17, 5),
        .time_ms = 7,
        .limit = 9,
    };
    struct rc_store_req *req = rc_store_req_new(RC_STORE_PUT, &in, 24);
    const unsigned char *context;

    cr_assert_not_null(req);
    memset(text, 'x', sizeof(text));
    cr_assert_eq(req->type, RC_STORE_PUT);
    cr_assert(rc_str_eq(req->in.user, RC_STR("ann")));
    cr_assert(rc_str_eq(req->in.receiver, RC_STR("lobby")));
    cr_assert(rc_str_eq(req->in.content, RC_STR("hi")));
    cr_assert(rc_str_eq(req->in.event, RC_STR("talk")));
    cr_assert(rc_str_eq(req->in.client_id, RC_STR("c-1")));
    cr_assert(rc_str_eq(req->in.shown_as, RC_STR("shown")));
    cr_assert_eq(req->in.time_ms, 7);
    cr_assert_eq(req->in.limit, 9u);
    cr_assert_eq(req->in.format, RC_STORE_JSON);
    cr_assert_geq(req->size, sizeof(*req) + 24 + 22);
    cr_assert_eq((uintptr_t)req->context % _Alignof(max_align_t), 0u);
    context = req->context;
    for (unsigned i = 0; i < 24; i++)
        cr_assert_eq(context[i], 0u);
    cr_assert_eq(req->fault, RC_STORE_OK);
    rc_store_req_free(req);
    rc_store_req_free(NULL);
}

Test(store_port, empty_texts)
{
    struct rc_store_in in = {0};
    struct rc_store_req *req = rc_store_req_new(RC_STORE_CURSOR, &in, 0);

    cr_assert_eq(req->in.content.len, 0u);
    cr_assert_not_null(req->in.content.p);
    rc_store_req_free(req);
}

Test(store_port, users)
{
    struct rc_store_in in = {0};
    struct rc_store_req *req = rc_store_req_new(RC_STORE_GROUP_LIST, &in, 0);
    struct rc_str rest, user;

    rest = rc_buf_str(&req->users);
    cr_assert_not(rc_store_next_user(&rest, &user));
    rc_store_put_user(req, RC_STR("ann"));
    rc_store_put_user(req, RC_STR(""));
    rc_store_put_user(req, RC_STR("b\0b"));
    cr_assert_eq(req->nusers, 3u);
    rest = rc_buf_str(&req->users);
    cr_assert(rc_store_next_user(&rest, &user));
    cr_assert(rc_str_eq(user, RC_STR("ann")));
    cr_assert(rc_store_next_user(&rest, &user));
    cr_assert_eq(user.len, 0u);
    cr_assert(rc_store_next_user(&rest, &user));
    cr_assert(rc_str_eq(user, RC_STR("b\0b")));
    cr_assert_not(rc_store_next_user(&rest, &user));
    rc_store_req_free(req);
}

Test(store_port, faults_have_codes)
{
    cr_assert_str_eq(rc_store_fault_code(RC_STORE_OK), "");
    for (int i = RC_STORE_OK + 1; i < RC_STORE_FAULT_COUNT; i++) {
        cr_assert_str_neq(rc_store_fault_code((enum rc_store_fault)i), "");
        cr_assert_str_neq(rc_store_fault_text((enum rc_store_fault)i), "");
    }
    cr_assert_str_eq(rc_store_fault_code(RC_STORE_DOWN), "store_down");
}
