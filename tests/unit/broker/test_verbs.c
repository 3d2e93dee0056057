#include "rc/base/utf8.h"
#include "rig.h"

#include <criterion/criterion.h>

/* What a refusal says is cut between characters: a client closes a connection that sends it less
 * than one. */
Test(verbs, long_refusals)
{
    for (unsigned lead = 0; lead < 4; lead++) {
        char name[129] = "abc";
        struct rig r;
        struct rig_client c;

        rig_open(&r, 1, "");
        rig_socketio(&r, &c, 0);
        name[lead] = '\0';
        while (strlen(name) + 4 < sizeof(name))
            strcat(name, "\xf0\x9f\x98\x80");
        rig_say(&c, "421[\"%s\"]", name);
        rig_settle(&r);
        cr_assert(rig_hear(&c));
        cr_assert(rc_utf8_valid(rc_buf_str(&c.message)), "%s", (char *)c.message.data);
        cr_assert_not_null(strstr((char *)c.message.data, "\xf0\x9f\x98\x80"));
        rig_hang_up(&c);
        rig_settle(&r);
        rig_close(&r);
    }
}
